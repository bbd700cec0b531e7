"""Tiny checkpoints made here, through the real open_clip and transformers code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from skimage import data
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from curate.errors import ModelError
from curate.models import dimension, image_text_encoder, preparer, resolve
from curate.models.specs import minilm_folder

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
TEXTS = ["a cat", "a very long caption " * 20, "", "une tasse de café"]


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [Image.fromarray(image()) for image in (data.chelsea, data.coffee, data.rocket, data.camera)]


@pytest.fixture(scope="module")
def tiny_arch(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("configs")
    (folder / "tiny-test-clip.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder)
    return "tiny-test-clip"


@pytest.fixture(scope="module")
def open_clip_model(tiny_arch: str) -> Any:
    torch.manual_seed(0)
    model = open_clip.create_model(tiny_arch).eval()
    return model


def check(encoder_spec: str, photos: list[Image.Image], images: np.ndarray, texts: np.ndarray) -> None:
    """An encoder gives the reference's rows, whatever stands beside them."""
    encoder = image_text_encoder(encoder_spec, "cpu")
    found = encoder.images(photos)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, images / np.linalg.norm(images, axis=1, keepdims=True), atol=2e-5)
    np.testing.assert_allclose(encoder.texts(TEXTS), texts / np.linalg.norm(texts, axis=1, keepdims=True), atol=2e-5)
    assert np.array_equal(encoder.images(photos[::-1]), found[::-1])
    assert np.array_equal(encoder.images(photos[1:2]), found[1:2])
    assert np.array_equal(encoder.texts(TEXTS[2:3]), encoder.texts(TEXTS)[2:3])
    assert encoder.images([]).shape == encoder.texts([]).shape == (0, encoder.dim)
    prepared = np.stack([preparer(encoder_spec)(photo) for photo in photos])
    assert prepared.dtype == np.uint8
    assert np.array_equal(encoder.images_prepared(prepared), found)


def open_clip_reference(model: Any, photos: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    transform = image_transform_v2(PreprocessCfg(**open_clip.get_model_preprocess_cfg(model)), is_train=False)
    tokens = open_clip.get_tokenizer("tiny-test-clip")(TEXTS)
    with torch.inference_mode():
        images = model.encode_image(torch.stack([transform(photo.convert("RGB")) for photo in photos]))
        return images.numpy(), model.encode_text(tokens).numpy()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_open_clip_weights_from_a_file(
    suffix: str, open_clip_model: Any, photos: list[Image.Image], tmp_path: Path
) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {name: tensor.contiguous() for name, tensor in open_clip_model.state_dict().items()}
    if suffix == ".pt":
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path)
    check(f"open_clip:tiny-test-clip@file:{path}", photos, *open_clip_reference(open_clip_model, photos))


def test_open_clip_from_a_folder(open_clip_model: Any, photos: list[Image.Image], tmp_path: Path) -> None:
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": preprocess}))
    save_file(
        {k: v.contiguous() for k, v in open_clip_model.state_dict().items()}, tmp_path / "open_clip_model.safetensors"
    )
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    with torch.inference_mode():
        images = model.eval().encode_image(torch.stack([transform(photo.convert("RGB")) for photo in photos])).numpy()
        texts = model.encode_text(open_clip.get_tokenizer(f"local-dir:{tmp_path}")(TEXTS)).numpy()
    check(f"open_clip:local-dir:{tmp_path}", photos, images, texts)


def test_weights_that_change_are_read_again(tiny_arch: str, photos: list[Image.Image], tmp_path: Path) -> None:
    found = []
    for seed, half in ((1, False), (2, True)):  # half as many bytes, so that the size differs too
        torch.manual_seed(seed)
        model = open_clip.create_model(tiny_arch)
        weights = (model.half() if half else model).state_dict()
        save_file({name: values.contiguous() for name, values in weights.items()}, tmp_path / "w.safetensors")
        spec = f"open_clip:{tiny_arch}@file:{tmp_path}/w.safetensors"
        assert image_text_encoder(spec, "cpu") is image_text_encoder(spec, "cpu")
        found.append(image_text_encoder(spec, "cpu").images(photos[:1]))
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_weights_of_another_architecture_are_refused(tiny_arch: str, tmp_path: Path) -> None:
    save_file({"visual.conv1.weight": torch.zeros(3, 3)}, tmp_path / "weights.safetensors")
    with pytest.raises(ModelError, match="open_clip cannot load"):
        image_text_encoder(f"open_clip:{tiny_arch}@file:{tmp_path}/weights.safetensors")


def test_a_pickle_that_runs_code_is_refused(tiny_arch: str, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    torch.save(Evil(), tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="convert it to safetensors"):
        image_text_encoder(f"open_clip:{tiny_arch}@file:{tmp_path}/weights.pt")
    assert not (tmp_path / "ran").exists()


def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_file=str(minilm_folder() / "tokenizer.json"),
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_max_length=16,
    )


def save_clip(folder: Path) -> CLIPModel:
    text = {
        "vocab_size": 30522,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
    }
    config = CLIPConfig(
        text_config=text | {"max_position_embeddings": 16, "eos_token_id": 102, "bos_token_id": 101, "pad_token_id": 0},
        vision_config=vision | {"patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(0)
    model = CLIPModel(config).eval()
    model.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model


def save_siglip(folder: Path) -> SiglipModel:
    text = {
        "vocab_size": 30522,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
    }
    config = SiglipConfig(
        text_config=text | {"max_position_embeddings": 16, "projection_size": 32},
        vision_config=vision | {"patch_size": 8},
    )
    torch.manual_seed(0)
    model = SiglipModel(config).eval()
    model.save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model


@pytest.mark.parametrize(("save", "processor"), [(save_clip, CLIPImageProcessor), (save_siglip, SiglipImageProcessor)])
def test_transformers_checkpoint_from_a_folder(
    save: object, processor: type, photos: list[Image.Image], tmp_path: Path
) -> None:
    model = save(tmp_path)  # type: ignore[operator]
    made = processor.from_pretrained(tmp_path)([p.convert("RGB") for p in photos], return_tensors="pt")  # type: ignore[attr-defined]
    words = tokenizer()(TEXTS, padding="max_length", truncation=True, max_length=16, return_tensors="pt")
    with torch.inference_mode():
        images = model.get_image_features(pixel_values=made["pixel_values"]).pooler_output.numpy()
        texts = model.get_text_features(
            input_ids=words["input_ids"], attention_mask=words["attention_mask"]
        ).pooler_output.numpy()
    assert resolve(f"file:{tmp_path}").kind == "transformers"
    assert dimension(f"file:{tmp_path}") == images.shape[1]
    check(f"file:{tmp_path}", photos, images, texts)


def test_a_width_that_a_config_leaves_out_is_its_familys(tmp_path: Path) -> None:
    config = {"model_type": "siglip", "text_config": {"model_type": "siglip_text_model"}}  # as the hub's SigLIP has it
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert dimension(f"file:{tmp_path}") == 768


def test_a_model_without_an_image_tower_is_refused(tmp_path: Path) -> None:
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertModel(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    CLIPImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="BertModel does not embed images and texts"):
        image_text_encoder(f"file:{tmp_path}")


def test_a_folder_without_an_image_processor_is_refused(tmp_path: Path) -> None:
    BertModel(
        BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no image processor"):
        image_text_encoder(f"file:{tmp_path}")
