"""Perceptual hashes: equal to imagehash, stable under what uploads go through."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from pathlib import Path

import imagehash
import numpy as np
import pdqhash
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from curate.contracts import Batch
from curate.errors import SampleError
from curate.image import decode
from stages.signals.hashes import Pdq, PHash, average_hash, dhash, from_hex, mean_colors, pdq, phash, to_hex

SAMPLE = Path(__file__).parents[3] / "manifests" / "sample"
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


def published(picture: Image.Image) -> tuple[str, int]:
    bits, quality = pdqhash.compute(np.array(picture))
    return np.packbits(bits.astype(np.uint8)).tobytes().hex(), quality


def bits_apart(a: str, b: str) -> int:
    return int(np.bitwise_count(from_hex([a]) ^ from_hex([b])).sum())


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("size", [None, (64, 64), (97, 61), (300, 1100)])
def test_pdq_is_the_published_one(name: str, size: tuple[int, int] | None) -> None:
    picture = photo(name) if size is None else photo(name).resize(size)
    hashes, quality = pdq([picture])
    expected, expected_quality = published(picture)
    assert bits_apart(to_hex(hashes)[0], expected) <= 2  # sums of floats in another order
    assert abs(int(quality[0]) - expected_quality) <= 1


def test_pdq_of_the_sample_s_reduced_decodes() -> None:
    apart = []
    for blob in sample_images(120):
        try:
            full, thumb = decode(blob, "full"), decode(blob, "thumb")
        except SampleError:
            continue
        hashes, quality = pdq([thumb])
        if quality[0] >= 50:
            apart.append(bits_apart(to_hex(hashes)[0], published(full)[0]))
    assert len(apart) > 80
    assert np.mean(np.array(apart) <= 4) >= 0.95  # drawings with frequencies of exactly zero make the rest
    assert np.median(apart) == 0


def sample_images(count: int) -> list[bytes]:
    with tarfile.open(SAMPLE / "00000.tar") as tar:
        images = [member for member in tar if not member.name.endswith((".txt", ".json"))]
        return [tar.extractfile(member).read() for member in images[:count]]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", PHOTOS)
def test_pdq_of_an_upload_lies_within_31_bits(name: str) -> None:
    original = photo(name)
    buffer = io.BytesIO()
    original.resize((1200, 1200 * original.height // original.width)).save(buffer, "JPEG", quality=60)
    hashes, _ = pdq([original, decode(buffer.getvalue(), "thumb")])
    assert bits_apart(*to_hex(hashes)) <= 31


def test_pdq_signal() -> None:
    pictures = [photo("coffee"), Image.new("RGB", (300, 200), "navy"), Image.new("RGB", (4, 90))]
    found = Pdq().compute(Batch({}, images=pictures))
    assert found["pdq"][0] == published(pictures[0])[0]
    assert np.asarray(found["pdq_quality"]).tolist() == [published(pictures[0])[1], 0, 0]
    assert found["pdq_rgb"][1] == "000080"
    assert Pdq().compute(Batch({}))["pdq"] == []


@pytest.mark.parametrize("size", [(5, 65_500), (65_500, 5), (70, 9000)])
def test_a_banner_of_any_length_takes_little_memory(size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    photo("coffee").resize(size).save(buffer, "JPEG", quality=95)
    picture = decode(buffer.getvalue(), "thumb")
    batch = Batch({}, images=[picture])
    tracemalloc.start()
    found = Pdq().compute(batch) | PHash().compute(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 << 20
    assert bits_apart(found["pdq"][0], published(picture)[0]) <= 6
    assert found["mean_rgb"] == found["pdq_rgb"]


def test_the_mean_colour_of_more_pixels_than_pillow_can_sum() -> None:
    assert mean_colors([Image.new("RGB", (5, 4_000_000), "#c86432"), Image.new("L", (4_000_000, 5), 200)]) == [
        "c86432",
        "c8",
    ]
