"""Several captions sampled per image: what Sieve compares the alt-text with (Mahmoud et al. 2023, arXiv:2310.02110).

`default` needs no download and samples class names; `file:/folder` and `hf:org/name` load a BLIP (Sieve's own), BLIP-2,
LLaVA or Florence-2 checkpoint and sample its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate.contracts import Batch, ImageLevel, Synth
from curate.schema import hash_words
from synth.caption import Captioned, sample_seeds

if TYPE_CHECKING:
    from PIL.Image import Image


class Drawer(Protocol):
    """Images to k captions each, one per seed; a caption depends on its image and seed alone."""

    prompt: str
    """What the model is asked, exactly: the provenance column `candidates_prompt`."""

    def candidates(self, images: Sequence[Image] | np.ndarray, seeds: np.ndarray) -> list[list[Captioned]]:
        """`images`: RGB, or the stack of what `Candidates.prepare` returned; `seeds`: int64 (n, k), not negative."""
        ...


class Candidates(Synth):
    """`candidates`: `count` captions by nucleus sampling, and their provenance: `_model`, `_prompt`, `_seed` (from
    (recipe seed, uid); the i-th caption's own follows from it and i), `_score` in [0, 1], the mean of the captions'.

    The numbers are Sieve's: 8 captions, top_p 0.9, 5 to 20 tokens. A caption may come twice.
    """

    version: ClassVar[int] = 1
    image: ClassVar[ImageLevel | None] = "thumb"
    needs: ClassVar[tuple[str, ...]] = ("uid",)
    cost: ClassVar[float] = 20.0

    model: str = Field(default="default", description="default, hf:org/name or file:/folder")
    prompt: str | None = Field(default=None, description="what to ask; default: a template with {} for the class")
    count: int = Field(default=8, ge=1, le=64)
    top_p: float = Field(default=0.9, gt=0, le=1, description="share of the probability that is sampled from")
    min_tokens: int = Field(default=5, ge=0, description="only for models that generate")
    max_tokens: int = Field(default=20, ge=1, le=400, description="only for models that generate")

    @model_validator(mode="after")
    def _fits_the_model(self) -> Candidates:
        if self.model == "default" and self.prompt is not None and "{}" not in self.prompt:
            raise ValueError("the default captioner's prompt is a template that holds {}, such as 'a photo of {}'")
        if self.min_tokens > self.max_tokens:
            raise ValueError("min_tokens is above max_tokens")
        return self

    def gives(self) -> dict[str, pa.DataType]:
        """The captions and where they come from."""
        return {
            "candidates": pa.list_(pa.string()),
            "candidates_model": pa.string(),
            "candidates_prompt": pa.string(),
            "candidates_seed": pa.int64(),
            "candidates_score": pa.float32(),
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
        own = sample_seeds(batch, "synth.candidates")
        numbers = np.arange(self.count, dtype=np.uint64)
        pairs = np.column_stack([np.repeat(own.astype(np.uint64), self.count), np.tile(numbers, len(own))])
        seeds = (hash_words(0, pairs, "candidate") >> np.uint64(1)).astype(np.int64).reshape(len(own), self.count)
        drawer = _open(self)
        images = batch.images if batch.prepared is None else batch.prepared
        found = drawer.candidates(images, seeds)
        return {
            "candidates": [[caption.text or "" for caption in captions] for captions in found],
            "candidates_model": [self.model] * len(found),
            "candidates_prompt": [drawer.prompt] * len(found),
            "candidates_seed": own,
            "candidates_score": np.array([np.mean([caption.score for caption in row]) for row in found], np.float32),
        }


def _open(step: Candidates) -> Drawer:
    return _opened(step.model, step.prompt, step.top_p, step.min_tokens, step.max_tokens)


@lru_cache(maxsize=2)
def _opened(model: str, prompt: str | None, top_p: float, least: int, most: int) -> Drawer:
    """What draws captions, loaded once per process. Raises ModelError for a family that is not known."""
    if model == "default":
        from synth.backends.class_draws import ClassDraws

        return ClassDraws(prompt, top_p)
    from synth.backends.generate import Decoding, open_generator

    return open_generator(model, prompt, most, Decoding(temperature=1.0, top_p=top_p, tokens=(least, most)))
