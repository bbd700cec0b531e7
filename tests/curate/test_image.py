"""The shared decode, on images made here: every format, every mode, and what the web does to them."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from curate.errors import SampleError
from curate.image import THUMB_SIDE, decode, header, reduction

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def picture(width: int = 700, height: int = 520) -> Image.Image:
    """Smooth colours with an edge: what any codec keeps."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [255 * x / width, 255 * y / height, 255 * (x > width / 3)]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def encode(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def distance(a: Image.Image, b: Image.Image) -> float:
    """Mean absolute difference of 0 to 255."""
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


@pytest.mark.parametrize("name", FORMATS)
def test_header_and_both_levels_of_each_format(name: str) -> None:
    blob = encode(picture(), name)
    facts = header(blob)
    assert (facts.width, facts.height, facts.format) == (700, 520, name)
    full, thumb = decode(blob, "full"), decode(blob, "thumb")
    assert (full.mode, full.size, thumb.mode, thumb.size) == ("RGB", (700, 520), "RGB", (350, 260))
    assert distance(full, picture()) < 12
    assert distance(thumb, full.reduce(2)) < 3


@pytest.mark.parametrize(
    ("width", "height", "k"), [(255, 900, 1), (511, 511, 2), (510, 510, 1), (2041, 2048, 8), (4000, 1021, 4)]
)
def test_reduction_leaves_the_short_side_at_256(width: int, height: int, k: int) -> None:
    assert reduction(width, height) == k
    assert decode(encode(picture(width, height), "JPEG")).size == (-(-width // k), -(-height // k))


@pytest.mark.parametrize("name", FORMATS)
def test_luma_is_grey_at_a_side_of_128(name: str) -> None:
    for mode in ("RGB", "L"):
        blob = encode(picture().convert(mode), name)
        grey = decode(blob, "luma")
        assert (grey.mode, grey.size) == ("L", (175, 130))
        assert distance(grey, decode(blob, "full").convert("L").reduce(4)) < 2
    with pytest.raises(SampleError, match=f"^truncated {name}$"):
        decode(blob[: len(blob) // 2], "luma")


def test_luma_is_upright_and_on_white() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encode(picture(), "JPEG", exif=exif), "luma").size == (130, 175)
    clear = encode(Image.new("RGBA", (300, 300), (0, 0, 0, 0)), "PNG")
    assert decode(clear, "luma").getextrema() == (255, 255)
    assert decode(encode(picture().convert("CMYK"), "JPEG"), "luma").mode == "L"


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_reduction_is_the_largest(width: int, height: int) -> None:
    k, short = reduction(width, height), min(width, height)
    assert k == 1 or -(-short // k) >= THUMB_SIDE
    assert k == 8 or -(-short // (2 * k)) < THUMB_SIDE


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_once(name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    blob = encode(picture(), name, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(blob))).convert("RGB")
    shown = decode(blob, "full")
    assert distance(shown, expected) == 0
    assert shown.size == (header(blob).width, header(blob).height)
    assert decode(encode(shown, "PNG"), "full").size == shown.size


def test_transparency_lies_on_white() -> None:
    clear = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    palette = clear.convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    for blob in (encode(clear, "PNG"), encode(clear, "WEBP"), encode(palette, "PNG"), encode(palette, "GIF")):
        for level in ("thumb", "full"):
            assert decode(blob, level).getpixel((5, 5)) == (255, 255, 255)


def test_hidden_colour_does_not_bleed_into_a_reduced_image() -> None:
    pixels = np.zeros((1024, 1024, 4), np.uint8)
    pixels[:, ::2] = (255, 0, 0, 255)
    pixels[:, 1::2] = (0, 255, 0, 0)  # green that nobody sees
    red, green, blue = decode(encode(Image.fromarray(pixels), "PNG")).getpixel((100, 100))  # type: ignore[misc]
    assert red == 255
    assert green == blue > 100


def test_sixteen_bits_of_grey_keep_the_high_byte() -> None:
    values = np.linspace(0, 65535, 300 * 300).reshape(300, 300).astype(np.uint16)
    shown = np.asarray(decode(encode(Image.fromarray(values), "PNG"), "full"))
    assert np.array_equal(shown[..., 0], values >> 8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_comes_out_as_rgb(mode: str) -> None:
    for name in ("TIFF", "JPEG", "PNG"):
        try:
            blob = encode(picture().convert(mode), name)
        except OSError:  # the format has no such mode
            continue
        assert decode(blob).mode == decode(blob, "full").mode == "RGB"


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    for name in ("GIF", "WEBP", "PNG", "TIFF"):
        blob = encode(frames[0], name, save_all=True, append_images=frames[1:])
        assert distance(decode(blob, "full"), frames[0]) < 3


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    blob = encode(Image.new("1", (21_000, 29_700)), "PNG")
    assert len(blob) < 100_000
    assert header(blob).megapixels == pytest.approx(623.7)
    with pytest.raises(SampleError, match=r"^bomb: 21000x29700 = 624 Mpx is over the limit of 100$"):
        decode(blob)
    with pytest.raises(SampleError, match=r"^bomb: 700x520"):
        decode(encode(picture(), "JPEG"), max_megapixels=0.3)


@pytest.mark.parametrize("level", ["thumb", "full"])
@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files_are_told(name: str, level: str) -> None:
    blob = encode(picture(), name)
    with pytest.raises(SampleError, match=f"^truncated {name}$"):
        decode(blob[: len(blob) // 2], level)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("blob", "cause"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not an image"),
        (b"%PDF-1.7", "not an image"),
        (b"\xff\xd8\xff", "JPEG"),
    ],
)
def test_what_is_not_an_image(blob: bytes, cause: str) -> None:
    for read in (header, decode):
        with pytest.raises(SampleError, match=cause):
            read(blob)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(0, 10_000), st.binary(min_size=1, max_size=8), st.booleans())
def test_damaged_bytes_give_an_image_or_a_sample_error(name: str, at: int, noise: bytes, short: bool) -> None:
    blob = bytearray(encode(picture(90, 60), name))
    at %= len(blob)
    blob[at : at + len(noise)] = noise
    if short:
        del blob[at + len(noise) :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow notes damaged EXIF and TIFF tags
        try:
            assert decode(bytes(blob), max_megapixels=1).mode == "RGB"
        except SampleError as error:
            assert len(str(error)) < 200


@given(st.binary(max_size=64))
def test_the_result_depends_on_the_bytes_only(extra: bytes) -> None:
    blob = encode(picture(300, 300), "JPEG", comment=extra)
    assert decode(blob).tobytes() == decode(blob).tobytes()
