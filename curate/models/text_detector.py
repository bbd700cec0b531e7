"""Where text is: the detector inside `rapidocr`, or a DBNet, FAST or CRAFT that a user exported to ONNX.

An ONNX file takes one input, float32 (1, 3, S, S), RGB in [0, 1] less ImageNet's mean over its deviation. By head:

- `db` (Liao et al. 2020, arXiv:1911.08947): the first output is a map of probabilities, (1, 1, h, w);
- `fast` (Chen et al. 2021, arXiv:2111.02394): the first output's first channel is the kernel's logits, (1, c, h, w);
- `craft` (Baek et al. 2019, arXiv:1904.01941): the first output holds text and link scores in [0, 1], (1, h, w, 2).

Weights in pickles and TorchScript are not opened: both run code on loading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np

from curate.errors import MissingExtra, ModelError
from curate.models.onnx import session
from curate.models.specs import Resolved, current

Head = Literal["db", "fast", "craft"]

_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
_STD: Final = np.array([0.229, 0.224, 0.225], np.float32)
_LEAST: Final = 3
"""Regions thinner than this many cells of the map are noise; DBNet's own limit."""
DB_MAP: Final = 0.3
"""DBNet's threshold of a cell."""
DB_GROWTH: Final = 1.6
"""A shrunken region grows by this times its area over its perimeter (Vatti clipping of a rectangle), as PP-OCR has it."""
FAST_KERNEL: Final = 0.0
"""FAST's threshold of a logit."""
FAST_POOL: Final = 9
"""Width of the max pooling that gives FAST's kernels their size back."""
CRAFT_TEXT, CRAFT_LINK, CRAFT_PEAK = 0.4, 0.4, 0.7
"""CRAFT's thresholds: of a text cell, of a link cell, and what a region has to reach somewhere."""


class Found(NamedTuple):
    """Text in one image: `quads` float32 (k, 4, 2), corners in px, clockwise; `scores` float32 (k,) in [0, 1]."""

    quads: np.ndarray
    scores: np.ndarray


class TextDetector(Protocol):
    """Finds text in one image."""

    def __call__(self, pixels: np.ndarray) -> Found:
        """Regions of uint8 (H, W, 3) RGB with their mean score."""
        ...


class Patch(NamedTuple):
    """A connected region of a map: its cells (x, y), float32 (m, 2), and the score of each, (m,)."""

    cells: np.ndarray
    scores: np.ndarray


def text_detector(spec: str = "rapidocr", head: Head = "db", side: int = 512) -> TextDetector:
    """Open a detector, once per process and content of its files.

    `spec`: rapidocr, which looks with the longer side at `side` px or less, or file:PATH.onnx, whose network fixes what
    it looks at.

    Raises ModelError for what is neither, MissingExtra without onnxruntime or rapidocr.
    """
    return _open(current(spec), head, side)


@lru_cache(maxsize=2)
def _open(found: Resolved, head: Head, side: int) -> TextDetector:
    if found.spec == "rapidocr":
        return RapidDetector(side)
    if found.path.suffix != ".onnx":
        raise ModelError(f"{found.spec}: a text detector is 'rapidocr' or the file of an ONNX model, file:PATH.onnx")
    return OnnxDetector(found, head)


def rapidocr_stage(params: dict[str, Any]) -> Any:
    """One stage of RapidOCR with its switches fixed: it keeps a switch given to a call for later calls of any thread."""
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise MissingExtra("rapidocr", extra="models") from error
    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    common = {"Global.use_cls": False, "Global.use_preprocess_img": False, "Global.log_level": "error"}
    return RapidOCR(params={**common, **threads, **params})


class RapidDetector:
    """PP-OCRv6's DBNet as rapidocr carries it; regions that score below 0.5 are not reported."""

    def __init__(self, side: int) -> None:
        """`side`: px that the longer side is reduced to; a smaller image stays as it is."""
        self._side = side
        self._stage = rapidocr_stage(
            {"Global.use_rec": False, "Det.limit_side_len": side, "Det.limit_type": "max"},
        )

    def __call__(self, pixels: np.ndarray) -> Found:
        """In reading order. Trained on BGR. A strip that has no line's height left when its length is reduced has no text:
        rapidocr would blow it up to a square."""
        if max(pixels.shape[:2]) > self._side * min(pixels.shape[:2]):
            return Found(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32))
        found = self._stage(np.ascontiguousarray(pixels[:, :, ::-1]))
        if found.boxes is None or len(found.boxes) == 0:
            return Found(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32))
        return Found(np.asarray(found.boxes, np.float32), np.asarray(found.scores, np.float32))


