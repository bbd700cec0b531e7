"""Perceptual hashes: those of the package imagehash (without its scipy), one that bears compression, and PDQ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, ClassVar, Final

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
    version: ClassVar[int] = 2

    tolerance: float = Field(
        default=384, ge=0, description="in units of the unnormalised DCT; typical values are 20,000"
    )

    def gives(self) -> dict[str, pa.DataType]:
        """phash: 16 hexadecimal digits (a nullable uint64 would become a float on its way); mean_rgb: 6, `ff8800`."""
        return {"phash": pa.string(), "mean_rgb": pa.string()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """A hash sees grey only: the mean colour tells a red button from a blue one."""
        return {"phash": to_hex(phash(batch.images, self.tolerance)), "mean_rgb": mean_colors(batch.images)}


class Pdq(Signal):
    """PDQ (Facebook 2019, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm"): 256 bits.

    Copies lie at most 31 bits apart, and hashes of a quality below 50 are not to be compared, as its authors say. The
    hash is the published one, so that lists of others can be matched: of the reduced decode, which moves 0.05 bits on average.
    """

    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 0.4
    version: ClassVar[int] = 2

    def gives(self) -> dict[str, pa.DataType]:
        """pdq: 64 hexadecimal digits, as PDQ's tools write it; pdq_quality: 0 to 100; pdq_rgb: mean colour, `ff8800`."""
        return {"pdq": pa.string(), "pdq_quality": pa.int32(), "pdq_rgb": pa.string()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Hash and quality of each image on its own."""
        hashes, quality = pdq(batch.images)
        return {"pdq": to_hex(hashes), "pdq_quality": quality, "pdq_rgb": mean_colors(batch.images)}


def mean_colors(pictures: Sequence[Image.Image]) -> list[str]:
    """The mean of pictures, two hexadecimal digits a channel."""
    small = [bounded(picture) for picture in pictures]  # sums of 2^24 pixels are more than Pillow holds
    return [picture.reduce(picture.size).tobytes().hex() for picture in small]


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


SMALLEST: Final = 5
"""Pixels: PDQ calls smaller images nothing, with a quality of 0."""
LONGEST: Final = 2048
"""Sides in px above which a picture is averaged before its hash: they are banners, and matrices have a size too."""
LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
"""Rec. 601."""


def pdq(pictures: Sequence[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    """uint64 (n, 4), first bit first, and quality int32 (n,), of RGB pictures.

    Luma, two box filters along each axis (a tent) down to 64x64, the frequencies 1 to 16 of its DCT: one bit each, set
    above their lower median. Quality counts steps between neighbours of the 64x64, in hundredths of the range. Pictures
    are `bounded` before.
    """
    small = np.zeros((len(pictures), 64, 64))
    for i, picture in enumerate(pictures):
        if min(picture.size) >= SMALLEST:
            luma = np.asarray(bounded(picture)).astype(np.float32) @ LUMA
            small[i] = _shrink(luma.shape[0]) @ luma @ _shrink(luma.shape[1]).T
    steps = [np.abs(np.trunc(np.diff(small, axis=axis) * 100 / 255)).sum(axis=(1, 2)) for axis in (1, 2)]
    quality = np.minimum((steps[0] + steps[1]) // 90, 100).astype(np.int32)
    # In symmetric drawings frequencies are zero but for the order of additions: rounding makes them so.
    found = np.round(_frequencies() @ small @ _frequencies().T, 4).reshape(-1, 256)
    bits = found > np.partition(found, 127, axis=1)[:, 127:128]
    return np.packbits(bits[:, ::-1], axis=1).view(">u8").astype(np.uint64), quality


def bounded(picture: Image.Image) -> Image.Image:
    """The picture, or box averages of it where a side is above `LONGEST`."""
    factors = (-(-picture.width // LONGEST), -(-picture.height // LONGEST))
    return picture if factors == (1, 1) else picture.reduce(factors)


def to_hex(hashes: np.ndarray) -> list[str]:
    """uint64 (n,) or (n, words) -> 16 hexadecimal digits a word, first bit first."""
    digits, length = hashes.astype(">u8").tobytes().hex(), 16 * hashes[:1].size
    return [digits[i : i + length] for i in range(0, len(digits), max(16, length))]


def from_hex(hashes: Sequence[str]) -> np.ndarray:
    """16 hexadecimal digits a word -> uint64 (words of all hashes,)."""
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


@lru_cache(maxsize=256)
def _shrink(side: int) -> np.ndarray:
    """float32 (64, side): two means over a window of a 128th of the side, then every (side / 64)-th value.

    At the border the window is cut; an even one reaches one further to the left.
    """
    window = -(-side // 128)
    reach = (window + 2) // 2
    centres = ((np.arange(64) + 0.5) * side / 64).astype(np.int64)
    seen = centres[:, None] + np.arange(reach - window, reach)  # what the second mean sees of the first
    inside = (seen >= 0) & (seen < side)
    begins, ends = (np.clip(seen + offset, 0, side) for offset in (reach - window, reach))
    weights = inside / np.maximum(ends - begins, 1) / inside.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(64)[:, None], seen.shape)
    rises = np.zeros((64, side + 1))  # of the sum of all windows, each a step up and a step down
    np.add.at(rises, (rows, begins), weights)
    np.subtract.at(rises, (rows, ends), weights)
    return np.cumsum(rises, axis=1)[:, :-1].astype(np.float32)


@cache
def _frequencies() -> np.ndarray:
    """float64 (16, 64): rows 1 to 16 of the orthonormal DCT-II."""
    return np.sqrt(2 / 64) * np.cos(np.pi / 128 * np.arange(1, 17)[:, None] * (2 * np.arange(64) + 1))


def _pack(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
