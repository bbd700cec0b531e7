"""LAION's rules (laion.ai blog, laion-5b.md) and aesthetics head (improved-aesthetic-predictor@6934dd81)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.contracts import Batch
from filters.laion import LanguageSimilarity, Size
from stages.signals.aesthetic import Aesthetic, affine
from stages.signals.text import CaptionStats


@pytest.mark.parity("laion_filters")
def test_rules(case: dict[str, Any]) -> None:
    given = case["input"]
    counts = CaptionStats().compute(Batch({"text": np.array([given["text"]], object)}))
    columns = {
        "caption_chars": np.asarray(counts["caption_chars"]),
        "bytes": np.array([given["bytes"]]),
        "similarity": np.array([given["clip"]], np.float32),
        "lang": np.array([given["lang"]], object),
    }
    assert (Size()(columns) & LanguageSimilarity()(columns)).tolist() == [case["expected"]["keep"]]


SHAPES = [(1024, 768), (128, 1024), (64, 128), (16, 64), (1, 16)]
LAYERS = ["layers.0", "layers.2", "layers.4", "layers.6", "layers.7"]


def head() -> dict[str, np.ndarray]:
    """The weights that the fixtures state in closed form."""
    tensors = {}
    for k, (name, (out, width)) in enumerate(zip(LAYERS, SHAPES, strict=True)):
        o, i = np.arange(out)[:, None], np.arange(width)
        tensors[f"{name}.weight"] = np.sin(7 * o + 3 * i + k) / np.sqrt(width)
        tensors[f"{name}.bias"] = 0.1 * np.cos(5 * np.arange(out) + k)
    return tensors


@pytest.mark.parity("aesthetic_mlp")
def test_aesthetics_head(case: dict[str, Any], tmp_path: Path) -> None:
    tensors, expected = head(), case["expected"]
    if "linear_out_in" in expected:
        weights = [tensors[f"{name}.weight"].shape for name in expected["state_dict_keys"]]
        assert [list(shape) for shape in weights] == expected["linear_out_in"]
        assert sum(tensor.size for tensor in tensors.values()) == expected["n_params"]
        assert affine(tensors)[0].shape == (case["input"]["input_dim"],)
        return
    i = np.arange(768)
    formulas = {"cos input x100": 100 * np.cos(0.5 * i), "ramp": i / 768}
    vector = formulas.get(case["input"]["x_formula"], np.zeros(768))
    path = tmp_path / "head.pth"
    save(path, tensors)
    found = Aesthetic(weights=str(path)).compute(Batch({"image_embedding": vector[None]}))
    assert found["aesthetic"][0] == pytest.approx(expected["score"], rel=1e-6)


def save(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """As the predictor's authors saved it."""
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, path)
