"""Any image classifier by file or by name: watermarks, NSFW, drawings, whatever somebody trained one for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Lane, Signal

if TYPE_CHECKING:
    from PIL.Image import Image


class ClassProbability(Signal):
    """`class_probability`: what the classifier gives the named classes together, [0, 1]; rename it after what it says.

    `rename: {class_probability: pwatermark}` with a watermark classifier, `{class_probability: nsfw}` with another.
    """

    image: ClassVar[ImageLevel | None] = "thumb"
    lane: ClassVar[Lane] = "model"
    cost: ClassVar[float] = 40.0

    model: str = Field(description="hf:ORG/NAME or file:FOLDER, a classifier of transformers or of timm in its format")
    positive: tuple[str, ...] = Field(min_length=1, description="labels, as the checkpoint's configuration has them")

    def gives(self) -> dict[str, pa.DataType]:
        """One float."""
        return {"class_probability": pa.float32()}

    def models(self) -> tuple[str, ...]:
        """The classifier."""
        return (self.model,)

    def prepare(self, image: Image) -> np.ndarray | None:
        """uint8 (height, width, 3), as the checkpoint's image processor wants it."""
        from curate.models import preparer

        return preparer(self.model)(image)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Raises ModelError if the model cannot be had, or has no class of such a name."""
        from curate.models.classes import image_classifier, places

        columns = places(self.model, self.positive)
        prepared = batch.prepared
        if prepared is None:
            rows = [self.prepare(image) for image in batch.images]
            prepared = np.stack([row for row in rows if row is not None]) if rows else np.zeros((0, 1, 1, 3), np.uint8)
        found = image_classifier(self.model).probabilities(prepared)[:, columns]
        return {"class_probability": np.minimum(found.sum(axis=1), 1)}
