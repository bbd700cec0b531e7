"""Images and texts as unit vectors in one space: the interface that every image-text encoder here has."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from curate.errors import ModelError
from curate.models.device import Precision, pick
from curate.models.specs import Resolved, current, resolve

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Prepare = Callable[["Image"], np.ndarray]
"""From a PIL image of any mode and size to the model's input, uint8 (H, W, 3), H and W fixed by the model."""


class ImageTextEncoder(ABC):
    """`similarity = (images * texts).sum(axis=1)` in [-1, 1]. Open one with `image_text_encoder`.

    A row of the result depends on its own image or text only: batches always have `batch` rows, padded where needed.
    """

    spec: str
    """How it was asked for."""
    dim: int
    """Width d of the shared space."""
    batch: int
    """Rows of every batch that reaches the model."""
    device: torch.device
    precision: Precision
    """How it multiplies; see `curate.models.device`."""

    @abstractmethod
    def prepare(self, image: Image) -> np.ndarray:
        """On a CPU worker: the model's input, uint8 (H, W, 3)."""

    @abstractmethod
    def images_prepared(self, prepared: np.ndarray) -> np.ndarray:
        """What `prepare` gave, stacked, uint8 (n, H, W, 3), to float32 (n, d), unit rows."""

    @abstractmethod
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """n strings to float32 (n, d), unit rows."""

    def images(self, images: Sequence[Image]) -> np.ndarray:
        """n PIL images to float32 (n, d), unit rows."""
        rows = []
        for at in range(0, len(images), self.batch):
            part = [self.prepare(image) for image in images[at : at + self.batch]]
            rows.append(self.images_prepared(np.stack(part)))
        return np.concatenate(rows) if rows else np.zeros((0, self.dim), np.float32)


def image_text_encoder(spec: str = "default", device: str = "auto", precision: Precision = "auto") -> ImageTextEncoder:
    """Open an encoder; equal arguments give the same object, so weights are loaded once per process,
    and anew when their files have changed.

    `spec`: see `curate.models`. `device`: auto, cpu, cuda or cuda:N. `precision`: auto, fp32 or bf16. Raises
    ModelError, MissingExtra, EnvironmentFault.
    """
    return _open(current(spec), str(pick(device)), precision)


@lru_cache(maxsize=4)
def _open(found: Resolved, device: str, precision: Precision) -> ImageTextEncoder:
    if found.spec == "default":
        from curate.models.default import DefaultEncoder

        return DefaultEncoder(device, precision)
    if found.kind == "open_clip":
        from curate.models.openclip import OpenClipEncoder

        return OpenClipEncoder(found, device, precision)
    from curate.models.hf import TransformersEncoder

    return TransformersEncoder(found, device, precision)


def preparer(spec: str = "default") -> Prepare:
    """`image_text_encoder(spec).prepare` without loading any weights: what a CPU worker needs, for every image."""
    if spec in ("default", "classifier:default"):
        from curate.models.imagenet import prepare

        return prepare
    return _preparer(current(spec))


@lru_cache(maxsize=4)
def _preparer(found: Resolved) -> Prepare:
    if found.kind == "open_clip":
        from curate.models.openclip import open_preparer

        return open_preparer(found)
    from curate.models.hf import open_processor

    return open_processor(found).prepare


def dimension(spec: str = "default") -> int:
    """Width of the model's shared space, from its configuration: no weights are read.

    Raises ModelError for an unknown model or a configuration that does not tell.
    """
    found = resolve(spec)
    if found.kind == "embedded":
        from curate.models.sentences import DIM

        return DIM
    if found.kind == "open_clip":
        from curate.models.openclip import architecture_config

        width = architecture_config(found).get("embed_dim")
    else:
        from curate.models.hf import text_width

        config = found.path / "config.json"
        stated = json.loads(config.read_text()) if config.is_file() else {}
        width = stated.get("projection_dim") or text_width(found)
    if not isinstance(width, int):
        raise ModelError(f"{spec}: its configuration names no embedding width; is it an image-text encoder?")
    return width
