"""How much people liked images of such an embedding: LAION's aesthetics head."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal
from curate.errors import MissingExtra, ModelError


class Aesthetic(Signal):
    """LAION-Aesthetics V2 (Schuhmann 2022, improved-aesthetic-predictor), 1 to 10 as its raters voted.

    A chain of linear layers on the image embedding, scaled to unit length, with dropout and no activation between them:
    one affine map. `weights` is the published sac+logos+ava1-l14-linearMSE.pth or the same tensors as safetensors; it
    wants the embeddings of OpenAI's CLIP ViT-L/14. Any head of `layers.N.weight` and `layers.N.bias` will do.
    """

    cost: ClassVar[float] = 0.002

    weights: str = Field(description="path of the head, *.pth or *.safetensors")
    column: str = Field(default="image_embedding", description="embeddings by the model that the head was trained on")

    def inputs(self) -> tuple[str, ...]:
        """The embedding's column."""
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """aesthetic: a vote, null without an embedding."""
        return {"aesthetic": pa.float32()}

    def models(self) -> tuple[str, ...]:
        """The head as a spec."""
        return (f"file:{self.weights}",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Raises ModelError for weights that are no such head, or one for embeddings of another width."""
        path = Path(self.weights)
        slope, offset = _head(path, path.stat().st_mtime_ns if path.is_file() else 0)
        vectors = batch.columns[self.column]
        scores = np.full(len(vectors), None, object)
        if vectors.ndim != 2:  # no row of the batch has one
            return {"aesthetic": scores}
        if vectors.shape[1] != len(slope):
            wants = f"{path.name} wants embeddings of width {len(slope)}"
            raise ModelError(f"{wants}, {self.column!r} has {vectors.shape[1]}: they come from another model")
        there = np.isfinite(vectors).all(axis=1)
        unit = vectors[there].astype(np.float64)
        length = np.linalg.norm(unit, axis=1)
        length[length == 0] = 1  # as the original guards it
        scores[there] = np.einsum("nd,d->n", unit, slope) / length + offset
        return {"aesthetic": scores}


def affine(tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """A chain of linear layers as one map, float64: (d,) and offset, so that `score = x @ slope + offset`.

    `tensors`: layers.N.weight (out, in) and layers.N.bias (out,), applied in order of N. Raises ValueError for others.
    """
    numbers = sorted(
        {int(found[1]) for name in tensors if (found := re.fullmatch(r"layers\.(\d+)\.(weight|bias)", name))}
    )
    if not numbers or len(tensors) != 2 * len(numbers):
        raise ValueError(f"it holds {', '.join(sorted(tensors)[:4]) or 'nothing'}, not weight and bias of layers.N")
    slope, offset = np.zeros((0, 0)), np.zeros(0)
    for number in numbers:
        weight, bias = (np.asarray(tensors[f"layers.{number}.{part}"], np.float64) for part in ("weight", "bias"))
        if (
            weight.ndim != 2
            or bias.shape != weight.shape[:1]
            or not (np.isfinite(weight).all() and np.isfinite(bias).all())
        ):
            raise ValueError(f"layers.{number} is no linear layer")
        if number == numbers[0]:
            slope, offset = weight, bias
        elif weight.shape[1] != len(slope):
            raise ValueError(f"layers.{number} takes {weight.shape[1]} values, the layer before gives {len(slope)}")
        else:
            slope, offset = weight @ slope, weight @ offset + bias
    if len(slope) != 1:
        raise ValueError(f"the last layer gives {len(slope)} values, not one")
    return slope[0], float(offset[0])


@cache
def _head(path: Path, changed: int) -> tuple[np.ndarray, float]:
    if not path.is_file():
        raise ModelError(f"there is no aesthetics head at {path}")
    try:
        return affine(_tensors(path))
    except ValueError as error:
        raise ModelError(f"{path} is no aesthetics head: {error}") from error


def _tensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a safetensors file, or of a state dict that torch reads without running any code in it."""
    if path.suffix == ".safetensors":
        try:
            from safetensors import SafetensorError
            from safetensors.numpy import load_file
        except ImportError as error:
            raise MissingExtra("safetensors", extra="models") from error
        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", extra="models") from error
    from pickle import UnpicklingError

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError("it is no state dict")
    return {str(name): value.to(torch.float64).numpy() for name, value in state.items()}
