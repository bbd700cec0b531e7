"""Decisions about documents and their nodes that no threshold makes."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from curate.contracts import Columns, Filter


class OneOf(Filter):
    """Keeps rows whose `column` is one of `values`.

    A row without a value is dropped, unless `missing` keeps it: then the rule is about those that have one.
    """

    column: str
    values: tuple[str, ...] = Field(min_length=1)
    missing: bool = Field(default=False, description="keep rows that have no value")

    def inputs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def keep(self, columns: Columns) -> np.ndarray:
        """Boolean (n,); upper and lower case differ."""
        given = columns[self.column].tolist()
        return np.array([self.missing if value is None else value in self.values for value in given], bool)


class Without(Filter):
    """Drops rows whose `column` contains one of `parts`, anywhere, in these very letters. A row without a value stays."""

    column: str
    parts: tuple[str, ...] = Field(min_length=1, description="OBELICS, of URLs: logo, button, icon, …")

    def inputs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def keep(self, columns: Columns) -> np.ndarray:
        """Boolean (n,)."""
        given = columns[self.column].tolist()
        return np.array([value is None or not any(part in value for part in self.parts) for value in given], bool)
