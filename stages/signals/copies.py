"""Descriptors that find copies: crops, overlays, filters, screenshots (SSCD, Pizzi et al. 2022, arXiv:2202.10261)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Lane, Signal
from curate.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image


class CopyDescriptor(Signal):
    """A unit vector per image, of which copies lie close: for SSCD (disc_mixup) a cosine above 0.75 is a copy in 90 %.

    `file:sscd_disc_mixup.torchvision.pt`, `file:X.onnx`, or the image side of any encoder (`default`, `open_clip:…`,
    `hf:…`), whose cosines have a scale of their own. `stages.select.semantic.SemanticDuplicates` groups by it.
    """

    image: ClassVar[ImageLevel | None] = "full"
    lane: ClassVar[Lane] = "model"
    cost: ClassVar[float] = 150.0

    model: str = Field(default="default", description="file:PATH (see curate.models.descriptor) or an encoder's spec")
    side: int = Field(
        default=320, ge=32, le=1024, description="of a file's input, in px: the image is squeezed to a square"
    )
    dim: int = Field(default=512, gt=0, description="width of a file's descriptor; an encoder tells its own")

    def gives(self) -> dict[str, pa.DataType]:
        """copy_descriptor: float16, unit length."""
        return {"copy_descriptor": pa.list_(pa.float16(), self._width())}

    def models(self) -> tuple[str, ...]:
        """The model."""
        return (self.model,)

    def prepare(self, image: Image) -> np.ndarray | None:
        """uint8 (height, width, 3), as the model wants it."""
        from curate.models import preparer
        from curate.models.descriptor import square

        return square(image, self.side) if self._is_file() else preparer(self.model)(image)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Raises ModelError if the weights cannot be had, or give vectors of another width."""
        from curate.models import image_text_encoder
        from curate.models.descriptor import image_descriptor

        prepared = batch.prepared
        if prepared is None:
            prepared = np.stack([row for image in batch.images if (row := self.prepare(image)) is not None])
        if self._is_file():
            found = image_descriptor(self.model)(prepared)
        else:
            found = image_text_encoder(self.model).images_prepared(prepared)
        if found.shape[1] != self._width():
            raise ModelError(f"{self.model}: descriptors have {found.shape[1]} values; write `dim: {found.shape[1]}`")
        return {"copy_descriptor": found.astype(np.float16)}

    def _is_file(self) -> bool:
        """One file; a folder is an encoder's checkpoint."""
        from curate.models import resolve

        return self.model.startswith("file:") and resolve(self.model).path.is_file()

    def _width(self) -> int:
        from curate.models import dimension

        return self.dim if self._is_file() else dimension(self.model)
