"""Sharpness and perceptual hash from luma alone, for pools where no other signal of the recipe needs colours or detail.

Of a JPEG only the luma is decoded, at a short side of 128 to 255 px: a third of the work of `Pixels` and `PHash`, which
cost next to nothing where a thumb is decoded anyway. Values are on a scale of their own, that of 128 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Signal
from stages.signals.hashes import bounded, mean_colors, to_hex
from stages.signals.image import sharpness

SIDE: Final = 128
"""Short side, in pixels, at which sharpness is taken; smaller images are not enlarged."""
_LOBES: Final = 3
"""Of the Lanczos kernel."""


class Luma(Signal):
    """`sharpness` (variance of the Laplacian), `entropy` and `brightness` as `Pixels` has them, at a short side of 128."""

    image: ClassVar[ImageLevel | None] = "luma"
    cost: ClassVar[float] = 0.5

    def gives(self) -> dict[str, pa.DataType]:
        """sharpness >= 0; entropy in bits, 0 to 8; brightness 0 to 1."""
        return {name: pa.float32() for name in ("sharpness", "entropy", "brightness")}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """One row of three floats per image."""
        histograms = np.array([grey.histogram() for grey in batch.images], np.float64).reshape(-1, 256)
        shares = histograms / np.maximum(histograms.sum(axis=1, keepdims=True), 1)
        bits = shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
        return {
            "sharpness": np.array([sharpness(_canonical(grey)) for grey in batch.images], np.float32),
            "entropy": np.abs(bits.sum(axis=1)).astype(np.float32),
            "brightness": (shares @ np.arange(256) / 255).astype(np.float32),
        }


class LumaHash(Signal):
    """`phash` as `PHash` has it, but for rounding: resizing to 32 x 32 and the cosine transform are one matrix product.

    `mean_rgb` is grey, so `Duplicates` takes two pictures that differ in colour alone for copies.
    """

    image: ClassVar[ImageLevel | None] = "luma"
    cost: ClassVar[float] = 0.2
    version: ClassVar[int] = 2

    tolerance: float = Field(default=384, ge=0, description="as of `stages.signals.hashes.PHash`")

    def gives(self) -> dict[str, pa.DataType]:
        """phash: 16 hexadecimal digits; mean_rgb: the mean luma three times, `808080`."""
        return {"phash": pa.string(), "mean_rgb": pa.string()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """One hash per image."""
        means = [grey * 3 for grey in mean_colors(batch.images)]
        return {"phash": to_hex(luma_hash(batch.images, self.tolerance)), "mean_rgb": means}


def luma_hash(pictures: Sequence[Image.Image], tolerance: float) -> np.ndarray:
    """uint64 (n,) of grey images: which of the 8 x 8 lowest frequencies lie above their median by more than `tolerance`."""
    low = np.array([_frequencies(bounded(picture)) for picture in pictures], np.float32).reshape(-1, 64)
    bits = low > np.median(low, axis=1, keepdims=True) + np.float32(tolerance)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def _frequencies(grey: Image.Image) -> np.ndarray:
    """float32 (8, 8)."""
    return np.asarray(_lowest(grey.height) @ np.asarray(grey, np.float32) @ _lowest(grey.width).T)


@lru_cache(maxsize=1024)
def _lowest(length: int) -> np.ndarray:
    """float32 (8, length): the eight lowest rows of the DCT-II of 32 samples, after Lanczos resampling to them."""
    cosines = 2 * np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(32) + 1) / 64)
    return (cosines @ _lanczos(length, 32)).astype(np.float32)


def _lanczos(length: int, samples: int) -> np.ndarray:
    """float64 (samples, length): Pillow's weights, without its rounding to whole grey levels after each direction."""
    scale = length / samples
    reach = max(1.0, scale)
    away = (np.arange(length) + 0.5 - (np.arange(samples)[:, None] + 0.5) * scale) / reach
    weights = np.where(np.abs(away) < _LOBES, np.sinc(away) * np.sinc(away / _LOBES), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _canonical(grey: Image.Image) -> Image.Image:
    """By box averages, which for less than a halving are as good as the triangle and half its price."""
    short = min(grey.size)
    if short <= SIDE:
        return grey
    size = (round(grey.width * SIDE / short), round(grey.height * SIDE / short))
    return grey.resize(size, Image.Resampling.BOX)
