"""Blur at export: what is inside the boxes is gone, what is outside stays, in every format."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curate.errors import SampleError
from curate.image import decode, header
from stages.export.blur import Blur, Rule, blur, blur_boxes, holds_boxes

FACES = Blur(column="faces")
Box = tuple[float, float, float, float]
boxes = st.tuples(*[st.floats(-0.2, 1.2)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


def noise(width: int = 200, height: int = 160, seed: int = 0) -> Image.Image:
    """All frequencies alike: what is left of the high ones is left of the blur."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encode(picture: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def apply(blob: bytes, *found: Box, step: Blur = FACES) -> bytes:
    return blur_boxes(blob, [step], [[{"box": list(box), "score": 0.9} for box in found]])[0]


def grain(pixels: np.ndarray) -> float:
    """Mean difference of neighbours, which is high frequency."""
    return float(np.abs(np.diff(pixels.astype(float), axis=1)).mean())


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, max_size=4), st.integers(1, 120), st.integers(1, 120))
def test_what_is_beyond_the_fade_is_untouched(found: list[Box], width: int, height: int) -> None:
    picture = noise(width, height)
    before, after = np.asarray(picture), np.asarray(blur(picture, found))
    touched = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in np.clip(found, 0, 1).tolist() if found else ():
        longer = max(np.ceil(x2 * width) - np.floor(x1 * width), np.ceil(y2 * height) - np.floor(y1 * height))
        by = np.ceil(0.2 * longer)
        y, x = np.mgrid[0:height, 0:width]
        touched |= (
            (x >= x1 * width - by - 1)
            & (x < x2 * width + by + 1)
            & (y >= y1 * height - by - 1)
            & (y < y2 * height + by + 1)
        )
    assert np.array_equal(before[~touched], after[~touched])


@pytest.mark.parametrize("rule", ["each", "datacomp"])
def test_high_frequencies_inside_the_box_are_gone(rule: Rule) -> None:
    picture = noise()
    inside = np.asarray(blur(picture, [(0.25, 0.25, 0.75, 0.75)], rule))[44:116, 54:146]
    assert grain(np.asarray(picture)[44:116, 54:146]) > 80
    assert grain(inside) < 8


def test_every_pixel_of_a_box_is_replaced() -> None:
    """Also at its edges, where the published mask lets a sixth through, and at the image's last row and column."""
    picture = noise()
    for box in ((0.25, 0.25, 0.75, 0.75), (0.7, 0.7, 1.0, 1.0)):
        x1, y1, x2, y2 = (round(part * side) for part, side in zip(box, (200, 160) * 2, strict=True))
        assert grain(np.asarray(blur(picture, [box]))[y1:y2, x1:x2]) < 8
        assert grain(np.asarray(blur(picture, [box], "datacomp"))[y2 - 3 : y2, x1:x2]) > 8


def test_a_small_face_beside_a_large_one_is_blurred_by_its_own_size() -> None:
    """The published rule has one sigma for all, which spreads the small face's mask until nothing of it is left."""
    large, small = (0.0, 0.0, 0.5, 0.6), (0.8, 0.8, 0.84, 0.85)
    picture = noise(500, 400)
    place = np.s_[321:339, 401:419]
    ours, published = (np.asarray(blur(picture, [large, small], rule))[place] for rule in ("each", "datacomp"))
    original = np.asarray(picture)[place]
    assert grain(ours) < 0.35 * grain(original)
    assert grain(published) > 0.8 * grain(original)


def test_an_image_without_boxes_is_the_same_bytes() -> None:
    for name in ("JPEG", "PNG", "WEBP", "GIF"):
        blob = encode(noise(), name)
        assert blur_boxes(blob, [FACES], [[]]) == (blob, 0)
    low = [{"box": [0.1, 0.1, 0.5, 0.5], "score": 0.3}]
    assert blur_boxes(blob, [Blur(column="faces", min_score=0.5)], [low]) == (blob, 0)
    assert blur_boxes(blob, [FACES], [low])[1] == 1


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_format_stays_and_equal_input_gives_equal_bytes(name: str) -> None:
    blob = encode(noise(), name)
    once, again = (apply(blob, (0.2, 0.2, 0.8, 0.8)) for _ in range(2))
    assert once == again != blob
    assert (header(once).format, header(once).width, header(once).height) == (name, 200, 160)
    assert grain(np.asarray(decode(once, "full"))[48:112, 60:140]) < 25


def test_a_jpeg_keeps_its_quality() -> None:
    smooth = noise(30, 24).resize((600, 480), Image.Resampling.BICUBIC)
    for quality, subsampling, mode in ((35, 2, "RGB"), (95, 0, "RGB"), (80, -1, "L")):
        blob = encode(smooth.convert(mode), "JPEG", quality=quality, subsampling=subsampling)
        made = Image.open(io.BytesIO(apply(blob, (0.4, 0.4, 0.5, 0.5))))
        assert made.quantization == Image.open(io.BytesIO(blob)).quantization  # type: ignore[attr-defined]
        assert made.mode == mode
        far = np.s_[300:, :200]
        change = np.asarray(decode(blob, "full"), float)[far] - np.asarray(made.convert("RGB"), float)[far]
        assert np.abs(change).mean() < 1


def test_orientation_is_applied_and_no_preview_travels_along() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    blob = encode(noise(), "JPEG", exif=exif, quality=90)
    made = apply(blob, (0.0, 0.0, 0.5, 0.25))  # of the upright image, 160 x 200
    assert (header(made).width, header(made).height, header(made).orientation) == (160, 200, 1)
    assert b"Exif" in blob
    assert b"Exif" not in made
    pixels = np.asarray(decode(made, "full"))
    assert grain(pixels[:45, :75]) < 8 < grain(pixels[70:])


def test_profile_lossless_and_first_frame() -> None:
    blob = encode(noise(), "PNG", icc_profile=b"a profile of some kind")
    assert Image.open(io.BytesIO(apply(blob, (0, 0, 1, 1)))).info["icc_profile"] == b"a profile of some kind"
    lossless = encode(noise(), "WEBP", lossless=True)
    outside = np.s_[:, 120:]
    assert np.array_equal(
        np.asarray(decode(apply(lossless, (0, 0, 0.2, 0.2)), "full"))[outside], np.asarray(noise())[outside]
    )
    moving = encode(noise(), "GIF", save_all=True, append_images=[noise(seed=1)])
    assert getattr(Image.open(io.BytesIO(apply(moving, (0, 0, 0.2, 0.2)))), "n_frames", 1) == 1


@pytest.mark.parametrize("value", [None, [[0.1, 0.2, 0.3]], [{"box": [0.1, float("nan"), 0.3, 0.4], "score": 1.0}]])
def test_what_is_no_box_never_gets_out(value: Any) -> None:
    with pytest.raises(SampleError, match="faces"):
        blur_boxes(encode(noise(), "PNG"), [FACES], [value])


def test_columns_that_hold_boxes() -> None:
    box = pa.list_(pa.float32())
    struct = pa.struct([pa.field("text", pa.string()), pa.field("box", box)])
    assert [holds_boxes(kind) for kind in (pa.list_(struct), pa.list_(box), pa.list_(pa.list_(pa.float32(), 4)))] == [
        True
    ] * 3
    assert not any(holds_boxes(kind) for kind in (pa.string(), box, pa.list_(pa.struct([pa.field("a", box)]))))
