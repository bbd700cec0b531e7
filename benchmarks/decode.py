"""What a header and a reduced decode save against decoding whole photos: images/s and ratios, in one run.

    python -m benchmarks decode

The photos are those of scikit-image, enlarged to 1, 3, 6 and 12 megapixels and saved as an upload would be; the plain
loop is Pillow's own: `Image.open(...).convert("RGB")`. One core.
"""

from __future__ import annotations

import io
import json as jsonlib
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from curate.contracts import Batch
from curate.image import decode, header, reduction
from stages.signals.hashes import PHash
from stages.signals.image import Header, Pixels, colorfulness

MEGAPIXELS = (1, 3, 6, 12)
NAMES = ("astronaut", "chelsea", "coffee", "rocket")


def photos(megapixels: float, name: str = "JPEG") -> list[bytes]:
    """Encoded photos of that size, with a little grain, since enlarged photos compress better than real ones."""
    import skimage.data

    grain = np.random.default_rng(0)
    blobs = []
    for photo in NAMES:
        picture = Image.fromarray(getattr(skimage.data, photo)())
        scale = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
        size = (round(picture.width * scale), round(picture.height * scale))
        pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32)
        noisy = pixels + grain.normal(0, 4, pixels.shape).astype(np.float32)
        buffer = io.BytesIO()
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, name, quality=88)
        blobs.append(buffer.getvalue())
    return blobs


def plain(blob: bytes) -> Image.Image:
    """What people write."""
    return Image.open(io.BytesIO(blob)).convert("RGB")


def reduced_by_opencv(blob: bytes) -> object:
    """The same scale by OpenCV, which opens more formats than we want and tells no truncation."""
    import cv2

    whole = header(blob)
    flags = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }
    return cv2.imdecode(np.frombuffer(blob, np.uint8), flags[reduction(whole.width, whole.height)])


def seconds(work: Callable[[bytes], object], blobs: Sequence[bytes], at_least: float = 0.3) -> float:
    """Least seconds per image over repetitions that take `at_least` in all."""
    best, spent = float("inf"), 0.0
    while spent < at_least:
        begin = time.perf_counter()
        for blob in blobs:
            work(blob)
        took = time.perf_counter() - begin
        best, spent = min(best, took / len(blobs)), spent + took
    return best


def measure() -> list[dict[str, float | str]]:
    """Per size and format, images/s of each way to read."""
    rows: list[dict[str, float | str]] = []
    for name, sizes in (("JPEG", MEGAPIXELS), ("PNG", (1,)), ("WEBP", (1,))):
        for megapixels in sizes:
            blobs = photos(megapixels, name)
            ways: dict[str, Callable[[bytes], object]] = {
                "plain": plain,
                "full": lambda blob: decode(blob, "full"),
                "thumb": decode,
                "opencv": reduced_by_opencv,
                "header": header,
                "signals": lambda blob: signals([blob]),
                "plain signals": plain_signals,
            }
            rows.append({"format": name, "Mpx": megapixels, **{way: 1 / seconds(f, blobs) for way, f in ways.items()}})
    return rows


def signals(blobs: Sequence[bytes]) -> None:
    """Header, pixel statistics and perceptual hash, from one reduced decode."""
    thumbs = Batch({}, images=[decode(blob) for blob in blobs], blobs=blobs)
    for step in (Header(), Pixels(), PHash()):
        step.compute(thumbs)


def plain_signals(blob: bytes) -> None:
    """The same facts as a script computes them: at full size, by Pillow, OpenCV and imagehash."""
    import cv2
    import imagehash

    picture = plain(blob)
    grey = picture.convert("L")
    cv2.Laplacian(np.asarray(grey), cv2.CV_64F).var()
    grey.entropy()
    np.asarray(grey).mean()
    colorfulness(picture)
    imagehash.phash(picture)


def main(json: bool = False) -> None:
    """Print images/s per core, and how many times the plain loop that is."""
    rows = measure()
    if json:
        print(jsonlib.dumps({"benchmark": "decode", "unit": "images/s", "rows": rows}))
        return
    ways = {"header": "plain", "thumb": "plain", "opencv": "plain", "full": "plain", "signals": "plain signals"}
    print("images/s on one core; in brackets, times a plain Pillow decode, or for signals (header, statistics and hash")
    print("from one reduced decode) times the same by Pillow, OpenCV and imagehash at full size")
    print(f"{'':12}{'plain':>9}" + "".join(f"{way:>18}" for way in ways))
    for row in rows:
        cells = (f"{row[way]:10,.0f} ({float(row[way]) / float(row[base]):.1f}x)" for way, base in ways.items())
        print(f"{row['format']:5}{row['Mpx']:>3} Mpx{row['plain']:>9,.0f}" + "".join(f"{cell:>18}" for cell in cells))
