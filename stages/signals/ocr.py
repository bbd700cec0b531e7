"""Text in the image: found by DBNet (Liao et al. 2020), read by the recogniser of PP-OCRv6, both inside `rapidocr`.

Detection runs on the thumb with its long side at `side` px; recognition runs only for the boxes found, at the thumb's
own resolution. Most images hold no text, so most pay for detection alone. Upside-down lines are not turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Signal
from curate.models.text_detector import rapidocr_stage, text_detector

if TYPE_CHECKING:
    from PIL.Image import Image

BOXES = pa.list_(
    pa.struct(
        [
            pa.field("text", pa.string()),
            pa.field("box", pa.list_(pa.float32())),  # x1, y1, x2, y2 in [0, 1]
            pa.field("score", pa.float32()),  # of the line the word stands in, [0, 1]
            pa.field("line", pa.int32()),  # 0-based, in reading order
        ]
    )
)
"""Words in reading order."""


class Line(NamedTuple):
    """One line of text as read from its crop."""

    text: str
    score: float
    words: list[tuple[str, float, float]]  # word, where it starts and ends along the line as fractions of its length


class TextInImage(Signal):
    """`ocr_text`: the lines joined by newlines, empty when there is none. `ocr_boxes`: its words with their boxes.

    `ocr_area`: share of the image inside text lines, [0, 1]. Lines scored below `min_score` are left out: shapes that
    look like a letter (a ring, an arrow) score 0.5 to 0.9 as single characters, so read single characters with care.
    """

    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 20.0

    side: int = Field(default=480, ge=64, le=2048, description="long side in px at which text is searched")
    min_score: float = Field(default=0.6, ge=0, le=1, description="lowest mean character probability of a line")
    max_lines: int = Field(default=24, ge=1, description="only the largest lines are read; bounds the cost of a page")

    def gives(self) -> dict[str, pa.DataType]:
        """Text, words with boxes, share of area."""
        return {"ocr_text": pa.string(), "ocr_boxes": BOXES, "ocr_area": pa.float32()}

    def models(self) -> tuple[str, ...]:
        """The detector and the recogniser that the package carries."""
        return ("rapidocr",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Each image on its own, so the rest of the batch cannot change the result."""
        rows = [self.read(image) for image in batch.images]
        return {
            "ocr_text": [text for text, _, _ in rows],
            "ocr_boxes": [words for _, words, _ in rows],
            "ocr_area": np.array([area for _, _, area in rows], np.float32),
        }

    def read(self, image: Image) -> tuple[str, list[dict[str, Any]], float]:
        """Text, word boxes and text area of one RGB image."""
        pixels = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])  # the models were trained on BGR
        size = np.array([image.width, image.height], np.float32)
        texts: list[str] = []
        words: list[dict[str, Any]] = []
        covered = 0.0
        for quad in self._quads(pixels):
            line = _read_line(_crop(pixels, quad), _stands(quad))
            if line is None or line.score < self.min_score:
                continue
            covered += area(quad / size)
            for word, start, end in line.words:
                box = _box(_part(quad, start, end) / size)
                words.append({"text": word, "box": box, "score": line.score, "line": len(texts)})
            texts.append(line.text)
        return "\n".join(texts), words, min(1.0, covered)

    def _quads(self, pixels: np.ndarray) -> np.ndarray:
        """float32 (k, 4, 2): corners of the lines in px from the top left, clockwise; in reading order."""
        quads = text_detector(side=self.side)(pixels[:, :, ::-1]).quads
        areas = np.array([area(quad) for quad in quads])
        largest = np.sort(np.argsort(-areas, kind="stable")[: self.max_lines])
        return quads[largest]


def _read_line(crop: np.ndarray, standing: bool) -> Line | None:
    """Read one line. A standing one, laid down to read downwards, is also tried upwards: the surer one wins."""
    line = _recognise(crop)
    if not standing:
        return line
    turned = _recognise(np.ascontiguousarray(crop[::-1, ::-1]))
    if turned is None or (line is not None and line.score >= turned.score):
        return line
    return turned._replace(words=[(word, 1 - end, 1 - start) for word, start, end in turned.words])


def _recognise(crop: np.ndarray) -> Line | None:
    """Recognise one upright line (h, w, 3) BGR. None where there is nothing to read."""
    if min(crop.shape[:2]) < 2:
        return None
    found = _reader()(crop)
    if not found.txts or not found.txts[0].strip():
        return None
    info = found.word_results[0]
    columns = max(1.0, float(info.line_txt_len))  # columns of the recogniser's output that the crop covers
    places = np.concatenate([np.asarray(group, np.float64) for group in info.word_cols])  # of all but spaces
    words = found.txts[0].split()
    ends = np.cumsum([len(word) for word in words])
    spans = [
        (word, *_span(places[end - len(word) : end], columns)) for word, end in zip(words, ends.tolist(), strict=True)
    ]
    if len(spans) == 1:  # the only word is the line: its box is the detected one
        spans = [(words[0], 0.0, 1.0)]
    return Line(" ".join(words), float(found.scores[0]), spans)


def _span(places: np.ndarray, columns: float) -> tuple[float, float]:
    """Start and end of a word as fractions of the line, from the output columns in which its letters were read.

    A letter's column is its middle: half the mean advance goes on each side; a lone letter is two columns wide.
    """
    advance = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else 2.0
    start, end = (places[0] + 0.5 - advance / 2) / columns, (places[-1] + 0.5 + advance / 2) / columns
    return max(0.0, float(start)), min(1.0, float(end))


def _crop(pixels: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """The quad made upright; standing lines (taller than 1.5 times their width) are laid down, as PP-OCR does."""
    import cv2

    width, height = _sides(quad)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad, target)
    size = (max(1, int(width)), max(1, int(height)))
    crop = cv2.warpPerspective(pixels, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(np.rot90(crop)) if _stands(quad) else crop


def _sides(quad: np.ndarray) -> tuple[float, float]:
    a, b, c, d = quad
    width = max(np.linalg.norm(a - b), np.linalg.norm(d - c))
    height = max(np.linalg.norm(a - d), np.linalg.norm(b - c))
    return float(width), float(height)


def _stands(quad: np.ndarray) -> bool:
    width, height = _sides(quad)
    return int(height) >= 1.5 * int(width)


def _part(quad: np.ndarray, start: float, end: float) -> np.ndarray:
    """float32 (4, 2): the stretch of a line between two fractions of its length."""
    a, b, c, d = quad
    near, far = ((a, b), (d, c)) if _stands(quad) else ((a, d), (b, c))
    points = [p + (q - p) * fraction for fraction in (start, end) for p, q in zip(near, far, strict=True)]
    return np.stack(points)


def _box(points: np.ndarray) -> list[float]:
    low, high = points.min(axis=0).clip(0, 1), points.max(axis=0).clip(0, 1)
    return [float(low[0]), float(low[1]), float(high[0]), float(high[1])]


def area(quad: np.ndarray) -> float:
    """Of a polygon, float (k, 2), by the shoelace formula."""
    x, y = quad[:, 0], quad[:, 1]
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


@lru_cache(maxsize=1)
def _reader() -> Any:
    return rapidocr_stage({"Global.use_det": False, "Global.return_word_box": True})
