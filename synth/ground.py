"""Where in the image the phrases of a caption are: grounded captions in the form of GrIT (Peng et al. 2023,
arXiv:2306.14824).

`default` needs no download: class activation maps for what the embedded classifier knows, the boxes of
`stages.signals.ocr` for words that stand in the image. `file:/folder` and `hf:org/name` load a Grounding DINO or OWLv2
checkpoint through transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Columns, ImageLevel, Synth
from synth.boxes import Box
from synth.caption import sample_seeds

if TYPE_CHECKING:
    from PIL.Image import Image

PHRASES = pa.list_(
    pa.struct(
        [
            pa.field("phrase", pa.string()),
            pa.field("start", pa.int32()),  # characters into the caption: caption[start:end] == phrase
            pa.field("end", pa.int32()),
            pa.field("box", pa.list_(pa.float32())),  # x1, y1, x2, y2 in [0, 1]
            pa.field("score", pa.float32()),
            pa.field("source", pa.string()),  # cam, ocr or the model's family
        ]
    )
)
"""Grounded phrases of one caption, in its order. A phrase that has no place is not in it."""


class Grounded(NamedTuple):
    """One phrase with its box (xyxy in [0, 1]), and how sure its source is, [0, 1]."""

    phrase: str
    start: int
    end: int
    box: Box
    score: float
    source: str


class Grounder(Protocol):
    """Images and captions to grounded phrases; each depends on its own image, caption and columns alone."""

    prompt: str
    """How phrases are asked for: the provenance column `phrases_prompt`."""

    def ground(
        self, images: Sequence[Image] | np.ndarray, captions: Sequence[str | None], columns: Columns
    ) -> list[list[Grounded]]:
        """The phrases of each caption that have a place. `images`: RGB, or what `Ground.prepare` returned."""
        ...


class Ground(Synth):
    """`phrases` of a caption with their boxes, and its provenance: `_model`, `_prompt`, `_seed`, `_score`.

    `phrases_score` is the mean over the phrases, null where there are none. No step here draws at random; the seed is
    that of the sample all the same, so that all synthetic columns read alike.
    """

    version: ClassVar[int] = 1
    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 25.0

    model: str = Field(default="default", description="default, hf:org/name or file:/folder")
    caption: str = Field(default="text", description="column that holds the caption to ground")
    threshold: float = Field(default=0.1, gt=0, lt=1, description="phrases scored below it are left out")
    max_phrases: int = Field(default=8, ge=1, le=64, description="the first phrases of a caption that are looked for")

    def inputs(self) -> tuple[str, ...]:
        """The caption and the uid; by default also the words found in the image."""
        columns = ("uid", self.caption)
        return (*columns, "ocr_boxes") if self.model == "default" else columns

    def gives(self) -> dict[str, pa.DataType]:
        """The phrases and where they come from."""
        return {
            "phrases": PHRASES,
            "phrases_model": pa.string(),
            "phrases_prompt": pa.string(),
            "phrases_seed": pa.int64(),
            "phrases_score": pa.float32(),
        }

    def models(self) -> tuple[str, ...]:
        """The model's weights, and spaCy's, which find the phrases, belong to the fingerprint."""
        models = ("classifier:default", "sentence:default") if self.model == "default" else (self.model,)
        return (*models, "en_core_web_sm")

    def prepare(self, image: Image) -> np.ndarray | None:
        """The classifier's input; a detector's processor wants the image itself."""
        if self.model != "default":
            return None
        from curate.models.imagenet import prepare

        return prepare(image)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Grounded phrases for a batch."""
        grounder = open_grounder(self.model, self.threshold, self.max_phrases)
        images = batch.images if batch.prepared is None else batch.prepared
        captions = [text if isinstance(text, str) else None for text in batch.columns[self.caption]]
        found = grounder.ground(images, captions, batch.columns)
        return {
            "phrases": [[phrase._asdict() for phrase in phrases] for phrases in found],
            "phrases_model": [self.model] * len(found),
            "phrases_prompt": [grounder.prompt] * len(found),
            "phrases_seed": sample_seeds(batch, "synth.ground"),
            "phrases_score": [float(np.mean([p.score for p in phrases])) if phrases else None for phrases in found],
        }


@lru_cache(maxsize=2)
def open_grounder(model: str, threshold: float, max_phrases: int) -> Grounder:
    """The grounder behind a model spec, loaded once per process. Raises ModelError for a family that is not known."""
    if model == "default":
        from synth.backends.cam import ClassMaps

        return ClassMaps(threshold, max_phrases)
    from synth.backends.detect import open_detector

    return open_detector(model, threshold, max_phrases)
