"""Perceptual hashes of the package imagehash 4.3.2."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.signals.hashes import average_hash, dhash, phash, to_hex


def drawing(formula: str, width: int, height: int) -> Image.Image:
    """The grey image that a fixture names."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    values = {
        "gradx": x * 255 / (width - 1),
        "grady": y * 255 / (height - 1),
        "checker": ((x // 8 + y // 8) % 2) * 255,
        "circle": ((x - width / 2) ** 2 + (y - height / 2) ** 2 < (width / 4) ** 2) * 255.0,
        "sin": 127.5 + 127.5 * np.sin(x / 7) * np.cos(y / 11),
        "const": np.full((height, width), 128.0),
    }[formula]
    return Image.fromarray(values.astype(np.uint8))


@pytest.mark.parity("perceptual_hashes")
def test_perceptual_hashes(case: dict[str, Any]) -> None:
    picture = drawing(**case["input"])
    for name, method in (("phash", phash), ("dhash", dhash), ("average_hash", average_hash)):
        assert to_hex(method([picture])) == [case["expected"][name]]
