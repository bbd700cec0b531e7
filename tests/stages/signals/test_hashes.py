"""Perceptual hashes: equal to imagehash, stable under what uploads go through."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from curate.contracts import Batch
from curate.image import decode
from stages.signals.hashes import PHash, average_hash, dhash, from_hex, phash, to_hex

PHOTOS = ["astronaut", "chelsea", "coffee", "camera", "rocket"]


def photo(name: str) -> Image.Image:
    return Image.fromarray(getattr(skimage.data, name)()).convert("RGB")


@pytest.mark.parametrize("name", PHOTOS)
def test_bit_for_bit_those_of_imagehash(name: str) -> None:
    picture = photo(name)
    assert to_hex(phash([picture])) == [str(imagehash.phash(picture))]
    assert to_hex(dhash([picture])) == [str(imagehash.dhash(picture))]
    assert to_hex(average_hash([picture])) == [str(imagehash.average_hash(picture))]


@pytest.mark.parametrize("name", PHOTOS)
def test_reduced_and_compressed_uploads_stay_within_four_bits(name: str) -> None:
    original = photo(name)
    buffer = io.BytesIO()
    original.resize((1200, 1200 * original.height // original.width)).save(buffer, "JPEG", quality=60)
    a, b = phash([original, decode(buffer.getvalue(), "thumb")])
    assert int(a ^ b).bit_count() <= 4


def test_drawings_bear_compression() -> None:
    flag = Image.new("RGB", (390, 260), "white")
    ImageDraw.Draw(flag).ellipse((117, 52, 273, 208), fill="crimson")
    buffer = io.BytesIO()
    flag.resize((431, 287), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=50)
    pair = [flag, decode(buffer.getvalue())]
    a, b = phash(pair, PHash().tolerance)
    exact, other = phash(pair)
    assert int(a ^ b).bit_count() == 0
    assert int(exact ^ other).bit_count() > 0


def test_different_photos_are_far_apart() -> None:
    hashes = phash([photo(name) for name in PHOTOS])
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None])
    assert apart[~np.eye(len(PHOTOS), dtype=bool)].min() >= 16


def test_the_signal_gives_hexadecimal_text() -> None:
    pictures = [photo("coffee"), photo("rocket")]
    published = PHash(tolerance=0)
    found = published.compute(Batch({}, images=pictures))
    assert found["phash"] == [str(imagehash.phash(p)) for p in pictures]
    for picture, colour in zip(pictures, found["mean_rgb"], strict=True):
        mean = np.asarray(picture, float).mean(axis=(0, 1))
        assert list(bytes.fromhex(colour)) == pytest.approx(mean.tolist(), abs=2)
    assert PHash().compute(Batch({})) == {"phash": [], "mean_rgb": []}


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_hexadecimal_and_back(values: list[int]) -> None:
    hashes = np.array(values, np.uint64)
    assert from_hex(to_hex(hashes)).tolist() == values
