"""One row of the embedded sample while it is being built, and deterministic choices."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from PIL import Image

from benchmarks.data.measures import Look, look, on_white

SEED = "curate-sample-1"
CLEAN = "clean"
T = TypeVar("T")


def draw(*parts: object) -> int:
    """A 64-bit integer that depends on `parts` and SEED only."""
    text = "\x1f".join(map(str, (SEED, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def pick(options: Sequence[T], *parts: object) -> T:
    """One of `options`, by `draw`."""
    return options[draw(*parts) % len(options)]


@dataclass(frozen=True)
class Row:
    """A sample and the truth about it. `name` is unique, and `mate` is the name of the row that it copies or swaps with."""

    name: str
    image: bytes
    extension: str
    caption: str
    source: str
    path: str
    licence: str
    look: Look | None = None
    fault: str = CLEAN
    detail: str = ""
    mate: str = ""
    meta: dict[str, str] = field(default_factory=dict)

    def spoiled(self, fault: str, detail: str, mate: str = "") -> Row:
        """The same row, labelled with a fault."""
        return replace(self, name=f"{fault}/{self.name}", fault=fault, detail=detail, mate=mate)

    def with_image(self, image: bytes, extension: str) -> Row:
        """The same row with another image, measured anew."""
        return replace(self, image=image, extension=extension, look=look(image))

    def decoded(self) -> Image.Image:
        """The image, decoded: modes L, RGB, P or RGBA."""
        image = Image.open(io.BytesIO(self.image))
        image.load()
        return image


def encode(image: Image.Image, extension: str, quality: int = 85, progressive: bool = False) -> bytes:
    """Encode as `jpg` (on white), `webp` (keeps alpha) or `png` (a palette of at most 64 colours, keeps alpha)."""
    out = io.BytesIO()
    if extension == "jpg":
        grey = image.mode in ("L", "1")
        flat = image.convert("L") if grey else on_white(image)
        flat.save(out, "JPEG", quality=quality, progressive=progressive)
    elif extension == "webp":
        image.convert("RGBA" if has_alpha(image) else "RGB").save(out, "WEBP", quality=quality, method=4)
    else:
        mode = "RGBA" if has_alpha(image) else "RGB"
        method = Image.Quantize.FASTOCTREE if mode == "RGBA" else Image.Quantize.MEDIANCUT
        image.convert(mode).quantize(64, method=method).save(out, "PNG", optimize=True)
    return out.getvalue()


def has_alpha(image: Image.Image) -> bool:
    """Whether any pixel may be transparent."""
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def shrink(image: Image.Image, longest: int, shortest: int = 204) -> Image.Image:
    """Scale down so that the longer side is `longest` px, but the shorter no less than `shortest`; never up."""
    scale = max(longest / max(image.size), shortest / min(image.size))
    if scale >= 1:
        return image
    full = image.convert("RGBA" if has_alpha(image) else ("L" if image.mode == "L" else "RGB"))
    width, height = (max(1, round(side * scale)) for side in image.size)
    return full.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
