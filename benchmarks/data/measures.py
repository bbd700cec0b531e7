"""What 'clean' and each image fault mean, as numbers measured here, apart from the signals that are tested with them.

Perceptual hash: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section 3.2.1,
in the usual 64-bit form: 32 x 32 grey, DCT-II, the lowest 8 x 8 coefficients against their median.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_N = np.arange(32)
_DCT = np.cos(np.pi / 32 * np.outer(np.arange(8), _N + 0.5))  # (8, 32): rows are DCT-II frequencies


@dataclass(frozen=True)
class Look:
    """Measures of one decoded image: size in px, grey-level entropy in bits, variance of the Laplacian, two hashes."""

    width: int
    height: int
    entropy: float
    spread: float
    sharpness: float
    hashes: tuple[int, int]

    @property
    def aspect(self) -> float:
        """Longer side over the shorter."""
        return max(self.width, self.height) / min(self.width, self.height)

    def distance(self, other: Look) -> int:
        """Hamming distance of the hashes, the smaller of both ways to treat alpha."""
        return min((a ^ b).bit_count() for a, b in zip(self.hashes, other.hashes, strict=True))


def look(data: bytes) -> Look:
    """Decode `data` and measure it. Raises what Pillow raises for bytes that are not a whole image."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        flat, bare = on_white(image).convert("L"), image.convert("RGBA").convert("L")
    grey = np.asarray(flat, np.float64)
    counts = np.bincount(np.asarray(flat).ravel(), minlength=256) / grey.size
    present = counts[counts > 0]
    entropy = float(-(present * np.log2(present)).sum())
    return Look(*flat.size, entropy, float(grey.std()), _sharpness(flat), (_phash(flat), _phash(bare)))


def on_white(image: Image.Image) -> Image.Image:
    """RGB, with transparency laid on white, as a web page shows it."""
    if image.mode in ("RGB", "L"):
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _sharpness(grey: Image.Image) -> float:
    """Variance of the 4-neighbour Laplacian at no more than 512 px, so that large drawings compare with small ones."""
    small = grey.copy()
    small.thumbnail((512, 512), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float64)
    if min(pixels.shape) < 3:
        return 0.0
    centre = pixels[1:-1, 1:-1]
    return float((pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:] - 4 * centre).var())


def _phash(grey: Image.Image) -> int:
    pixels: NDArray[np.float64] = np.asarray(grey.resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    low = _DCT @ pixels @ _DCT.T  # (8, 8)
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes())
