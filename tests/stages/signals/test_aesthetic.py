"""The aesthetics head: a chain of layers is one map, whatever file it comes in; anything else is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.contracts import Batch
from curate.errors import ModelError
from stages.signals.aesthetic import Aesthetic, affine

SHAPES = ((1024, 768), (128, 1024), (64, 128), (16, 64), (1, 16))
PLACES = (0, 2, 4, 6, 7)
"""Of the linear layers among the dropouts, in the published predictor."""


def head(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    for place, shape in zip(PLACES, SHAPES, strict=True):
        tensors[f"layers.{place}.weight"] = (rng.normal(size=shape) / np.sqrt(shape[1])).astype(np.float32)
        tensors[f"layers.{place}.bias"] = rng.normal(size=shape[0]).astype(np.float32)
    return tensors


def save(path: Path, tensors: dict[str, np.ndarray]) -> str:
    if path.suffix == ".safetensors":
        safetensors = pytest.importorskip("safetensors.numpy")
        safetensors.save_file(tensors, path)
    else:
        torch = pytest.importorskip("torch")
        torch.save({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, path)
    return str(path)


def scores(path: str, vectors: np.ndarray) -> list[float | None]:
    return list(Aesthetic(weights=path).compute(Batch({"image_embedding": vectors}))["aesthetic"])


@pytest.mark.parametrize("name", ["head.pth", "head.safetensors"])
def test_the_published_network_itself_agrees(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layers: list[Any] = []
    for place, (out, width) in zip(PLACES, SHAPES, strict=True):
        while len(layers) < place:
            layers.append(torch.nn.Dropout(0.2))
        layers.append(torch.nn.Linear(width, out))
    network = torch.nn.Sequential(*layers).double().eval()
    tensors = head()
    stored = {name.removeprefix("layers."): torch.from_numpy(tensor) for name, tensor in tensors.items()}
    network.load_state_dict(stored)
    vectors = np.random.default_rng(1).normal(size=(20, 768)) * 7
    with torch.no_grad():
        unit = torch.nn.functional.normalize(torch.from_numpy(vectors), dim=1)
        expected = network(unit)[:, 0].numpy()
    assert scores(save(tmp_path / name, tensors), vectors) == pytest.approx(expected, rel=1e-9)


def test_a_row_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    path = save(tmp_path / "head.safetensors", head())
    vectors = np.random.default_rng(2).normal(size=(9, 768)).astype(np.float16)
    assert scores(path, vectors) == [scores(path, row[None])[0] for row in vectors]


def test_rows_without_an_embedding(tmp_path: Path) -> None:
    path = save(tmp_path / "head.safetensors", head())
    vectors = np.random.default_rng(3).normal(size=(3, 768))
    vectors[1] = np.nan
    found = scores(path, vectors)
    assert found[1] is None and found[0] is not None
    assert scores(path, np.array([None, None], object)) == [None, None]


def test_a_changed_head_is_another_model(tmp_path: Path) -> None:
    vectors = np.random.default_rng(4).normal(size=(2, 768))
    path = tmp_path / "head.safetensors"
    first = scores(save(path, head(0)), vectors)
    assert scores(save(path, head(1)), vectors) != first


class Code:
    """A pickle that runs a program when it is opened."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, ("1 / 0",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers.0.weight": None}, "layers"),
        ({"layers.8.weight": np.ones((1, 1))}, "layers"),
        ({"other": np.ones(1)}, "not weight and bias"),
        ({"layers.4.weight": np.ones((64, 100))}, "takes 100 values"),
        ({"layers.2.weight": np.full((128, 1024), np.nan)}, "no linear layer"),
        ({"layers.7.weight": np.ones((2, 16)), "layers.7.bias": np.ones(2)}, "gives 2 values"),
    ],
)
def test_other_tensors_are_refused(change: dict[str, np.ndarray | None], message: str) -> None:
    tensors = {name: tensor for name, tensor in {**head(), **change}.items() if tensor is not None}
    with pytest.raises(ValueError, match=message):
        affine(tensors)


def test_other_files_are_refused(tmp_path: Path) -> None:
    vectors = np.ones((1, 768))
    with pytest.raises(ModelError, match="no aesthetics head at"):
        scores(str(tmp_path / "none.pth"), vectors)
    with pytest.raises(ModelError, match="width 768, 'image_embedding' has 512"):
        scores(save(tmp_path / "head.safetensors", head()), np.ones((1, 512)))
    for name, content in (("a.pth", b"no"), ("b.safetensors", b"no"), ("c.pth", pickle.dumps(Code()))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match="is no aesthetics head"):
            scores(str(tmp_path / name), vectors)
