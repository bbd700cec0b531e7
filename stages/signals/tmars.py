"""T-MARS (Maini et al. 2023, arXiv:2307.03132): is the image about its caption when its text is covered?

Text is found in a square frame, covered, and what is left is embedded again by the encoder that gave the similarity;
the caption's stored embedding is reused. Pairs are then ranked by the new similarity (`stages.select.top.TopFraction`).
The original released its detection only; that the fill is a mean colour is its authors' word (their issue 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Lane, Signal
from curate.errors import ModelError
from curate.models.text_detector import Head, text_detector
from stages.signals.hashes import bounded
from stages.signals.ocr import area

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE: Final = 512
"""Side in px of the frame in which text is found and regions are measured, as in the original."""
PAD: Final = 255
"""Grey level around an image that is not square."""
MIN_SCORE: Final = 0.85
"""Lowest mean score of a region that counts, from the original's detector configuration."""
MIN_AREA: Final = 200
"""Smallest area in px of the frame of a region that counts, likewise."""

REGIONS = pa.list_(
    pa.struct(
        [
            pa.field("quad", pa.list_(pa.float32())),  # x1, y1, … x4, y4 in [0, 1], clockwise
            pa.field("score", pa.float32()),  # mean probability of text, [0, 1]
        ]
    )
)
"""Regions of text in reading order."""

Region = Mapping[str, Any]
"""One of `text_regions`, or one of `ocr_boxes`."""


class Frame(NamedTuple):
    """How an image lies in its square: padded to its longer side on both ends of the shorter, then scaled to `side`."""

    width: int
    height: int
    side: int = SIDE

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Px of the image added left, top, right, bottom; an odd one goes to the right or bottom."""
        longer = max(self.width, self.height)
        x, y = longer - self.width, longer - self.height
        return x // 2, y // 2, x - x // 2, y - y // 2

    @property
    def scale(self) -> float:
        """Px of the frame per px of the image."""
        return self.side / max(self.width, self.height)

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """From px of the frame (..., 2) to px of the image."""
        return points / self.scale - np.array(self.padding[:2], np.float32)

    def render(self, image: Image) -> np.ndarray:
        """The image in its frame, bicubic, uint8 (side, side, 3).

        Scaled, then padded: the original pads first, which takes a square of the longer side. So an edge that lies
        between two px of the frame is on one of them, half a px off at most, not blended into the padding; and the
        shorter side is 1 px at least. Square images, and coordinates, are the same.
        """
        from PIL import Image as images

        size = (max(1, round(self.width * self.scale)), max(1, round(self.height * self.scale)))
        left, top = (min(round(pad * self.scale), self.side - 1) for pad in self.padding[:2])
        square = images.new("RGB", (self.side, self.side), (PAD, PAD, PAD))
        square.paste(image.resize(size, images.Resampling.BICUBIC), (left, top))
        return np.asarray(square)


class TextRegions(Signal):
    """Where text is, without reading it: all regions that the detector reports, with their score; which of them count is
    decided by who uses them."""

    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 15.0
    version: ClassVar[int] = 2

    detector: str = Field(default="rapidocr", description="rapidocr or file:PATH.onnx, see curate.models.text_detector")
    head: Head = Field(default="db", description="what the network of a file gives: db, fast or craft")

    def gives(self) -> dict[str, pa.DataType]:
        """text_regions: corners in fractions of the image, and scores."""
        return {"text_regions": REGIONS}

    def models(self) -> tuple[str, ...]:
        """The detector."""
        return (self.detector,)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Each image on its own, so the rest of the batch cannot change the result."""
        return {"text_regions": [self.find(image) for image in batch.images]}

    def find(self, image: Image) -> list[dict[str, Any]]:
        """Regions of one RGB image; those that lie in the padding alone are left out.

        A network from a file sees the frame, as T-MARS has it. The default detector takes any shape, so it is spared
        padding and enlargement, which cost four times as much and find nothing more.
        """
        if self.detector == "rapidocr":
            quads, scores = text_detector(side=SIDE)(np.asarray(image))
        else:
            frame = Frame(image.width, image.height)
            quads, scores = text_detector(self.detector, self.head)(frame.render(image))
            quads = frame.to_image(quads)
        parts = (quads / np.array([image.width, image.height], np.float32)).clip(0, 1).astype(np.float32)
        pairs = zip(parts, scores.tolist(), strict=True)
        return [{"quad": quad.ravel().tolist(), "score": score} for quad, score in pairs if area(quad) > 0]


