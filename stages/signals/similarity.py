"""How well image and caption go together, by any dual encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Lane, Signal

if TYPE_CHECKING:
    from PIL.Image import Image


class ClipScore(Signal):
    """Cosine of the image's and the caption's embedding (Radford et al. 2021), and the embeddings themselves.

    A pair without a caption has an image embedding and no similarity.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    image: ClassVar[ImageLevel | None] = "thumb"
    lane: ClassVar[Lane] = "model"
    cost: ClassVar[float] = 50.0

    model: str = Field(default="default", description="a model spec, such as open_clip:ViT-B-32/laion2b_s34b_b79k")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="of matrix products; auto: bfloat16 on a GPU, float32 on a CPU"
    )
    embeddings: bool = Field(default=True, description="also store both embeddings, as float16")

    def gives(self) -> dict[str, pa.DataType]:
        """similarity: -1 to 1; image_embedding and text_embedding: unit length, of the model's dimension."""
        columns = {"similarity": pa.float32()}
        if not self.embeddings:
            return columns
        from curate.models import dimension

        vector = pa.list_(pa.float16(), dimension(self.model))
        return {**columns, "image_embedding": vector, "text_embedding": vector}

    def models(self) -> tuple[str, ...]:
        """The encoder."""
        return (self.model,)

    def prepare(self, image: Image) -> np.ndarray | None:
        """uint8 (height, width, 3), as the model wants it."""
        from curate.models import preparer

        return preparer(self.model)(image)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Raises ModelError if the model's weights cannot be had."""
        from curate.models import image_text_encoder

        encoder = image_text_encoder(self.model, precision=self.precision)
        images = encoder.images(batch.images) if batch.prepared is None else encoder.images_prepared(batch.prepared)
        texts: Sequence[str | None] = batch.columns["text"].tolist()
        captioned = np.array([text is not None for text in texts], bool)
        captions = encoder.texts([text for text in texts if text is not None])
        similarity = np.full(len(texts), None, object)
        similarity[captioned] = np.einsum("nd,nd->n", images[captioned], captions)
        columns: dict[str, Sequence[Any] | np.ndarray] = {"similarity": similarity}
        if self.embeddings:
            columns["image_embedding"] = images.astype(np.float16)
            columns["text_embedding"] = _rows(captions.astype(np.float16), captioned)
        return columns


def _rows(vectors: np.ndarray, present: np.ndarray) -> Sequence[Any] | np.ndarray:
    """Vectors at the places where they are present, None elsewhere."""
    if present.all():
        return vectors
    found = iter(vectors)
    return [next(found) if there else None for there in present]
