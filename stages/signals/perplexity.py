"""How far a caption is from the language that a model knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Lane, Signal
from curate.models.language import language_model, model_files
from stages.signals.text import without


class Perplexity(Signal):
    """Perplexity of a caption: exp of the mean negative log probability of its tokens (Wenzek et al. 2020, CCNet).

    `default` is a small English model over word pieces (`curate/models/weights/caption_lm.json`). Values of different models
    do not compare. Of a very long caption only the beginning is scored. No caption, no fact.
    """

    cost: ClassVar[float] = 0.05

    model: str = Field(default="default", description="`default`, or a KenLM file: `file:en.arpa.bin`")
    pieces: str | None = Field(default=None, description="KenLM: tokenizer.json whose pieces are the model's words")
    column: str = Field(default="text", description="the text's column; of whole documents: document_text")

    def inputs(self) -> tuple[str, ...]:
        """The text."""
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """perplexity: at least 1."""
        return {"perplexity": pa.float32()}

    def models(self) -> tuple[str, ...]:
        """The model's files."""
        return model_files(self.model, self.pieces)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """All captions of the batch in one call; line breaks are spaces."""
        texts: Sequence[str | None] = batch.columns[self.column].tolist()
        total, tokens = language_model(self.model, self.pieces).score(
            [" ".join((text or "").split()) for text in texts]
        )
        values = np.exp(np.minimum(-total / np.maximum(tokens, 1), 80.0)).astype(np.float32)
        return {
            "perplexity": without(
                values, np.array([text is None or n < 1 for text, n in zip(texts, tokens, strict=True)], bool)
            )
        }


class CausalPerplexity(Perplexity):
    """The same by a causal transformer, in the lane of models: on a GPU where there is one. At most 128 tokens count."""

    lane: ClassVar[Lane] = "model"
    cost: ClassVar[float] = 20.0

    model: str = Field(description="`hf:ORG/NAME`, or a folder: `file:FOLDER`")
