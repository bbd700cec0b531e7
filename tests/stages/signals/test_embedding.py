"""Texts in the space of images, by the embedded encoder."""

from __future__ import annotations

import numpy as np

from curate.contracts import Batch
from curate.models import dimension, image_text_encoder
from stages.signals.embedding import TextEmbedding


def test_texts_lie_where_the_encoder_puts_them_and_white_space_nowhere() -> None:
    texts = ["a red apple", None, " \n", "a red apple", "the stock exchange"]
    step = TextEmbedding(column="image_caption")
    found = step.compute(Batch({"image_caption": np.array(texts, object)}))["passage_embedding"]
    expected = image_text_encoder().texts(["a red apple", "the stock exchange"]).astype(np.float16)
    assert [row is None for row in found] == [False, True, True, False, False]
    assert np.array_equal(found[0], expected[0]) and np.array_equal(found[3], expected[0])
    assert np.array_equal(found[4], expected[1])
    assert step.gives()["passage_embedding"].list_size == dimension() == len(expected[0])
    assert step.inputs() == ("image_caption",)
