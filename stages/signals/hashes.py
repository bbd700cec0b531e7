"""Perceptual hashes of 64 bits: those of the package imagehash (without its scipy), and one that bears compression."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Signal


class PHash(Signal):
    """DCT hash: near-identical images differ in a few of 64 bits, however they were scaled or compressed.

    `tolerance` is how far a frequency has to lie above the median to be one. Drawings have frequencies of exactly zero,
    which compression scatters around zero: without it a flag and its JPEG differ in up to 24 bits. 0 is imagehash's.
    """

    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 0.6

    tolerance: float = Field(
        default=384, ge=0, description="in units of the unnormalised DCT; typical values are 20,000"
    )

    def gives(self) -> dict[str, pa.DataType]:
        """phash: 16 hexadecimal digits (a nullable uint64 would become a float on its way); mean_rgb: 6, `ff8800`."""
        return {"phash": pa.string(), "mean_rgb": pa.string()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """A hash sees grey only: the mean colour tells a red button from a blue one."""
        colours = [picture.reduce(picture.size).tobytes().hex() for picture in batch.images]
        return {"phash": to_hex(phash(batch.images, self.tolerance)), "mean_rgb": colours}


def phash(pictures: Sequence[Image.Image], tolerance: float = 0.0) -> np.ndarray:
    """uint64 (n,): which of the 8x8 lowest frequencies of 32x32 grey pixels lie above their median (Krawetz 2011)."""
    # Where bits may differ anyway, box averages down to three times the size come first: nine times faster.
    grey = _grey(pictures, 32, 32, reducing_gap=3.0 if tolerance else None)
    low = _cosines() @ grey @ _cosines().T
    # Rounding makes exact zeros of what is zero but for the order of additions, as it is in gradients and flat images.
    low = np.round(low, 6).reshape(-1, 64)
    return _pack(low > np.median(low, axis=1, keepdims=True) + tolerance)


def dhash(pictures: Sequence[Image.Image]) -> np.ndarray:
    """uint64 (n,): whether each of 8x8 grey pixels is darker than its right neighbour (Krawetz 2013)."""
    grey = _grey(pictures, 9, 8)
    return _pack((grey[:, :, 1:] > grey[:, :, :-1]).reshape(-1, 64))


def average_hash(pictures: Sequence[Image.Image]) -> np.ndarray:
    """uint64 (n,): whether each of 8x8 grey pixels lies above their mean (Krawetz 2011)."""
    grey = _grey(pictures, 8, 8).reshape(-1, 64)
    return _pack(grey > grey.mean(axis=1, keepdims=True))


def to_hex(hashes: np.ndarray) -> list[str]:
    """uint64 (n,) -> 16 hexadecimal digits each, first bit first."""
    digits = hashes.astype(">u8").tobytes().hex()
    return [digits[i : i + 16] for i in range(0, len(digits), 16)]


def from_hex(hashes: Sequence[str]) -> np.ndarray:
    """16 hexadecimal digits each -> uint64 (n,)."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").astype(np.uint64)


def _grey(pictures: Sequence[Image.Image], width: int, height: int, reducing_gap: float | None = None) -> np.ndarray:
    """float64 (n, height, width), 0 to 255."""
    lanczos = Image.Resampling.LANCZOS
    resized = [p.convert("L").resize((width, height), lanczos, reducing_gap=reducing_gap) for p in pictures]
    return np.array([np.asarray(picture) for picture in resized], np.float64).reshape(-1, height, width)


@cache
def _cosines() -> np.ndarray:
    """float64 (8, 32): the eight lowest rows of the unnormalised DCT-II."""
    return 2 * np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(32) + 1) / 64)


def _pack(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
