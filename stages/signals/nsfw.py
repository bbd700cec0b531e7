"""Not safe for work: Yahoo's Open-NSFW (Mahadeokar and Pesavento 2016), whose weights come inside a package (BSD-2).

The network was fitted to what Yahoo's script fed it, so its steps are kept one by one: 256 x 256 without regard to the
aspect, bilinear; through a JPEG and back; the middle 224 x 224; BGR less the means of the training set.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Signal
from curate.errors import ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

RESIZED: Final = 256
CROPPED: Final = 224
_MEAN_BGR: Final = np.array([104, 117, 123], np.float32)


class Nsfw(Signal):
    """`nsfw`: probability that the image is pornographic, [0, 1]. Yahoo called scores below 0.2 safe, above 0.8 unsafe.

    Drawings, violence and suggestive pictures are not what it was trained on.
    """

    image: ClassVar[ImageLevel | None] = "thumb"
    cost: ClassVar[float] = 20.0

    model: str = Field(
        default="open_nsfw", description="or file:PATH, an ONNX file of the same input and output (opennsfw2's export)"
    )

    def gives(self) -> dict[str, pa.DataType]:
        """One float."""
        return {"nsfw": pa.float32()}

    def models(self) -> tuple[str, ...]:
        """The network."""
        return (self.model,)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Each image on its own: a larger batch is no faster on one thread. Raises ModelError, MissingExtra."""
        network = open_network(self.model)
        return {"nsfw": np.array([score(network, as_trained(image)) for image in batch.images], np.float32)}


def as_trained(picture: Image.Image) -> np.ndarray:
    """An RGB image as the network wants it: float32 (224, 224, 3), BGR, means of about 0."""
    squeezed = picture.resize((RESIZED, RESIZED), Image.Resampling.BILINEAR)
    buffer = BytesIO()
    squeezed.save(buffer, "JPEG")  # at Pillow's default of 75, as the reference
    pixels = np.asarray(JpegImageFile(BytesIO(buffer.getvalue())), np.float32)
    edge = (RESIZED - CROPPED) // 2
    return pixels[edge : edge + CROPPED, edge : edge + CROPPED, ::-1] - _MEAN_BGR


def score(network: InferenceSession, pixels: np.ndarray) -> float:
    """Probability of the second class, from float32 (224, 224, 3)."""
    (probabilities,) = network.run(None, {network.get_inputs()[0].name: pixels[None]})
    return float(probabilities[0, 1])


@lru_cache(maxsize=2)
def open_network(spec: str) -> InferenceSession:
    """The network, once per process. Raises ModelError where input or output are not those of Open-NSFW."""
    from curate.models import resolve
    from curate.models.onnx import session

    found: Path = resolve(spec).path
    network = session(found)
    wanted, given = network.get_inputs(), network.get_outputs()
    if len(wanted) != 1 or len(given) != 1 or wanted[0].shape[1:] != [CROPPED, CROPPED, 3] or given[0].shape[1:] != [2]:
        raise ModelError(f"{spec}: not an Open-NSFW network: it takes no (n, {CROPPED}, {CROPPED}, 3) to (n, 2)")
    return network
