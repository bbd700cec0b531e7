"""Where a text lies in the space that images are in too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Lane, Signal


class TextEmbedding(Signal):
    """The embedding of a text by any dual encoder (Radford et al. 2021): a paragraph's, a caption's, a title's.

    `stages.signals.similarity.ClipScore` gives those of an image and of its alt text; with the same model they compare.
    """

    lane: ClassVar[Lane] = "model"
    cost: ClassVar[float] = 4.0

    model: str = Field(default="default", description="a model spec, such as open_clip:ViT-B-32/laion2b_s34b_b79k")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="of matrix products; auto: bfloat16 on a GPU, float32 on a CPU"
    )
    column: str = Field(default="text", description="the text's column")

    def inputs(self) -> tuple[str, ...]:
        """The text."""
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """passage_embedding: float16, unit length, of the model's dimension; no text but white space, no fact."""
        from curate.models import dimension

        return {"passage_embedding": pa.list_(pa.float16(), dimension(self.model))}

    def models(self) -> tuple[str, ...]:
        """The encoder."""
        return (self.model,)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Equal texts are embedded once. Raises ModelError if the model's weights cannot be had."""
        from curate.models import image_text_encoder

        texts: Sequence[str | None] = batch.columns[self.column].tolist()
        places = {text: i for i, text in enumerate(dict.fromkeys(text for text in texts if text and text.strip()))}
        vectors = image_text_encoder(self.model, precision=self.precision).texts(list(places)).astype(np.float16)
        return {"passage_embedding": [vectors[places[text]] if text in places else None for text in texts]}
