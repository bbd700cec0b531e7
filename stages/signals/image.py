"""What an image is before anyone understands it: header facts, then sharpness, entropy, brightness, colourfulness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image

from curate import image as images
from curate.contracts import Batch, ImageLevel, Signal

CANONICAL_SIDE = 256
"""Short side, in pixels, at which textures are compared, so that a value does not depend on the upload's size."""


class Header(Signal):
    """Size (as shown, after EXIF orientation), aspect (long over short side), format and bytes, without decoding.

    A truncated image still has a good header: `Pixels` or any other decoding signal finds it out.
    """

    image: ClassVar[ImageLevel | None] = "bytes"
    cost: ClassVar[float] = 0.05

    def gives(self) -> dict[str, pa.DataType]:
        """width, height in pixels; aspect >= 1; megapixels in millions; format in capitals; bytes of the file."""
        return {
            "width": pa.int32(),
            "height": pa.int32(),
            "aspect": pa.float32(),
            "megapixels": pa.float32(),
            "format": pa.string(),
            "bytes": pa.int64(),
        }

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Raises SampleError for what is not an image."""
        headers = [images.header(blob) for blob in batch.blobs]
        return {
            "width": np.array([h.width for h in headers], np.int32),
            "height": np.array([h.height for h in headers], np.int32),
            "aspect": np.array([h.aspect for h in headers], np.float32),
            "megapixels": np.array([h.megapixels for h in headers], np.float32),
            "format": [h.format for h in headers],
            "bytes": np.array([len(blob) for blob in batch.blobs], np.int64),
        }


class Pixels(Signal):
    """Cheap statistics of the decoded pixels, at a short side of 256 (smaller images are not enlarged).

    Giving any value proves that the whole image decodes.
    """

    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 2.0

    def gives(self) -> dict[str, pa.DataType]:
        """sharpness >= 0; entropy in bits, 0 to 8; brightness 0 to 1; colorfulness >= 0 (0 grey, > 82 extreme)."""
        return {name: pa.float32() for name in ("sharpness", "entropy", "brightness", "colorfulness")}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """One row of four floats per image."""
        rows = np.array([_statistics(image) for image in batch.images], np.float32).reshape(-1, 4)
        return dict(zip(self.gives(), rows.T, strict=True))


def sharpness(grey: Image.Image) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000): low where there are no edges, so blurred or empty."""
    y = np.asarray(grey, np.int16)
    if min(y.shape) < 3:
        return 0.0
    around = y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:]
    edges = (around - 4 * y[1:-1, 1:-1]).ravel().astype(np.float64)
    return max(0.0, float(edges @ edges / len(edges) - edges.mean() ** 2))  # half the time of np.var


def colorfulness(picture: Image.Image) -> float:
    """Hasler and Süsstrunk 2003, eq. (3): spread plus 0.3 times offset of the two opponent channels."""
    r, g, b = np.moveaxis(np.asarray(picture, np.float32), -1, 0)
    red_green, yellow_blue = r - g, (r + g) / 2 - b
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def _statistics(picture: Image.Image) -> tuple[float, float, float, float]:
    grey = _canonical(picture.convert("L"))
    histogram = np.asarray(grey.histogram(), np.float64)
    brightness = float(histogram @ np.arange(256) / histogram.sum() / 255)
    # Colour varies slowly: a sixteenth of the pixels says the same.
    small = picture.reduce(4) if min(picture.size) >= 64 else picture
    return sharpness(grey), grey.entropy(), brightness, colorfulness(small)


def _canonical(grey: Image.Image) -> Image.Image:
    short = min(grey.size)
    if short <= CANONICAL_SIDE:
        return grey
    size = (round(grey.width * CANONICAL_SIDE / short), round(grey.height * CANONICAL_SIDE / short))
    return grey.resize(size, Image.Resampling.BILINEAR)
