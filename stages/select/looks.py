"""What an image looks like: its perceptual hash and its mean colour, read from a pool's columns."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from curate.contracts import Columns
from stages.select.hamming import flat
from stages.signals.hashes import from_hex


class Hash(NamedTuple):
    """A perceptual hash: its column, those of the mean colour and of its quality, its 64-bit words, and how many bits
    copies may differ in."""

    column: str
    color: str
    quality: str | None
    words: int
    most: int

    def columns(self, colored: bool) -> tuple[str, ...]:
        """The columns that tell a look."""
        return (self.column, *((self.quality,) if self.quality else ()), *((self.color,) if colored else ()))

    def read(self, columns: Columns, colored: bool, min_quality: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bool (n,): rows whose hash says something and, if `colored`, that have a mean colour too; of those the hash,
        uint64 (m, words), and the colour (m,)."""
        has, _ = present(columns[self.column])
        if colored:
            has &= present(columns[self.color])[0]
        if self.quality:
            has &= columns[self.quality] >= min_quality
        hashes = from_hex(columns[self.column][has].tolist()).reshape(-1, self.words)
        telling = ~flat(hashes)
        has[has], hashes = telling, hashes[telling]
        if not colored:
            return has, hashes, np.zeros(len(hashes), np.uint64)
        rgb = np.frombuffer(bytes.fromhex("".join(columns[self.color][has].tolist())), np.uint8).reshape(-1, 3)
        return has, hashes, rgb.astype(np.uint64) @ np.array([1 << 16, 1 << 8, 1], np.uint64)


HASHES: Final = {"phash": Hash("phash", "mean_rgb", None, 1, 16), "pdq": Hash("pdq", "pdq_rgb", "pdq_quality", 4, 31)}


def same_color(a: np.ndarray, b: np.ndarray, limit: int) -> np.ndarray:
    """Boolean (n,): colours, uint64 (n,) as 0xRRGGBB, that differ by at most so many levels in each channel."""
    channels = np.array([16, 8, 0], np.uint64)
    a, b = (((colors[:, None] >> channels) & np.uint64(255)).astype(np.int16) for colors in (a, b))
    apart: np.ndarray = np.abs(a - b).max(axis=1, initial=0)
    return apart <= limit


def present(values: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Bool (n,): rows with a value; and those values."""
    has = np.array([value is not None for value in values.tolist()], bool)
    return has, values[has].tolist()
