"""Boxes: xyxy as fractions of the image's width and height, in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2."""


def corners(box: Sequence[float], scale: tuple[float, float] = (1.0, 1.0)) -> Box:
    """From centre and size to xyxy, scaled per axis and clipped to [0, 1]."""
    x, y, width, height = box
    sides = ((x - width / 2) * scale[0], (y - height / 2) * scale[1])
    ends = ((x + width / 2) * scale[0], (y + height / 2) * scale[1])
    x1, y1, x2, y2 = (min(1.0, max(0.0, value)) for value in (*sides, *ends))
    return x1, y1, x2, y2
