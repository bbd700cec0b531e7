"""The similarity signal through open_clip's real loading code, with a tiny model that is made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from curate.contracts import Batch
from curate.errors import ModelError
from curate.models import dimension
from curate.planner import make_plan
from curate.recipe import build_recipe
from stages.signals.similarity import ClipScore

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
CAPTIONS = ["a red square", "", "ein blaues Quadrat", "green"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint folder as open_clip's `local-dir:` wants it, with random weights."""
    folder = tmp_path_factory.mktemp("tiny-clip")
    torch.manual_seed(0)
    weights = {name: value.contiguous() for name, value in open_clip.CLIP(**CONFIG).state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    return f"open_clip:local-dir:{folder}"


def batch(step: ClipScore, captions: list[str | None], prepared: bool = True) -> Batch:
    pictures = [Image.new("RGB", (300, 260 + i), colour) for i, colour in enumerate(["red", "gray", "blue", "green"])]
    column = np.empty(len(captions), object)
    column[:] = captions
    stack = [step.prepare(picture) for picture in pictures[: len(captions)]]
    if prepared:
        return Batch({"text": column}, prepared=np.stack([rows for rows in stack if rows is not None]))
    return Batch({"text": column}, images=pictures[: len(captions)])


def test_similarity_is_the_cosine_of_the_embeddings(model: str) -> None:
    step = ClipScore(model=model)
    found = step.compute(batch(step, list(CAPTIONS)))
    images, texts = (np.asarray(found[name], np.float32) for name in ("image_embedding", "text_embedding"))
    assert np.linalg.norm(images, axis=1) == pytest.approx(np.ones(4), abs=1e-3)
    assert np.asarray(found["similarity"], float) == pytest.approx((images * texts).sum(axis=1), abs=2e-3)


def test_columns_are_as_declared(model: str) -> None:
    step = ClipScore(model=model)
    gives = step.gives()
    assert gives["image_embedding"] == pa.list_(pa.float16(), 16)
    found = step.compute(batch(step, list(CAPTIONS)))
    assert list(found) == list(gives)
    assert list(ClipScore(model=model, embeddings=False).gives()) == ["similarity"]
    assert step.models() == (model,)


def test_prepared_on_a_worker_or_here_is_the_same(model: str) -> None:
    step = ClipScore(model=model, embeddings=False)
    captions: list[str | None] = list(CAPTIONS)
    ahead = step.compute(batch(step, captions))["similarity"]
    assert list(ahead) == list(step.compute(batch(step, captions, prepared=False))["similarity"])


def test_a_score_does_not_depend_on_the_rest_of_the_batch(model: str) -> None:
    step = ClipScore(model=model)
    together = step.compute(batch(step, list(CAPTIONS)))
    alone = step.compute(batch(step, [CAPTIONS[0]]))
    assert all(np.array_equal(np.asarray(alone[name])[0], np.asarray(together[name])[0]) for name in alone)


def test_bfloat16_is_an_option_and_close(model: str) -> None:
    wide, narrow = (ClipScore(model=model, precision=precision) for precision in ("fp32", "bf16"))
    rows = batch(wide, list(CAPTIONS))
    one, other = (np.asarray(step.compute(rows)["image_embedding"], np.float32) for step in (wide, narrow))
    assert not np.array_equal(one, other)
    assert np.einsum("nd,nd->n", one, other) == pytest.approx(np.ones(4), abs=1e-2)
    assert np.array_equal(one, np.asarray(ClipScore(model=model).compute(rows)["image_embedding"], np.float32))


def test_without_a_caption_there_is_no_score(model: str) -> None:
    step = ClipScore(model=model)
    found = step.compute(batch(step, ["a red square", None]))
    assert found["similarity"][1] is None
    assert found["text_embedding"][1] is None
    assert np.isfinite(found["image_embedding"][1]).all()
    none = step.compute(batch(step, [None]))
    assert none["similarity"][0] is None


def test_two_models_in_one_recipe_and_a_recipe_that_reuses_one(model: str, tmp_path: Path) -> None:
    other = {"similarity": "own_similarity", "image_embedding": "own_images", "text_embedding": "own_texts"}
    signals: list[dict[str, Any]] = [
        {"step": "stages.signals.similarity.ClipScore"},
        {"step": "stages.signals.similarity.ClipScore", "model": model, "rename": other},
    ]
    pool = {"step": "stages.ingest.webdataset.Webdataset", "path": str(tmp_path / "*.tar")}
    recipe = {"name": "two", "compute": "all", "pool": pool, "signals": signals}
    default, own = make_plan(build_recipe(recipe)).nodes
    assert set(own.columns.values()) == set(other.values())
    assert default.fingerprint != own.fingerprint
    (alone,) = make_plan(build_recipe({**recipe, "name": "one", "signals": [{**signals[1], "rename": {}}]})).nodes
    assert alone.fingerprint == own.fingerprint  # its facts are found, whatever they are called


def test_dimensions_come_without_weights() -> None:
    assert dimension("default") == 384


@pytest.mark.parametrize("spec", ["clip", "open_clip:ViT-B-31/openai", "hf:not a name"])
def test_an_unknown_model(spec: str) -> None:
    with pytest.raises(ModelError):
        ClipScore(model=spec).gives()


def test_a_checkpoint_that_is_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="names no embedding width"):
        dimension(f"file:{tmp_path}")
