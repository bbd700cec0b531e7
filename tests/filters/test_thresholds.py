"""The one comparison, as a filter over any column."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from filters.thresholds import Within


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"min": 2.0}, [False, True, True, False]),
        ({"max": 2.0}, [True, True, False, False]),
        ({"min": 2.0, "max": 2.0}, [False, True, False, False]),
        ({"min": 2.0, "missing": True}, [False, True, True, True]),
    ],
)
def test_limits_are_inclusive_and_a_missing_value_is_out_unless_asked_for(
    fields: dict[str, float], kept: list[bool]
) -> None:
    values = np.array([1.0, 2.0, 3.0, np.nan])
    rule = Within.model_validate({"column": "score", **fields})
    assert rule({"score": values}).tolist() == kept


def test_truth_values_and_missing_ones_are_numbers() -> None:
    values = np.array([True, False, None], object)
    assert Within(column="flag", max=0)({"flag": values}).tolist() == [False, True, False]


def test_a_filter_without_a_limit_is_refused() -> None:
    with pytest.raises(ValidationError, match="give min, max or both"):
        Within(column="score")
