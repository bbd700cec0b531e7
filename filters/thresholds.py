"""The one comparison that most filters make, and the filter that makes it on any column."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from curate.contracts import Bounds, Columns, Filter


def within(values: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """Boolean (n,): low <= value <= high, where a limit of None does not limit. Missing numbers (NaN) are outside."""
    inside = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(len(values), bool)
    if low is not None:
        inside &= values >= low
    if high is not None:
        inside &= values <= high
    return inside


def all_within(columns: Columns, bounds: Bounds) -> np.ndarray:
    """Boolean (n,): every bounded column lies within its bounds."""
    return np.logical_and.reduce([within(columns[name], *limits) for name, limits in bounds.items()])


class Within(Filter):
    """Keeps rows whose `column` lies between `min` and `max`, both inclusive.

    A row without a value is dropped, unless `missing` keeps it: then the rule is about those that have one.
    """

    column: str
    min: float | None = None
    max: float | None = None
    missing: bool = Field(default=False, description="keep rows that have no value")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        return self

    def inputs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def bounds(self) -> Bounds:
        """The limits."""
        return {self.column: (self.min, self.max)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Numbers and truth values; of a column that is missing everywhere nothing is known."""
        values = np.asarray(columns[self.column], np.float64)
        return within(values, self.min, self.max) | (self.missing & np.isnan(values))
