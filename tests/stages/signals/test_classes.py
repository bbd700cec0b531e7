"""A tiny classifier made here, through the real transformers code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.contracts import Batch
from curate.errors import ModelError
from stages.signals.classes import ClassProbability

transformers = pytest.importorskip("transformers")
skimage = pytest.importorskip("skimage.data")
torch = pytest.importorskip("torch")

LABELS = {0: "clean", 1: "watermark", 2: "logo"}


def checkpoint(folder: Path, labels: dict[int, str], **fields: object) -> str:
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        id2label=labels,
        label2id={name: i for i, name in labels.items()},
        initializer_range=0.3,
        **fields,
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return f"file:{folder}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return checkpoint(tmp_path_factory.mktemp("classes"), LABELS)


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [Image.fromarray(getattr(skimage, name)()) for name in ("astronaut", "coffee", "chelsea")]


def probability(model: str, photos: list[Image.Image], *positive: str) -> np.ndarray:
    step = ClassProbability(model=model, positive=positive)
    return np.asarray(step.compute(Batch({}, images=photos))["class_probability"])


def test_a_checkpoint_that_changes_is_opened_again(photos: list[Image.Image], tmp_path: Path) -> None:
    first = probability(checkpoint(tmp_path, {0: "clean", 1: "watermark"}), photos, "clean")
    spec = checkpoint(tmp_path, {0: "watermark", 1: "clean"})
    assert probability(checkpoint(tmp_path, {0: "watermark", 1: "clean"}), photos, "clean") == pytest.approx(1 - first)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}, do_rescale=False).save_pretrained(tmp_path)
    assert (probability(spec, photos, "clean") != 1 - first).all()


def test_as_transformers_gives_it(model: str, photos: list[Image.Image]) -> None:
    folder = model.removeprefix("file:")
    network = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    inputs = transformers.AutoImageProcessor.from_pretrained(folder)(photos, return_tensors="pt")
    with torch.inference_mode():
        wanted = network(**inputs).logits.softmax(dim=1).numpy()
    assert np.ptp(wanted[:, 1]) > 1e-3  # the photographs do differ
    np.testing.assert_allclose(probability(model, photos, "watermark"), wanted[:, 1], atol=1e-5)
    np.testing.assert_allclose(probability(model, photos, "watermark", "logo"), wanted[:, 1:].sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(probability(model, photos, *LABELS.values()), 1, atol=1e-5)


def test_a_row_depends_on_its_image_alone(model: str, photos: list[Image.Image]) -> None:
    together = probability(model, photos, "logo")
    assert [probability(model, [photo], "logo")[0] for photo in photos] == together.tolist()
    step = ClassProbability(model=model, positive=("logo",))
    prepared = np.stack([step.prepare(photo) for photo in photos])  # type: ignore[misc]
    assert np.array_equal(step.compute(Batch({}, prepared=prepared))["class_probability"], together)
    assert len(probability(model, [], "logo")) == 0


def test_one_logit_and_several_labels_are_independent(photos: list[Image.Image], tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "one", {0: "nsfw"})
    assert 0 < probability(one, photos, "nsfw").max() < 1
    several = checkpoint(tmp_path / "several", LABELS, problem_type="multi_label_classification")
    each = sum(probability(several, photos, name) for name in LABELS.values())
    assert not np.allclose(each, 1, atol=1e-3)


def test_mistakes_are_told(model: str, photos: list[Image.Image], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no class 'watermarked'; it has clean, watermark, logo"):
        probability(model, photos, "watermarked")
    with pytest.raises(ModelError, match="names no classes"):
        probability("default", photos, "watermark")
    with pytest.raises(ModelError, match="holds no transformers checkpoint"):
        probability(f"file:{tmp_path}", photos, "watermark")
