"""Deterministic JPEGs with planted faults: too small, too long, blurred, and copies, exact or rescaled.

An image is a function of (seed, number, megapixels): noise of several octaves as photographs have it, shapes with edges,
grain, a JPEG quality between 70 and 94. The sides of clean ones lie between 0.6 and 1.6 times the square root of the area.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SHARES = {"near_dup": 0.08, "exact_dup": 0.02, "small": 0.10, "aspect": 0.06, "blur": 0.08}
"""Of each fault; the rest is clean."""


@dataclass(frozen=True)
class Planted:
    """One encoded JPEG. `truth`: clean or a key of SHARES; `mate`: number of the image that a duplicate copies."""

    number: int
    blob: bytes
    truth: str
    mate: int | None = None


def jpegs(count: int, megapixels: float = 0.24, seed: int = 0) -> Iterator[Planted]:
    """`count` images; duplicates copy a clean image among the last hundred."""
    clean: list[tuple[int, Image.Image, bytes]] = []
    for number in range(count):
        draw = np.random.default_rng([seed, number])
        truth = _truth(draw.random())
        if truth in ("near_dup", "exact_dup") and not clean:
            truth = "clean"
        if truth in ("near_dup", "exact_dup"):
            mate, picture, blob = clean[int(draw.integers(len(clean)))]
            if truth == "near_dup":
                blob = _encode(picture.resize((picture.width * 9 // 10, picture.height * 9 // 10)), draw)
            yield Planted(number, blob, truth, mate)
            continue
        picture = _picture(*_size(truth, megapixels, draw), draw)
        if truth == "blur":
            picture = picture.filter(ImageFilter.GaussianBlur(min(picture.size) / 48))
        blob = _encode(picture, draw)
        if truth == "clean":
            clean = [*clean[-99:], (number, picture, blob)]
        yield Planted(number, blob, truth)


def _truth(at: float) -> str:
    for truth, share in SHARES.items():
        if at < share:
            return truth
        at -= share
    return "clean"


def _size(truth: str, megapixels: float, draw: np.random.Generator) -> tuple[int, int]:
    side = (megapixels * 1e6) ** 0.5
    if truth == "small":
        return int(draw.integers(32, 180)), int(draw.integers(64, 400))
    if truth == "aspect":
        return int(2.4 * side), int(max(200, 0.45 * side))
    width, height = (max(256, int(side * factor)) for factor in draw.uniform(0.6, 1.5, 2))
    return width, height


def _picture(width: int, height: int, draw: np.random.Generator) -> Image.Image:
    """Colours of three octaves with falling weights, a dozen shapes, and grain of 6 grey levels."""
    pixels = np.zeros((height, width, 3), np.float32)
    for cell, weight in ((96, 0.6), (24, 0.3), (6, 0.1)):
        coarse = draw.integers(0, 256, (max(2, height // cell), max(2, width // cell), 3), dtype=np.uint8)
        resized = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        pixels += weight * np.asarray(resized, np.float32)
    picture = Image.fromarray(pixels.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(draw.integers(8, 16))):
        x, y = draw.integers(0, width), draw.integers(0, height)
        w, h = draw.integers(8, max(9, width // 2)), draw.integers(8, max(9, height // 2))
        colour = tuple(draw.integers(0, 256, 3).tolist())
        shape = pen.ellipse if draw.random() < 0.5 else pen.rectangle
        shape([int(x - w // 2), int(y - h // 2), int(x + w // 2), int(y + h // 2)], fill=colour)
    grain = draw.standard_normal((height, width, 1), np.float32) * 6
    return Image.fromarray((np.asarray(picture, np.float32) + grain).clip(0, 255).astype(np.uint8))


def _encode(picture: Image.Image, draw: np.random.Generator) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=int(draw.integers(70, 95)))
    return buffer.getvalue()
