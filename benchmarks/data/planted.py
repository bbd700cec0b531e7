"""Trouble with images, planted on purpose: each function takes a clean row and returns one with exactly that fault."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.data.measures import on_white
from benchmarks.data.row import Row, draw, encode, pick

_NOT_IMAGES = (
    b"<!DOCTYPE html><html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>",
    b'{"error": {"code": 403, "message": "hotlinking is not allowed"}}',
    b"AccessDenied: request has expired\n",
)
_COLOURS = ("#fdf6e3", "#e8f1f8", "#f3e8f8", "#e9f5e4", "#fff3c4")


def corrupt(row: Row) -> Row:
    """Bytes that are not an image: an error page as servers send it, or noise."""
    kind = draw(row.name, "corrupt") % 4
    data = _NOT_IMAGES[kind] if kind < 3 else _noise(row.name, 3000)
    detail = ("an HTML page", "a JSON error", "a plain text error", "random bytes")[kind]
    return replace(row, image=data, look=None).spoiled("corrupt", detail)


def truncated(row: Row) -> Row:
    """A JPEG or PNG that ends after 40 to 70 % of its bytes; its header is whole."""
    extension = pick(("jpg", "png"), row.name, "truncated")
    whole = encode(row.decoded(), extension)
    percent = 40 + draw(row.name, "cut") % 31
    part = whole[: len(whole) * percent // 100]
    return replace(row, image=part, extension=extension, look=None).spoiled(
        "truncated", f"{percent} % of a {extension}"
    )


def zero_byte(row: Row) -> Row:
    """An empty file."""
    return replace(row, image=b"", look=None).spoiled("zero_byte", "0 bytes")


def tiny(row: Row) -> Row:
    """The image at 8 to 32 px on its longer side."""
    side = 8 + draw(row.name, "tiny") % 25
    image = row.decoded().convert("RGBA")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return row.with_image(encode(image, "png"), "png").spoiled("tiny", f"{image.width} x {image.height} px")


def extreme_aspect(row: Row) -> Row:
    """A banner of the same picture six times or more in a row, or a column of it, 216 px across."""
    tile = on_white(row.decoded())
    tile.thumbnail((216, 216), Image.Resampling.LANCZOS)
    count = 6 + draw(row.name, "banner") % 3
    upright = draw(row.name, "upright") % 2 == 0
    step = 216
    banner = Image.new("RGB", (216, step * count) if upright else (step * count, 216), "white")
    for index in range(count):
        banner.paste(tile, (0, index * step) if upright else (index * step, 0))
    return row.with_image(encode(banner, "jpg", 50), "jpg").spoiled("extreme_aspect", f"{count} : 1")


def exact_duplicate(row: Row) -> Row:
    """The same bytes under another key."""
    return row.spoiled("exact_duplicate", "same bytes", mate=row.name)


def near_duplicate(row: Row) -> Row:
    """The same picture, encoded again or resized by 5 to 15 % as well."""
    image, way = on_white(row.decoded()), draw(row.name, "near") % 3
    if way:
        factor = 1 + (5 + draw(row.name, "by") % 11) / 100
        image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)
    extension = "webp" if way == 2 else "jpg"
    detail = ("JPEG of quality 50", "enlarged, JPEG of quality 50", "enlarged, WebP of quality 50")[way]
    return row.with_image(encode(image, extension, 50), extension).spoiled("near_duplicate", detail, mate=row.name)


def blurred(row: Row) -> Row:
    """Gaussian blur with a radius of a twelfth of the shorter side."""
    image = on_white(row.decoded())
    radius = min(image.size) / 12
    return row.with_image(encode(image.filter(ImageFilter.GaussianBlur(radius)), "jpg", 80), "jpg").spoiled(
        "blurred", f"Gaussian, radius {radius:.0f} px"
    )


def low_entropy(row: Row) -> Row:
    """A blank page with a few specks of dust in place of the picture: nearly uniform, yet not blurred."""
    width, height = 240 + draw(row.name, "w") % 120, 240 + draw(row.name, "h") % 120
    row = replace(row, source="generated", licence="Apache-2.0")
    page = Image.new("L", (width, height), 200 + draw(row.name, "tone") % 56)
    for index in range(width * height // 800):
        place = draw(row.name, "speck", index)
        page.putpixel((place % width, place // width % height), 0)
    return row.with_image(encode(page.convert("RGB"), "png"), "png").spoiled("low_entropy", "a blank page with specks")


def text_only(row: Row) -> Row:
    """The caption rendered as words on a shaded ground, and nothing else; the caption equals what is written."""
    words, lines = row.caption.split()[:14], [""]
    for word in words:
        if len(lines[-1]) + len(word) > 16:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    size = 28 + draw(row.name, "font") % 10
    extent = (40 + 11 * size, max(210, 40 + len(lines) * (size + 10)))
    shade = Image.linear_gradient("L").resize(extent).convert("RGB")
    page = Image.blend(Image.new("RGB", extent, pick(_COLOURS, row.name, "ground")), shade, 0.15)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    for index, line in enumerate(lines):
        pen.text((20, 20 + index * (size + 10)), line, fill="#202428", font=font)
    written = replace(row, caption=" ".join(words), source="generated", licence="Apache-2.0")
    return written.with_image(encode(page, "png"), "png").spoiled("text_only", "rendered words only")


def bomb(row: Row) -> Row:
    """A few kilobytes that declare more than 200 million pixels: a real PNG, or a JPEG whose header lies."""
    if draw(row.name, "bomb") % 2:
        side = 16_384
        return replace(row, image=_blank_png(side), extension="png", look=None).spoiled(
            "bomb", f"{side} x {side} px, PNG"
        )
    data = bytearray(encode(on_white(row.decoded()).resize((64, 64)), "jpg"))
    frame = data.index(b"\xff\xc0")  # baseline SOF: marker, length, precision, height, width
    struct.pack_into(">HH", data, frame + 5, 65_000, 65_000)
    return replace(row, image=bytes(data), extension="jpg", look=None).spoiled("bomb", "65000 x 65000 px, JPEG")


def _blank_png(side: int) -> bytes:
    """A valid one-bit PNG of `side` x `side` px, compressed row by row so that it is never whole in memory."""
    pack = zlib.compressobj(9)
    line = bytes(1 + side // 8)
    body = b"".join(pack.compress(line) for _ in range(side)) + pack.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", body), (b"IEND", b""))
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, io.SEEK_END)
    for kind, data in chunks:
        out.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return out.getvalue()


def _noise(name: str, size: int) -> bytes:
    return b"".join(draw(name, index).to_bytes(8) for index in range(size // 8))


IMAGE_FAULTS: dict[str, tuple[int, Callable[[Row], Row]]] = {
    "corrupt": (16, corrupt),
    "truncated": (16, truncated),
    "zero_byte": (8, zero_byte),
    "tiny": (20, tiny),
    "extreme_aspect": (16, extreme_aspect),
    "blurred": (24, blurred),
    "low_entropy": (16, low_entropy),
    "text_only": (24, text_only),
    "bomb": (6, bomb),
}
COPIES: dict[str, tuple[int, Callable[[Row], Row]]] = {
    "exact_duplicate": (24, exact_duplicate),
    "near_duplicate": (32, near_duplicate),
}
