"""How many re-encoded and rescaled copies the perceptual hash finds, with and without its tolerance.

    make data && python -m benchmarks hashes

Drawings of `make data`'s OpenClipart pool where it is there, else images of the embedded sample (whose clean rows were
chosen to survive re-encoding, so that the difference is small). Each gets a copy: 0.9 to 1.15 times the size, JPEG or
WebP of quality 45 to 74. `found`: copies alike at distance 4. `chance`: pairs of different images that are alike.
"""

from __future__ import annotations

import io
import json as jsonlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from curate.errors import SampleError
from curate.image import decode
from stages.select.hamming import alike, flat
from stages.signals.hashes import PHash, phash

IMAGES, DISTANCE = 400, 4


def pool() -> list[Path]:
    """Tars of the pool."""
    root = Path(os.environ.get("CURATE_ROOT", "workspace"))
    drawings = sorted((root / "data" / "openclipart").glob("*.tar"))
    return drawings or sorted((Path(__file__).parents[1] / "manifests" / "sample").glob("*.tar"))


def originals(limit: int = IMAGES) -> Iterator[Image.Image]:
    """Decodable images of at least 64 px, spread over the pool."""
    tars = pool()
    for path in tars:
        with tarfile.open(path) as tar:
            members = [m for m in tar if not m.name.endswith((".txt", ".json"))]
            wanted = max(1, limit // len(tars))
            for member in members[:: max(1, len(members) // wanted)][:wanted]:
                file = tar.extractfile(member)
                try:
                    picture = decode(file.read() if file else b"")
                except SampleError:
                    continue
                if min(picture.size) >= 64:
                    yield picture


def copied(picture: Image.Image, draw: np.random.Generator) -> Image.Image:
    """The picture as another site has it."""
    scale = draw.uniform(0.9, 1.15)
    size = (round(picture.width * scale), round(picture.height * scale))
    buffer = io.BytesIO()
    name = ("JPEG", "WEBP")[int(draw.integers(2))]
    picture.resize(size, Image.Resampling.BICUBIC).save(buffer, name, quality=int(draw.integers(45, 75)))
    return decode(buffer.getvalue())


def measure() -> list[dict[str, float]]:
    """Per tolerance: images, share of copies found, pairs of different images found."""
    draw = np.random.default_rng(0)
    pictures = list(originals())
    copies = [copied(picture, draw) for picture in pictures]
    rows = []
    for tolerance in (0.0, float(PHash().tolerance)):
        a, b = phash(pictures, tolerance), phash(copies, tolerance)
        i, j = np.triu_indices(len(a), 1)
        telling = ~flat(a)
        chance = alike(a[i], a[j], DISTANCE) & telling[i] & telling[j]
        found = float((alike(a, b, DISTANCE) & telling).mean())
        rows.append({"tolerance": tolerance, "images": len(a), "found": found, "chance": float(chance.sum())})
    return rows


def main(json: bool = False) -> None:
    """Print the share of copies found, and how many different images would be taken for copies."""
    rows = measure()
    if json:
        print(jsonlib.dumps({"benchmark": "hashes", "unit": "share", "rows": rows}))
        return
    print(f"{pool()[0].parent}, distance {DISTANCE}")
    for row in rows:
        pairs = f"{row['chance']:.0f} pairs of different images"
        print(f"tolerance {row['tolerance']:5.0f}: {row['found']:.1%} of {row['images']:.0f} copies found, {pairs}")
