"""The encoder that needs no download: EfficientNet-Lite0 and all-MiniLM-L6-v2 in one space.

Image side: ConSE (Norouzi et al. 2014, arXiv:1312.5650): sentence embeddings of the class names, weighted by the
T largest class probabilities. That, the pooled features, and the sentence embedding of the text go through one affine
map each, trained by `trainer.align`. docs/models/default-encoder.md has the method, the figures and the limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from curate.errors import MissingExtra
from curate.models.device import Precision, in_batches, stacked, unit
from curate.models.encoder import ImageTextEncoder
from curate.models.imagenet import classifier, softmax
from curate.models.imagenet import prepare as prepare_image
from curate.models.sentences import sentence_encoder
from curate.models.specs import own_weights

if TYPE_CHECKING:
    from PIL.Image import Image

TOP: Final = 10
"""T of ConSE, section 3.2: classes that take part."""


def conse(probabilities: np.ndarray, class_embeddings: np.ndarray) -> np.ndarray:
    """Probabilities (n, C) and class embeddings (C, d) to float32 (n, d), unit rows. Ties go to the lower class."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    weights = np.take_along_axis(probabilities, order, axis=1)
    return unit(np.einsum("nt,ntd->nd", weights, class_embeddings[order]))


class DefaultEncoder(ImageTextEncoder):
    """Opened by `image_text_encoder("default")`."""

    spec = "default"

    def __init__(self, device: str, precision: Precision) -> None:
        """`device`: a torch device by name. Raises MissingExtra where a package of the extra `models` is missing."""
        self.precision = precision
        self._classifier = classifier("default", device)
        self._sentences = sentence_encoder("default", device)
        self._heads = stored_heads()
        self.device, self.batch = self._classifier.device, self._classifier.batch
        self.dim = self._heads["text"].shape[1]

    def prepare(self, image: Image) -> np.ndarray:
        """uint8 (224, 224, 3), the whole image."""
        return prepare_image(image)

    def images_prepared(self, prepared: np.ndarray) -> np.ndarray:
        """uint8 (n, 224, 224, 3) to float32 (n, d), unit rows."""
        found = in_batches(prepared, self.batch, self.device, self._image_batch, self.precision)
        return unit(stacked(found, (self.dim,)))

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """n strings to float32 (n, d), unit rows."""
        sentences = self._sentences.encode(texts)
        return unit(stacked(in_batches(sentences, self.batch, self.device, self._text_batch), (self.dim,)))

    def _image_batch(self, prepared: np.ndarray) -> np.ndarray:
        seen = self._classifier.see(prepared)
        named = conse(softmax(seen.logits), self._heads["class_embeddings"])
        both = np.concatenate([seen.pooled.float().cpu().numpy(), named], axis=1)
        return affine(both, self._heads["image"], self._heads["image_bias"])

    def _text_batch(self, sentences: np.ndarray) -> np.ndarray:
        return affine(sentences, self._heads["text"], self._heads["text_bias"])


def stored_heads() -> dict[str, np.ndarray]:
    """float32: `class_embeddings` (1000, 384), `image` (1280 + 384, d), `text` (384, d), `image_bias`, `text_bias`."""
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise MissingExtra("safetensors", extra="models") from error
    return {name: array.astype(np.float32) for name, array in load_file(own_weights()).items()}


def affine(rows: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """`rows @ weight + bias` in float32 by torch on the CPU, whose threads `inference` pins; numpy's are not ours."""
    import torch

    with torch.autocast("cpu", enabled=False):
        found = torch.from_numpy(rows) @ torch.from_numpy(weight) + torch.from_numpy(bias)
    return np.asarray(found.numpy())
