"""One decode for the whole house: header facts without decoding, then RGB at a reduced or at full scale.

Bytes from the web are hostile: the format is told by its first bytes (never by a name), only six formats are opened,
each by its own Pillow plugin, and size is checked against a limit before a pixel is decoded. A result is a pure
function of the bytes: no colour profile is applied, no truncated file is filled up, of an animation the first frame.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Literal

import numpy as np
from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from curate.errors import SampleError

MAX_MEGAPIXELS: Final = 100.0
"""Images above it are refused: 100 Mpx decode to 400 MB in Pillow, a square of 10,000 pixels."""
THUMB_SIDE: Final = 256
"""The short side, in pixels, that a reduced decode keeps at least."""
LUMA_SIDE: Final = 128
"""The same of a decode that gives grey only."""

Decoded = Literal["luma", "thumb", "full"]

_PLUGINS: Final[tuple[tuple[bytes, str, Callable[[BytesIO], ImageFile]], ...]] = (
    (b"\xff\xd8\xff", "JPEG", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", "PNG", PngImagePlugin.PngImageFile),
    (b"RIFF", "WEBP", WebPImagePlugin.WebPImageFile),
    (b"GIF8", "GIF", GifImagePlugin.GifImageFile),
    (b"BM", "BMP", BmpImagePlugin.BmpImageFile),
    (b"II*\x00", "TIFF", TiffImagePlugin.TiffImageFile),
    (b"MM\x00*", "TIFF", TiffImagePlugin.TiffImageFile),
)
"""First bytes, format, parser. Calling the parser, not `Image.open`, leaves Pillow's global size limit out of it."""

_BAD_BYTES: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    LookupError,
    TypeError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow's parsers raise on bytes that are not what they claim. Bytes are in memory: no OSError is the disk's."""

_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (Exif 2.32, tag 0x0112) -> the operation that shows the image upright."""


@dataclass(frozen=True)
class Header:
    """What the first bytes say: size in pixels as shown (EXIF orientation applied), format, Pillow mode, EXIF's 1-8."""

    width: int
    height: int
    format: str
    mode: str
    orientation: int

    @property
    def megapixels(self) -> float:
        """Width times height in millions."""
        return self.width * self.height / 1e6

    @property
    def aspect(self) -> float:
        """Long side over short side, >= 1."""
        return max(self.width, self.height) / min(self.width, self.height)


def header(blob: bytes) -> Header:
    """Parse the header only: nothing is decoded, whatever the size. Raises SampleError for what is not an image."""
    return _describe(parse(blob))


def reduction(width: int, height: int, side: int = THUMB_SIDE) -> int:
    """The largest k in {1, 2, 4, 8} that leaves the short side, ceil(short / k), at `side` or more."""
    short = min(width, height)
    return next((k for k in (8, 4, 2) if -(-short // k) >= side), 1)


def decode(blob: bytes, level: Decoded = "thumb", max_megapixels: float = MAX_MEGAPIXELS) -> Image.Image:
    """RGB, upright, transparency on white: `full` has every pixel, `thumb` ceil(w/k) x ceil(h/k) for k = `reduction`.

    `luma` is grey (mode L) and keeps LUMA_SIDE; of a JPEG it is the luma, the chroma is skipped. JPEG is reduced inside
    the decoder (DCT scaling), other formats by box averaging after it. Raises SampleError for an image over the limit
    (before decoding it), for a truncated one, and for what is not an image.
    """
    image = parse(blob)
    facts = _describe(image)
    if facts.megapixels > max_megapixels:
        size = f"{facts.width}x{facts.height} = {facts.megapixels:.0f} Mpx"
        raise SampleError(f"bomb: {size} is over the limit of {max_megapixels:g}")
    side = {"luma": LUMA_SIDE, "thumb": THUMB_SIDE}.get(level)
    k = reduction(facts.width, facts.height, side) if side else 1
    try:
        return _pixels(image, k, facts.orientation, "L" if level == "luma" else "RGB")
    except _BAD_BYTES as error:
        raise SampleError(_cause(error, facts.format)) from error


def parse(blob: bytes) -> ImageFile:
    """Pillow's image with its header read and nothing decoded. Raises SampleError for what is not an image."""
    for magic, name, parser in _PLUGINS:
        if blob.startswith(magic):
            if name == "WEBP" and len(blob) < 8 + int.from_bytes(blob[4:8], "little"):
                raise SampleError("truncated WEBP")  # its parser would call it 'could not create decoder object'
            try:
                return parser(BytesIO(blob))
            except _BAD_BYTES as error:
                raise SampleError(_cause(error, name)) from error
    raise SampleError("empty file" if not blob else "not an image: neither JPEG, PNG, WEBP, GIF, BMP nor TIFF")


def _describe(image: ImageFile) -> Header:
    width, height = image.size
    if width < 1 or height < 1:
        raise SampleError(f"not an image: its size is {width}x{height}")
    orientation = _orientation(image)
    if orientation >= 5:
        width, height = height, width
    return Header(width, height, image.format or "", image.mode, orientation)


def _orientation(image: ImageFile) -> int:
    """1 where there is none. Pillow turns TIFF by itself; EXIF after a PNG's pixels would need a decode: not read."""
    if "exif" not in image.info or image.format == "TIFF":
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _BAD_BYTES:
        return 1  # the pixels are good, only the note beside them is not
    return value if value in _UPRIGHT else 1


def _pixels(image: ImageFile, k: int, orientation: int, mode: Literal["L", "RGB"]) -> Image.Image:
    if image.format == "JPEG" and (k > 1 or mode == "L"):
        image.draft(mode if mode == "L" else None, (image.width // k, image.height // k))
        k = 1
    image.load()
    picture = _colour(image)
    if k > 1:
        picture = picture.reduce(k)  # weighted by alpha, so that hidden colours do not bleed
    picture = _opaque(picture, mode)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    picture.info = {}  # a caller that saves it must not inherit an orientation that is already applied
    return picture


def _colour(image: Image.Image) -> Image.Image:
    """L, RGB or RGBA, eight bits a channel."""
    if image.mode.startswith("I"):  # 16 bits of grey: the high byte
        high = np.clip(np.asarray(image), 0, 65535).astype(np.uint16) >> 8
        return Image.fromarray(high.astype(np.uint8))
    if image.mode in ("L", "RGB") and not image.has_transparency_data:
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _opaque(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    if image.mode == "RGBA":
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return image if image.mode == mode else image.convert(mode)


def _cause(error: BaseException, name: str) -> str:
    """Short, and the same for all files with the same fault, so that failures can be counted by it."""
    if "truncated" in str(error).lower() or isinstance(error, (EOFError, struct.error)):
        return f"truncated {name}"
    if isinstance(error, Image.DecompressionBombError):
        return f"bomb: {error}"
    return f"broken {name}: {error}"
