"""Uniform borders around an image: letterbox, pillarbox, frames, and the margins of what stands on a plain ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from curate.contracts import Batch, ImageLevel, Signal

if TYPE_CHECKING:
    from PIL.Image import Image

TOLERANCE: Final = 12
"""Levels of 0 to 255 by which a pixel of a border may differ from its colour: the noise of JPEG at quality 50."""
UNIFORM: Final = 0.98
"""Share of a line's pixels that have to be of the border's colour."""
_BLOCK: Final = 16
"""Lines that are looked at together."""


class Borders(Signal):
    """How much of the image is border, per side, and how much is `content`.

    A border is a run of lines from the edge of one colour, the same in all of them. Rows first, then columns between
    them, so that a frame has four. An image of one colour is border all through: four times 0.5, content 0.
    """

    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 0.2

    def gives(self) -> dict[str, pa.DataType]:
        """Shares of the height, of the width, and (content) of the area, [0, 1]."""
        names = ("border_top", "border_bottom", "border_left", "border_right", "content")
        return {name: pa.float32() for name in names}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """One row of five floats per image."""
        rows = np.array([_shares(image) for image in batch.images], np.float32).reshape(-1, 5)
        return dict(zip(self.gives(), rows.T, strict=True))


def borders(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Lines of border at top, bottom, left and right of uint8 (h, w, 3)."""
    height, width = pixels.shape[:2]
    top = _run(pixels)
    if top == height:
        return height, 0, width, 0
    bottom = _run(pixels[::-1])
    inside = pixels[top : height - bottom].swapaxes(0, 1)
    return top, bottom, _run(inside), _run(inside[::-1])


def _shares(image: Image) -> tuple[float, float, float, float, float]:
    top, bottom, left, right = borders(np.asarray(image))
    if top == image.height:
        return 0.5, 0.5, 0.5, 0.5, 0.0
    rows, columns = image.height - top - bottom, image.width - left - right
    content = rows * columns / (image.height * image.width)
    return top / image.height, bottom / image.height, left / image.width, right / image.width, content


def _run(lines: np.ndarray) -> int:
    """How many lines from the first on are of the first one's median colour. Most images end at the first."""
    colour = np.median(lines[0], axis=0).astype(np.int16)
    start, many = 0, 1
    while start < len(lines):
        block = lines[start : start + many].astype(np.int16)
        like = (np.abs(block - colour) <= TOLERANCE).all(axis=2).mean(axis=1) >= UNIFORM
        if not like.all():
            return start + int(np.argmin(like))
        start, many = start + many, _BLOCK
    return len(lines)
