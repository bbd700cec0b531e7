"""Sharpness and hash from luma alone, against the signals that look at colours."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from curate.contracts import Batch
from curate.image import decode
from stages.signals.hashes import PHash, from_hex, phash
from stages.signals.image import Pixels
from stages.signals.luma import Luma, LumaHash, luma_hash

skimage = pytest.importorskip("skimage.data")
NAMES = ("astronaut", "coffee", "chelsea", "rocket", "camera", "brick", "grass", "page")


def jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def photos() -> list[bytes]:
    return [jpeg(Image.fromarray(getattr(skimage, name)())) for name in NAMES]


def luma(*blobs: bytes) -> dict[str, np.ndarray]:
    made = Luma().compute(Batch({}, images=[decode(blob, "luma") for blob in blobs]))
    return {name: np.asarray(values) for name, values in made.items()}


def test_entropy_and_brightness_are_those_of_pixels() -> None:
    ours = luma(*photos())
    theirs = Pixels().compute(Batch({}, images=[decode(blob) for blob in photos()]))
    assert np.abs(ours["brightness"] - np.asarray(theirs["brightness"])).max() < 0.01
    assert np.abs(ours["entropy"] - np.asarray(theirs["entropy"])).max() < 0.4  # grain averages out
    assert set(ours) == set(Luma().gives())


def test_flat_and_halves() -> None:
    halves = Image.new("L", (256, 256))
    halves.paste(255, (0, 0, 128, 256))
    found = Luma().compute(Batch({}, images=[Image.new("L", (300, 300), 51), halves]))
    assert np.asarray(found["sharpness"])[0] == 0
    assert list(found["entropy"]) == [0, pytest.approx(1)]
    assert list(found["brightness"]) == [pytest.approx(0.2), pytest.approx(0.5)]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_blur_lowers_sharpness_at_any_size(scale: int) -> None:
    for name in ("astronaut", "grass", "coffee"):
        sharp = Image.fromarray(getattr(skimage, name)()).convert("RGB")
        sharp = sharp.resize((sharp.width * scale, sharp.height * scale), Image.Resampling.BICUBIC)
        blurred = sharp.filter(ImageFilter.GaussianBlur(min(sharp.size) / 48))
        a, b = luma(jpeg(sharp), jpeg(blurred))["sharpness"]
        assert a > 8 * b


def test_the_hash_is_phash_but_for_rounding() -> None:
    thumbs, greys = ([decode(blob, level) for blob in photos()] for level in ("thumb", "luma"))
    ours = from_hex(list(LumaHash().compute(Batch({}, images=greys))["phash"]))
    theirs = from_hex(list(PHash().compute(Batch({}, images=thumbs))["phash"]))
    assert np.bitwise_count(ours ^ theirs).max() <= 4
    assert LumaHash().compute(Batch({}, images=[Image.new("L", (200, 150), 128)]))["mean_rgb"] == ["808080"]
    assert np.bitwise_count(luma_hash(greys, 0) ^ phash(greys)).max() <= 2
    apart = [int(a ^ b).bit_count() for i, a in enumerate(ours) for b in ours[:i]]
    assert min(apart) > 8


def test_a_value_does_not_depend_on_the_rest_of_the_batch() -> None:
    greys = [decode(blob, "luma") for blob in photos()]
    for step in (Luma(), LumaHash()):
        together = step.compute(Batch({}, images=greys))
        for i, grey in enumerate(greys):
            alone = step.compute(Batch({}, images=[grey]))
            assert all(alone[name][0] == together[name][i] for name in step.gives())


def test_tiny_and_empty() -> None:
    found = luma(*(jpeg(Image.new("RGB", size, "red")) for size in ((1, 1), (1, 900), (3, 3))))
    assert all(np.isfinite(values).all() for values in found.values())
    assert len(Luma().compute(Batch({}))["entropy"]) == 0
    banner = Image.linear_gradient("L").resize((100_000, 40))
    assert luma_hash([banner], 384) == luma_hash([banner.reduce((50, 1))], 384)