class MaskedSimilarity(Signal):
    """`masked_similarity`: cosine of the caption and the image whose text is covered; `masked_area`: share covered.

    An image without text that counts is not embedded again: its similarity is the stored one. The encoder has to be the
    one whose columns are read. `fill: mean` is the image's mean colour (the original's authors), `constant` is `colour`,
    by default CLIP's mean, which is zero to the model; `blur` keeps the colours of the place, `inpaint` (Telea 2004)
    continues its surroundings.
    """

    image: ClassVar[ImageLevel | None] = "thumb"
    lane: ClassVar[Lane] = "model"
    cost: ClassVar[float] = 60.0
    version: ClassVar[int] = 2

    model: str = Field(default="default", description="the model spec of the similarity that is read")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    similarity: str = "similarity"
    text_embedding: str = "text_embedding"
    regions: str = Field(default="text_regions", description="or ocr_boxes, where the recipe reads the text anyway")
    fill: Literal["mean", "constant", "blur", "inpaint"] = "mean"
    colour: tuple[int, int, int] = Field(default=(123, 117, 104), description="with fill: constant; RGB, 0 to 255")
    min_score: float = Field(default=MIN_SCORE, ge=0, le=1)
    min_area: float = Field(default=MIN_AREA, ge=0, description="px of an image whose longer side is 512")

    def inputs(self) -> tuple[str, ...]:
        """Regions, the similarity, and the caption's embedding."""
        return (self.regions, self.similarity, self.text_embedding)

    def gives(self) -> dict[str, pa.DataType]:
        """Cosine, -1 to 1, null without a caption; share of the image, 0 to 1."""
        return {"masked_similarity": pa.float32(), "masked_area": pa.float32()}

    def models(self) -> tuple[str, ...]:
        """The encoder."""
        return (self.model,)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Raises ModelError when the stored embedding is another encoder's."""
        scores = batch.columns[self.similarity].astype(np.float32)
        captioned = ~np.isnan(scores)
        areas = np.zeros(len(scores), np.float32)
        masked: dict[int, Image] = {}
        for row, (image, regions) in enumerate(zip(batch.images, batch.columns[self.regions], strict=True)):
            mask = self.mask(image.width, image.height, regions or ())
            areas[row] = mask.mean()
            if captioned[row] and mask.any():
                masked[row] = cover(image, mask, self.fill, self.colour)
        if masked:
            rows = list(masked)
            captions = batch.columns[self.text_embedding][rows].astype(np.float32)
            scores[rows] = self._score(list(masked.values()), captions)
        return {"masked_similarity": [None if np.isnan(score) else score for score in scores], "masked_area": areas}

    def mask(self, width: int, height: int, regions: Sequence[Region]) -> np.ndarray:
        """Boolean (height, width): True in the regions that count."""
        import cv2

        size = np.array([width, height], np.float32)
        scale = Frame(width, height).scale
        mask = np.zeros((height, width), np.uint8)
        for region in regions:
            points = corners(region) * size
            if region["score"] >= self.min_score and area(points * scale) >= self.min_area:
                cv2.fillConvexPoly(mask, points.round().astype(np.int32), 1)
        return mask.astype(bool)

    def _score(self, images: list[Image], captions: np.ndarray) -> np.ndarray:
        from curate.models import image_text_encoder

        encoder = image_text_encoder(self.model, precision=self.precision)
        if captions.shape[1] != encoder.dim:
            width = captions.shape[1]
            raise ModelError(
                f"{self.text_embedding} has width {width}, {self.model} has {encoder.dim}: another model's"
            )
        unit = captions / np.linalg.norm(captions, axis=1, keepdims=True)  # stored as float16
        return np.asarray(np.einsum("nd,nd->n", encoder.images(images), unit), np.float32)


def corners(region: Region) -> np.ndarray:
    """float32 (4, 2) in [0, 1], clockwise, of a region or of a word with its box."""
    if "quad" in region:
        return np.array(region["quad"], np.float32).reshape(4, 2)
    x1, y1, x2, y2 = region["box"]
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)


def cover(image: Image, mask: np.ndarray, fill: str, colour: tuple[int, int, int]) -> Image:
    """The RGB image with what is under `mask`, bool (height, width), covered. `fill`: see `MaskedSimilarity`."""
    import cv2
    from PIL import Image as images

    pixels = np.array(image)
    if fill == "inpaint":
        radius = 3.0
        return images.fromarray(cv2.inpaint(pixels, mask.astype(np.uint8), radius, cv2.INPAINT_TELEA))
    if fill == "blur":
        pixels[mask] = _blurred(image)[mask]
    else:
        pixels[mask] = colour if fill == "constant" else pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    return images.fromarray(pixels)


def _blurred(image: Image) -> np.ndarray:
    """uint8 (height, width, 3), blurred by a tenth of the longer side, which leaves no letter of any size.

    Beyond a side's own length a blur changes nothing more; banners are `bounded` before, as a kernel has a size too.
    """
    import cv2
    from PIL import Image as images

    small, reach = bounded(image), max(image.size) / 10
    across, down = (min(reach, side) * px / side for side, px in zip(image.size, small.size, strict=True))
    blurred = cv2.GaussianBlur(np.asarray(small), (0, 0), across, sigmaY=down)
    return np.asarray(images.fromarray(blurred).resize(image.size, images.Resampling.BILINEAR))
