"""How well image and caption go together, by any dual encoder."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Lane, Signal
from curate.errors import MissingExtra, ModelError

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
    embeddings: bool = Field(default=True, description="also store both embeddings, as float16")

    def gives(self) -> dict[str, pa.DataType]:
        """similarity: -1 to 1; image_embedding and text_embedding: unit length, of the model's dimension."""
        columns = {"similarity": pa.float32()}
        if not self.embeddings:
            return columns
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

        encoder = image_text_encoder(self.model)
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


def dimension(model: str) -> int:
    """Width of the model's shared space, from its configuration: no weights are read and torch is not imported.

    Raises ModelError for an unknown model or a configuration that does not tell.
    """
    from curate.models import resolve

    found = resolve(model)
    if found.kind == "embedded":
        from curate.models.sentences import DIM

        return DIM
    if found.kind == "open_clip":
        width = _open_clip_config(model, found.path).get("embed_dim")
    else:
        width = json.loads((found.path / "config.json").read_text()).get("projection_dim")
    if not isinstance(width, int):
        raise ModelError(f"{model}: its configuration names no embedding width; is it an image-text encoder?")
    return width


def _open_clip_config(model: str, path: Path) -> dict[str, Any]:
    """From the folder, from the package's list of architectures, or from what a program has added to open_clip."""
    rest = model.removeprefix("open_clip:")
    if rest.startswith("local-dir:"):
        return dict(json.loads((path / "open_clip_config.json").read_text())["model_cfg"])
    arch = rest.partition("@file:")[0].partition("/")[0]
    if "open_clip" in sys.modules:
        return sys.modules["open_clip"].get_model_config(arch) or {}
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("open-clip-torch", extra="models")
    return dict(json.loads((Path(spec.submodule_search_locations[0]) / "model_configs" / f"{arch}.json").read_text()))


def _rows(vectors: np.ndarray, present: np.ndarray) -> Sequence[Any] | np.ndarray:
    """Vectors at the places where they are present, None elsewhere."""
    if present.all():
        return vectors
    found = iter(vectors)
    return [next(found) if there else None for there in present]