class OnnxDetector:
    """A user's own network; see this module's head for what it takes and gives."""

    def __init__(self, found: Resolved, head: Head) -> None:
        """Raises ModelError when onnxruntime cannot open the file."""
        self._session = session(found.path)
        self._input = self._session.get_inputs()[0].name
        self.spec, self.head = found.spec, head

    def __call__(self, pixels: np.ndarray) -> Found:
        """Regions from the top left on. Raises ModelError when the output is not the head's."""
        planes = ((pixels.astype(np.float32) / 255 - _MEAN) / _STD).transpose(2, 0, 1)[None]
        output = np.asarray(self._session.run(None, {self._input: np.ascontiguousarray(planes)})[0], np.float32)
        if output.ndim != 4 or output.shape[0] != 1 or (self.head == "craft" and output.shape[3] != 2):
            raise ModelError(f"{self.spec}: an output of shape {output.shape} is none of the head {self.head!r}")
        patches, growth = _HEADS[self.head](output[0])
        size = output.shape[1:3] if self.head == "craft" else output.shape[2:4]
        return _quads(patches, growth, np.array([pixels.shape[1] / size[1], pixels.shape[0] / size[0]], np.float32))


Growth = Callable[[int, float, float], float]
"""From a region's cells, width and height to how far each of its sides moves out, in cells."""


def _db(output: np.ndarray) -> tuple[Iterator[Patch], Growth]:
    def growth(cells: int, width: float, height: float) -> float:
        return DB_GROWTH * width * height / (2 * (width + height))

    return _patches(output[0] > DB_MAP, output[0]), growth


def _fast(output: np.ndarray) -> tuple[Iterator[Patch], Growth]:
    logits = output[0]
    return _patches(logits > FAST_KERNEL, 1 / (1 + np.exp(-logits))), lambda cells, width, height: FAST_POOL // 2


def _craft(output: np.ndarray) -> tuple[Iterator[Patch], Growth]:
    text, link = output[:, :, 0], output[:, :, 1]
    patches = _patches((text > CRAFT_TEXT) | (link > CRAFT_LINK), text)

    def growth(cells: int, width: float, height: float) -> float:
        return (cells * min(width, height) / (width * height)) ** 0.5

    return (patch for patch in patches if patch.scores.max() >= CRAFT_PEAK), growth


_HEADS: Final[dict[Head, Callable[[np.ndarray], tuple[Iterator[Patch], Growth]]]] = {
    "db": _db,
    "fast": _fast,
    "craft": _craft,
}


def _patches(mask: np.ndarray, scores: np.ndarray) -> Iterator[Patch]:
    """Connected regions (8 neighbours), from the top left on."""
    import cv2

    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    rows, columns = np.nonzero(labels)
    order = np.argsort(labels[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    ends = np.searchsorted(labels[rows, columns], np.arange(1, count + 1))
    for start, end in pairwise(ends.tolist()):
        y, x = rows[start:end], columns[start:end]
        yield Patch(np.column_stack([x, y]).astype(np.float32), scores[y, x])


def _quads(patches: Iterator[Patch], growth: Growth, scale: np.ndarray) -> Found:
    """Smallest rectangles around the regions, grown, in px of the image."""
    import cv2

    quads, scores = [], []
    for patch in patches:
        centre, (width, height), angle = cv2.minAreaRect(patch.cells + np.float32(0.5))
        width, height = width + 1, height + 1  # from the centres of cells to their borders
        if min(width, height) < _LEAST:
            continue
        out = 2 * growth(len(patch.cells), width, height)
        quads.append(cv2.boxPoints((centre, (width + out, height + out), angle)) * scale)
        scores.append(float(patch.scores.mean()))
    return Found(np.array(quads, np.float32).reshape(-1, 4, 2), np.array(scores, np.float32))
