"""Where images stand in a text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.documents.interleaving import Interleaving, spread


def columns(layout: str) -> dict[str, np.ndarray]:
    """`D` a document, `t` a text of ten characters, `i` an image with an alt text."""
    kinds = {"D": "document", "t": "text", "i": "image"}
    return {
        "kind": np.array([kinds[letter] for letter in layout], object),
        "text": np.array(["x" * 10 for _ in layout], object),
    }


def test_spread_and_piled() -> None:
    found = Interleaving().compute(columns("DtitiDttiiDttDi"), {})
    documents = np.array([0, 5, 10, 13])
    rows = {name: np.asarray(values)[documents].tolist() for name, values in found.items()}
    assert rows["image_place"] == [0.75, 1.0, None, None]
    assert rows["images_last"] == [0.5, 1.0, None, None]
    assert rows["images_adjacent"] == [0.0, 0.5, None, None]
    assert rows["text_without"] == [0.5, 1.0, None, None]
    assert rows["text_per_image"] == [10.0, 10.0, None, None]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 99)), max_size=30))
def test_shares_are_shares_and_the_end_is_the_end(nodes: list[tuple[bool, int]]) -> None:
    images = np.array([image for image, _ in nodes], bool)
    lengths = np.array([0 if image else length for image, length in nodes], np.int64)
    found = spread(images, lengths)
    assert bool(found) == bool(images.any() and lengths.sum())
    if found:
        assert all(0 <= found[name] <= 1 for name in found if name != "text_per_image")
        last = np.argsort(images, kind="stable")
        moved = spread(images[last], lengths[last])
        assert moved["images_last"] == moved["text_without"] == 1
        assert moved["image_place"] == pytest.approx(1) and moved["image_place"] >= found["image_place"] - 1e-12
