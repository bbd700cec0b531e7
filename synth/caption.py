"""Captions written by a model, beside the alt-text and never in its place (Nguyen et al. 2023, arXiv:2307.10350).

`default` needs no download: class names of the embedded classifier and the text that `stages.signals.ocr` found.
`file:/folder` and `hf:org/name` load a BLIP-2, LLaVA or Florence-2 checkpoint through transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate.contracts import Batch, Columns, ImageLevel, Synth
from curate.schema import hash_words

if TYPE_CHECKING:
    from PIL.Image import Image


class Captioned(NamedTuple):
    """A caption, None where the model has nothing to say that it is sure of, and its score in [0, 1]."""

    text: str | None
    score: float


class Captioner(Protocol):
    """Images to captions. Each caption depends on its image, its columns and its seed, never on its neighbours."""

    prompt: str
    """What the model is asked, exactly: the provenance column `synth_caption_prompt`."""

    def captions(self, images: Sequence[Image] | np.ndarray, columns: Columns, seeds: Sequence[int]) -> list[Captioned]:
        """One caption per image. `images`: RGB, or the stack of what `Caption.prepare` returned."""
        ...


class Caption(Synth):
    """`synth_caption` and its provenance: `_model`, `_prompt`, `_seed` (of this sample), `_score` in [0, 1].

    The score of a generated caption is the geometric mean of its tokens' probabilities; that of a `default` caption is
    the probability of what it names. Decoding is greedy; a `temperature` samples from (seed, uid).
    """

    version: ClassVar[int] = 1
    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 20.0

    model: str = Field(default="default", description="default, hf:org/name or file:/folder")
    prompt: str | None = Field(default=None, description="what to ask; default: a template with {} for what is seen")
    max_words: int = Field(default=30, ge=1, le=400, description="a longer caption is cut at a sentence, else a word")
    temperature: float = Field(default=0.0, ge=0, le=2, description="0: greedy; only for models that generate")

    @model_validator(mode="after")
    def _fits_the_model(self) -> Caption:
        if self.model == "default" and self.temperature:
            raise ValueError("the default captioner does not sample; leave temperature out")
        if self.model == "default" and self.prompt is not None and "{}" not in self.prompt:
            raise ValueError("the default captioner's prompt is a template that holds {}, such as 'a photo of {}'")
        return self

    def inputs(self) -> tuple[str, ...]:
        """The uid, from which the sample's seed comes; by default also the words found in the image."""
        return ("uid", "ocr_boxes") if self.model == "default" else ("uid",)

    def gives(self) -> dict[str, pa.DataType]:
        """The caption and where it comes from."""
        return {
            "synth_caption": pa.string(),
            "synth_caption_model": pa.string(),
            "synth_caption_prompt": pa.string(),
            "synth_caption_seed": pa.int64(),
            "synth_caption_score": pa.float32(),
        }

    def models(self) -> tuple[str, ...]:
        """The model's weights belong to the fingerprint."""
        return ("classifier:default",) if self.model == "default" else (self.model,)

    def prepare(self, image: Image) -> np.ndarray | None:
        """The classifier's input; a generating model's processor wants the image itself."""
        if self.model != "default":
            return None
        from curate.models.imagenet import prepare

        return prepare(image)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Captions for a batch."""
        seeds = sample_seeds(batch, "synth.caption")
        captioner = open_captioner(self.model, self.prompt, self.max_words, self.temperature)
        images = batch.images if batch.prepared is None else batch.prepared
        found = captioner.captions(images, batch.columns, seeds.tolist())
        return {
            "synth_caption": [caption.text for caption in found],
            "synth_caption_model": [self.model] * len(found),
            "synth_caption_prompt": [captioner.prompt] * len(found),
            "synth_caption_seed": seeds,
            "synth_caption_score": np.array([caption.score for caption in found], np.float32),
        }


def sample_seeds(batch: Batch, stream: str) -> np.ndarray:
    """int64 (n,), not negative: each sample's own seed, from (recipe seed, uid, stream)."""
    return (hash_words(batch.seed, batch.columns["uid"], stream) >> np.uint64(1)).astype(np.int64)


@lru_cache(maxsize=2)
def open_captioner(model: str, prompt: str | None, max_words: int, temperature: float) -> Captioner:
    """The captioner behind a model spec, loaded once per process. Raises ModelError for a family that is not known."""
    if model == "default":
        from synth.backends.class_names import ClassNames

        return ClassNames(prompt, max_words)
    from synth.backends.generate import Decoding, open_generator

    return open_generator(model, prompt, max_words, Decoding(temperature))
