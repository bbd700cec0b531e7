"""Faces (or any other boxes) blurred before an image is written, so that every format holds the same blurred image.

The published rule is that of DataComp (Gadre et al. 2023, appendix on face blurring) as img2dataset's blurrer has it, after
Yang et al. 2022, "A Study of Face Obfuscation in ImageNet": a box grows by a tenth of its longer side, Gaussian blur with
sigma a tenth of the longer side, soft edges. One sigma for all boxes of an image, its largest, also softens the mask: a
small face beside a large one stays visible. `each` therefore treats every box by its own size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from PIL import Image, ImageFilter
from PIL.JpegImagePlugin import get_sampling
from pydantic import BaseModel, ConfigDict, Field

from curate import image as images
from curate.errors import SampleError

GROWTH: Final = 0.1
"""Of the longer side of a box: how far the box grows on every side."""
SIGMA: Final = 0.1
"""Of the longer side of a box: the blur's standard deviation."""
VERSION: Final = 1
"""Raise it when blurred images change: exports of the old version are then written again."""

Rule = Literal["each", "datacomp"]


class Blur(BaseModel):
    """Which boxes of which column are blurred, as `export: {blur: faces}` or with its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(description="a list of boxes, xyxy in [0, 1], or of structs with such a `box`")
    min_score: float = Field(default=0.0, description="boxes that have a lower `score` stay sharp")
    rule: Rule = Field(default="each", description="datacomp: one sigma for all boxes of an image, its largest")

    def boxes(self, value: Sequence[Any] | None) -> list[list[float]]:
        """The boxes of one row of the column. Raises SampleError for a row without a value, and for what is no box."""
        if value is None:
            raise SampleError(f"{self.column} is not known, so the image cannot be exported blurred")
        found = []
        for item in value:
            box = item["box"] if isinstance(item, dict) else item
            if len(box) != 4 or not all(math.isfinite(part) for part in box):
                raise SampleError(f"{self.column} holds {box}, which is no box")
            if not isinstance(item, dict) or item.get("score") is None or item["score"] >= self.min_score:
                found.append([float(part) for part in box])
        return found


def listed(given: Any) -> tuple[Any, ...]:
    """The short forms of a recipe as a list of mappings: a column's name, one mapping, or several of either."""
    several = given if isinstance(given, (list, tuple)) else [given]
    return tuple({"column": one} if isinstance(one, str) else one for one in several)


def holds_boxes(kind: pa.DataType) -> bool:
    """Whether a column of this type is a list of boxes, or of structs that have a `box`."""
    item = kind.value_type if pa.types.is_list(kind) else None
    if item is not None and pa.types.is_struct(item):
        place = item.get_field_index("box")
        item = item.field(place).type if place >= 0 else None
    return item is not None and (pa.types.is_list(item) or pa.types.is_fixed_size_list(item))


def blur_boxes(
    blob: bytes, steps: Sequence[Blur], values: Sequence[Any], max_megapixels: float = images.MAX_MEGAPIXELS
) -> tuple[bytes, int]:
    """The encoded image with the boxes blurred that each step finds in its value, in its own format, and their number.

    An image without boxes stays as it is, byte for byte.

    The result is upright and carries no EXIF, whose preview would show what was blurred; a JPEG keeps its quantisation
    tables, so its quality, and its colour profile stays. Of an animation the first frame remains, transparency lies on
    white, as everywhere in the project. Raises SampleError for an image that does not decode.
    """
    found = [step.boxes(value) for step, value in zip(steps, values, strict=True)]
    if not any(found):
        return blob, 0
    picture = images.decode(blob, "full", max_megapixels)
    for step, boxes in zip(steps, found, strict=True):
        picture = blur(picture, boxes, step.rule)
    return _encode(picture, images.parse(blob), blob), sum(map(len, found))


def blur(picture: Image.Image, boxes: Sequence[Sequence[float]], rule: Rule = "each") -> Image.Image:
    """A copy of an RGB image with boxes (xyxy in [0, 1]) blurred.

    `each`: the whole box is replaced, the change fades to nothing at twice the growth: beyond it no pixel differs.
    `datacomp`: as published. Boxes reach outside the image at will; those without area do nothing.
    """
    places = np.asarray(boxes, np.float64).reshape(-1, 4)
    return _published(picture, places) if rule == "datacomp" else _each(picture, places)


