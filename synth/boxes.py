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


def iou(a: Box, b: Box) -> float:
    """Intersection over union, [0, 1]; 0 where neither has an area."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / either if either > 0 else 0.0
