"""How many re-encoded and rescaled copies perceptual hashes find: pHash with and without its tolerance, and PDQ.

    make data && python -m benchmarks hashes

Drawings of `make data`'s OpenClipart pool where it is there, else images of the embedded sample (whose clean rows were
chosen to survive re-encoding, so that the difference is small). Each gets a copy: 0.9 to 1.15 times the size, JPEG or
WebP of quality 45 to 74. `found`: copies alike at distance 4, of PDQ's 256 bits at 31. `chance`: pairs of different
images that are alike. `seconds`: of hashing and of the search for all near pairs among so many random hashes.
"""

from __future__ import annotations

import io
import json as jsonlib
import os
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from curate.errors import SampleError
from curate.image import decode
from stages.select.dedup import Duplicates
from stages.select.hamming import alike, flat, near_forest
from stages.signals.hashes import PHash, pdq, phash

IMAGES, DISTANCE, PDQ_DISTANCE = 400, 4, 31
MIN_QUALITY = Duplicates(by="pdq").min_quality


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


def measure() -> list[dict[str, float | str]]:
    """Per hash: images, share of copies found, pairs of different images found, milliseconds per image."""
    draw = np.random.default_rng(0)
    pictures = list(originals())
    copies = [copied(picture, draw) for picture in pictures]
    tolerance = PHash().tolerance
    rows: list[dict[str, float | str]] = []
    for name, distance, method in (
        ("phash, tolerance 0", DISTANCE, lambda images: phash(images)[:, None]),
        (f"phash, tolerance {tolerance:g}", DISTANCE, lambda images: phash(images, tolerance)[:, None]),
        ("pdq", PDQ_DISTANCE, telling_pdq),
    ):
        begin = time.perf_counter()
        a, b = method(pictures), method(copies)
        seconds = time.perf_counter() - begin
        i, j = np.triu_indices(len(a), 1)
        telling = ~flat(a)
        chance = alike(a[i], a[j], distance) & telling[i] & telling[j]
        found = float((alike(a, b, distance) & telling).mean())
        each = 1000 * seconds / len(pictures) / 2
        rows.append({"hash": name, "images": len(a), "found": found, "chance": float(chance.sum()), "ms": each})
    return rows


def telling_pdq(pictures: Sequence[Image.Image]) -> np.ndarray:
    """PDQ hashes, uint64 (n, 4); those of too low a quality are zero."""
    hashes, quality = pdq(pictures)
    return np.where((quality >= MIN_QUALITY)[:, None], hashes, np.uint64(0))


def search() -> list[dict[str, float | str]]:
    """Seconds to find all chains of near random hashes, of which one in ten is a copy with two bits flipped."""
    rows: list[dict[str, float | str]] = []
    for name, words, distance, count in (
        ("phash", 1, DISTANCE, 1_000_000),
        ("phash", 1, 2 * DISTANCE, 1_000_000),
        ("pdq", 4, PDQ_DISTANCE, 100_000),
    ):
        hashes = np.random.default_rng(0).integers(0, 2**64, (count, words), dtype=np.uint64)
        hashes[::10] = hashes[1::10] ^ np.uint64(3)
        begin = time.perf_counter()
        copies = len(near_forest(hashes, distance))
        seconds = time.perf_counter() - begin
        rows.append({"hash": name, "distance": distance, "hashes": count, "copies": copies, "seconds": seconds})
    return rows


def main(json: bool = False) -> None:
    """Print the share of copies found, how many different images would be taken for copies, and the time of a search."""
    rows, searches = measure(), search()
    if json:
        print(jsonlib.dumps({"benchmark": "hashes", "unit": "share", "rows": rows, "search": searches}))
        return
    print(pool()[0].parent)
    for row in rows:
        pairs = f"{row['chance']:.0f} pairs of different images, {row['ms']:.2f} ms each"
        print(f"{row['hash']:22}: {row['found']:.1%} of {row['images']:.0f} copies found, {pairs}")
    for row in searches:
        print(f"{row['hash']:5} distance {row['distance']:2}: {row['hashes']:9,} hashes in {row['seconds']:.1f} s")