def datacomp_boxes(boxes: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes float (n, 4) in [0, 1] -> what the published mask fills, int (n, 4) in px, and their longer sides, int (n,).

    Coordinates are cut, not rounded; grown boxes are clipped to the last pixel, which a slice then leaves out.
    """
    size = np.array([width, height, width, height])
    pixels = (np.asarray(boxes, np.float64) * size).astype(np.int64)
    longer = (pixels[:, 2:] - pixels[:, :2]).max(axis=1, initial=0)
    grown = (pixels + GROWTH * longer[:, None] * np.array([-1, -1, 1, 1])).astype(np.int64)
    return grown.clip(0, size - 1), longer


def _published(picture: Image.Image, boxes: np.ndarray) -> Image.Image:
    grown, longer = datacomp_boxes(boxes, picture.width, picture.height)
    if longer.max(initial=0) < 1:
        return picture.copy()
    mask = np.zeros((picture.height, picture.width), np.uint8)
    for left, top, right, bottom in grown.tolist():
        mask[top:bottom, left:right] = 255
    gaussian = ImageFilter.GaussianBlur(SIGMA * float(longer.max()))
    return Image.composite(picture.filter(gaussian), picture, Image.fromarray(mask).filter(gaussian))


def _each(picture: Image.Image, boxes: np.ndarray) -> Image.Image:
    size = np.array([picture.width, picture.height])
    result = picture.copy()
    for box in boxes.clip(0, 1):
        low, high = np.floor(box[:2] * size).astype(int), np.ceil(box[2:] * size).astype(int)
        if (high <= low).any():
            continue
        longer = int((high - low).max())
        fade = math.ceil(2 * GROWTH * longer)
        sigma = SIGMA * longer
        area = _grown(low, high, fade, size)
        around = _grown(low, high, fade + math.ceil(3 * sigma), size)  # what the blur of the area sees
        blurred = result.crop(around).filter(ImageFilter.GaussianBlur(sigma))
        inside = (area[0] - around[0], area[1] - around[1], area[2] - around[0], area[3] - around[1])
        result.paste(blurred.crop(inside), area, _mask(low, high, area, fade))
    return result


def _grown(low: np.ndarray, high: np.ndarray, by: int, size: np.ndarray) -> tuple[int, int, int, int]:
    left, top = np.maximum(low - by, 0).tolist()
    right, bottom = np.minimum(high + by, size).tolist()
    return left, top, right, bottom


def _mask(low: np.ndarray, high: np.ndarray, area: tuple[int, int, int, int], fade: int) -> Image.Image:
    """255 on the box, falling by distance to 0 at `fade` px from it: half at the published growth."""
    ramps = []
    for axis in (0, 1):
        at = np.arange(area[axis], area[axis + 2])
        outside = np.maximum(low[axis] - at, at - high[axis] + 1).clip(0)
        ramps.append(np.round(255 * (1 - outside / fade)).clip(0).astype(np.uint8))
    return Image.fromarray(np.minimum(ramps[0][None, :], ramps[1][:, None]))


def _encode(picture: Image.Image, source: Image.Image, blob: bytes) -> bytes:
    """As `source` was encoded, as far as its format tells."""
    name = source.format or "PNG"
    options: dict[str, Any] = {}
    if source.mode in ("RGB", "RGBA") and source.info.get("icc_profile"):
        options["icc_profile"] = source.info["icc_profile"]
    if source.mode == "L":
        picture = picture.convert("L")
    if name == "JPEG":
        tables = getattr(source, "quantization", {})
        kept = source.mode in ("L", "RGB") and 0 < len(tables) <= 2
        options |= {"qtables": tables, "subsampling": get_sampling(source)} if kept else {"quality": 95}
    elif name == "WEBP":
        options |= {"lossless": True} if b"VP8L" in blob[12:64] else {"quality": 90}
    buffer = BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()
