"""Planted truth is what it says, and the engine decides as the plain OpenCV loop does."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from PIL import Image

from benchmarks.data.jpegs import SHARES, jpegs
from benchmarks.images import SIGNALS, measure
from curate.image import header


def test_the_generator_is_a_function_of_its_arguments() -> None:
    first, again, other = (list(jpegs(60, 0.1, seed)) for seed in (0, 0, 1))
    assert first == again
    assert {image.blob for image in first}.isdisjoint(image.blob for image in other)
    assert set(Counter(image.truth for image in first)) == {"clean", *SHARES}
    assert [image.number for image in first] == list(range(60))


def test_what_is_planted_is_there() -> None:
    images = list(jpegs(80, 0.1))
    for image in images:
        facts = header(image.blob)
        assert (min(facts.width, facts.height) < 200) == (image.truth == "small")
        assert (facts.aspect > 3) == (image.truth == "aspect") or image.truth == "small"
        if image.mate is not None:
            mate = images[image.mate]
            assert mate.truth == "clean"
            assert (mate.blob == image.blob) == (image.truth == "exact_dup")
            assert Image.open(io.BytesIO(mate.blob)).width >= facts.width


def test_equal_decisions() -> None:
    pytest.importorskip("cv2")
    row = measure(0.24, 70, repeats=1)
    for kind in SIGNALS:
        found = row[f"{kind}_agrees"]
        assert found["apart"] == found["wrong"] == 0
        assert found["found"] == found["found_plain"] == found["copies"] > 0
