"""LAION's recipes: the aesthetics recipe with a head and embeddings of the published shapes, scores from the source's JSON."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from PIL import Image

import curate

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 768
SHAPES = ((1024, WIDTH), (128, 1024), (64, 128), (16, 64), (1, 16))
PLACES = (0, 2, 4, 6, 7)
CLIP = {
    "embed_dim": WIDTH,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
SCORES = [{}, {"punsafe": 0.6}, {"punsafe": 0.2, "pwatermark": 0.8}, {"punsafe": 0.49, "pwatermark": 0.79}] * 3


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[np.ndarray, np.ndarray]]]:
    """A head of the published shapes and names, and its layers."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=shape) / np.sqrt(shape[1]), rng.normal(size=shape[0])) for shape in SHAPES]
    state: dict[str, Any] = {}
    for place, (weight, bias) in zip(PLACES, layers, strict=True):
        state |= {f"layers.{place}.weight": torch.from_numpy(weight), f"layers.{place}.bias": torch.from_numpy(bias)}
    path = tmp_path_factory.mktemp("head") / "head.pth"
    torch.save(state, path)
    return path, layers


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny CLIP whose embeddings are as wide as those of ViT-L/14."""
    torch, open_clip = pytest.importorskip("torch"), pytest.importorskip("open_clip")
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    model = open_clip.model.CLIP(CLIP["embed_dim"], CLIP["vision_cfg"], CLIP["text_cfg"])
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return f"open_clip:local-dir:{folder}"


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs that bear LAION's scores, or none."""
    path = tmp_path_factory.mktemp("pool") / "00000.tar"
    with tarfile.open(path, "w") as out:
        for number, scores in enumerate(SCORES):
            noise = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(noise).save(blob := io.BytesIO(), "PNG")
            for ext, data in (("png", blob.getvalue()), ("txt", b"a picture"), ("json", json.dumps(scores).encode())):
                member = tarfile.TarInfo(f"{number:04d}.{ext}")
                member.size = len(data)
                out.addfile(member, io.BytesIO(data))
    return path


def test_the_aesthetics_recipe(head: Any, clip: str, tar: Path, tmp_path: Path) -> None:
    path, layers = head
    changes = [
        *(f"pool.path={tar}", "pool.name=small", f"signals.0.model={clip}", f"signals.1.weights={path}"),
        *("select.0.missing=drop", "select.1.missing=drop", "select.2.min=-100"),
    ]
    recipe = ROOT / "manifests/laion/aesthetic.yaml"
    result = curate.run(recipe, str(tmp_path), "inline", overrides=changes, quiet=True)
    run = curate.open_run(result["run"])
    assert run.ledger()["rule"].to_pylist() == ["safety", "safety", "watermark", None] * 3
    table = run.table("fate", "aesthetic", "image_embedding").filter(pc.field("fate") == "kept")
    vectors = np.array(table["image_embedding"].to_pylist(), np.float64)
    values = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for weight, bias in layers:
        values = values @ weight.T + bias
    assert table["aesthetic"].to_numpy() == pytest.approx(values[:, 0], rel=1e-5)


def test_a_head_that_is_not_there_stops_the_plan(tmp_path: Path, clip: str) -> None:
    recipe = ROOT / "manifests/laion/aesthetic.yaml"
    with pytest.raises(curate.CurateError, match=r"linearMSE\.pth"):
        curate.plan(recipe, str(tmp_path), [f"signals.0.model={clip}"])
