"""Decisions about images, scores and duplicates: limits are inclusive, what is missing drops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.contracts import Filter
from filters.duplicates import FirstOfGroup
from filters.image import AspectRatio, Entropy, Resolution, Sharpness
from filters.similarity import Similarity
from filters.thresholds import within


@pytest.mark.parametrize(
    ("step", "values", "kept"),
    [
        (AspectRatio(max=3), [1.0, 3.0, 3.01], [True, True, False]),
        (Sharpness(min=20), [19.9, 20.0, 900.0], [False, True, True]),
        (Entropy(min=1), [0.0, 1.0, 7.9], [False, True, True]),
        (Similarity(min=0.28), [0.2799, 0.28, 0.9], [False, True, True]),
        (Similarity(min=-1, column="itm"), [-1.0, 0.0, 1.0], [True, True, True]),
        (FirstOfGroup(), [0.0, 1.0, 2.0], [True, False, False]),
    ],
)
def test_limits_are_inclusive_and_missing_drops(step: Filter, values: list[float], kept: list[bool]) -> None:
    (name,) = step.inputs()
    assert step({name: np.array([*values, np.nan])}).tolist() == [*kept, False]
    assert list(step.bounds()) == [name]


def test_resolution() -> None:
    columns = {
        "width": np.array([200, 199, 4000, 4000]),
        "height": np.array([200, 900, 4000, 300]),
        "megapixels": np.array([0.04, 0.18, 16.0, 1.2], np.float32),
    }
    assert Resolution(min_side=200)(columns).tolist() == [True, False, True, True]
    assert Resolution(min_side=200, max_megapixels=10)(columns).tolist() == [True, False, False, True]
    assert Resolution(max_megapixels=10).inputs() == ("megapixels",)
    assert Resolution(min_side=200).inputs() == ("width", "height")
    with pytest.raises(ValidationError, match="give min_side, max_megapixels or both"):
        Resolution()


@given(
    st.lists(st.floats(allow_nan=True, width=32)), st.none() | st.floats(-1e3, 1e3), st.none() | st.floats(-1e3, 1e3)
)
def test_within_is_what_python_says(values: list[float], low: float | None, high: float | None) -> None:
    def inside(value: float) -> bool:
        return value == value and (low is None or value >= low) and (high is None or value <= high)  # noqa: PLR0124

    assert within(np.array(values, np.float64), low, high).tolist() == [inside(value) for value in values]


def test_filters_know_no_fields_but_their_own() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        AspectRatio.model_validate({"maximum": 3})
