"""What tells pictures of screens and empty pictures from photographs and drawings: colours, straight lines, thin strokes.

No publication gives a rule for screenshots that needs no model. These facts are counts of pixels, and the thresholds of
`filters.image.NotScreenshot` were chosen on a software manual against photographs and drawings (docs/methods/screenshots.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from curate.contracts import Batch, ImageLevel, Signal

if TYPE_CHECKING:
    from PIL.Image import Image

STEP: Final = 8
"""Least difference of neighbouring grey levels that is an edge of a line."""
EVEN: Final = 3
"""How far that difference may change from one pixel of a line to the next."""
LENGTH: Final = 24
"""Least length of a line in px of the reduced image, about a tenth of its short side."""
LARGEST: Final = 4_000_000
"""Pixels above which the reduced image is reduced again: only banners are so large."""
STROKE: Final = 24
"""Least difference of a thin stroke to its ground."""


class Graphics(Signal):
    """`top_color`: share of the pixels that have the most frequent colour, of 4,096 (four bits a channel).

    `contrast`: distance of the darkest from the brightest hundredth. `flat`: share of the pixels that equal their right and
    lower neighbours, to 2 levels. `lines`: pixels on horizontal or vertical edges of at least 24 px and one height, as the
    frames of windows have, over all pixels. `strokes`: share of the pixels on vertical strokes of at most 3 px on an
    even ground, as letters have.
    """

    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 2.0

    def gives(self) -> dict[str, pa.DataType]:
        """Shares in [0, 1], but for `lines`, in which a corner counts twice; contrast in [0, 1]."""
        return {name: pa.float32() for name in ("top_color", "contrast", "flat", "lines", "strokes")}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """One row of five floats per image."""
        rows = np.array([_facts(image) for image in batch.images], np.float32).reshape(-1, 5)
        return dict(zip(self.gives(), rows.T, strict=True))


def _facts(image: Image) -> tuple[float, float, float, float, float]:
    if image.width * image.height > LARGEST:
        image = image.reduce(math.ceil(math.sqrt(image.width * image.height / LARGEST)))
    luma = image.convert("L")
    grey = np.asarray(luma, np.int16)
    right, down = np.diff(grey, axis=1), np.diff(grey, axis=0)
    still = (np.abs(right[:-1]) <= 2) & (np.abs(down[:, :-1]) <= 2)
    flat = float(still.mean()) if still.size else 1.0
    lines = (_on_lines(down) + _on_lines(right.T)) / grey.size
    return top_color(np.asarray(image)), contrast(luma.histogram()), flat, lines, _strokes(grey)


def top_color(pixels: np.ndarray) -> float:
    """Share of the most frequent colour of uint8 (h, w, 3), four bits a channel."""
    high = pixels.reshape(-1, 3) >> 4
    codes = high @ np.array([256, 16, 1], np.uint16)
    return float(np.bincount(codes, minlength=1).max() / len(codes))


def contrast(histogram: Sequence[int]) -> float:
    """From 256 counts: how far apart the 1st and the 99th hundredth are, [0, 1]."""
    running = np.cumsum(histogram)
    low, high = np.searchsorted(running, [0.01 * running[-1], 0.99 * running[-1]])
    return float((high - low) / 255)


def _on_lines(across: np.ndarray) -> int:
    """Pixels in runs along axis 1 of differences `across` an edge that are large and change little along it."""
    edge = np.abs(across) >= STEP
    edge[:, 1:] &= np.abs(np.diff(across, axis=1)) <= EVEN
    rows, length = edge.shape
    ends = np.zeros((rows, length + 2), np.int8)
    ends[:, 1:-1] = edge
    turns = np.diff(ends, axis=1).ravel()  # +1 where a run begins, -1 behind its end; a row never leaves one open
    runs = np.flatnonzero(turns == -1) - np.flatnonzero(turns == 1)
    return int(runs[runs >= LENGTH].sum())


def _strokes(grey: np.ndarray) -> float:
    """Share of pixels whose neighbours two to the left and right are alike, and unlike it."""
    left, middle, right = grey[:, :-4], grey[:, 2:-2], grey[:, 4:]
    if not middle.size:
        return 0.0
    return float(((np.abs(left - right) <= 4) & (np.abs(middle - left) >= STROKE)).mean())
