"""Models by name: where their weights are, what licence they carry, and how images and texts become vectors.

    import curate.models

    encoder = curate.models.image_text_encoder("default")
    similarity = (encoder.images(images) * encoder.texts(captions)).sum(axis=1)

A spec is `default` (weights inside packages, no download), `open_clip:ARCH/TAG`, `open_clip:ARCH@file:WEIGHTS`,
`open_clip:local-dir:FOLDER`, `hf:ORG/NAME` or `file:FOLDER`. `resolve` answers without torch; it is what `plan` asks.
Weights are safetensors, or pickles read with `weights_only`; code that comes with a checkpoint never runs.
"""

from __future__ import annotations

from curate.models.encoder import ImageTextEncoder, dimension, image_text_encoder, preparer
from curate.models.imagenet import Classifier, classifier
from curate.models.sentences import SentenceEncoder, sentence_encoder
from curate.models.specs import Resolved, catalog, resolve

__all__ = [
    "Classifier",
    "ImageTextEncoder",
    "Resolved",
    "SentenceEncoder",
    "catalog",
    "classifier",
    "dimension",
    "image_text_encoder",
    "preparer",
    "resolve",
    "sentence_encoder",
]
