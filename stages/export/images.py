"""An image's bytes as every reader of an export can take them."""

from __future__ import annotations

import io

from PIL import Image

from curate.errors import SampleError
from curate.image import THUMB_SIDE, decode, header

AS_THEY_ARE = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""Formats that every reader knows, told by their bytes: exported untouched. Others become PNG."""


def readable(blob: bytes, owner: str, max_side: int | None = None, quality: int = 90) -> tuple[str, bytes]:
    """Extension and bytes. A longest side over `max_side` px is reduced to it and stored as JPEG of `quality`.

    Raises SampleError for what is no image; `owner` says whose it is.
    """
    try:
        facts = header(blob)
        if max_side is not None and max(facts.width, facts.height) > max_side:
            return "jpg", _reduced(blob, max_side, quality)
        known = AS_THEY_ARE.get(facts.format)
        return (known, blob) if known else ("png", _png(blob))
    except SampleError as error:
        raise SampleError(f"{owner}: {error}") from error


def _reduced(blob: bytes, side: int, quality: int) -> bytes:
    # A thumb's short side is at least THUMB_SIDE, so up to there it has all the pixels that are needed.
    image = decode(blob, "thumb" if side <= THUMB_SIDE else "full")
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _png(blob: bytes) -> bytes:
    out = io.BytesIO()
    decode(blob, "full").save(out, "PNG")
    return out.getvalue()
