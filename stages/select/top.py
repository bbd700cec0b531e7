"""The best fraction of a pool by a score."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from curate import order
from curate.contracts import Bounds, Columns, Scan, Selection, State


class TopFraction(Selection):
    """Keeps the highest-scoring `fraction` (or `count`) of the pairs that are alive and have a score; drops the rest.

    `exact`: floor(fraction * n) pairs, the fraction read as it is written (0.29 of 100 is 29); among equal scores the
    lowest uid stays. `datacomp`: everything from the score at place int(n * fraction) of the descending order on, as
    the DataComp baselines do: one pair more, all ties, and float error in the product (0.29 of 100 is 28).
    """

    column: str = "similarity"
    fraction: float | None = Field(default=None, ge=0, le=1)
    count: int | None = Field(default=None, ge=0)
    mode: Literal["exact", "datacomp"] = "exact"

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.fraction is None) == (self.count is None):
            raise ValueError("give either fraction or count")
        if self.mode == "datacomp" and (self.fraction is None or self.fraction == 1):
            raise ValueError("mode datacomp takes a fraction below 1: its order statistic does not exist for the whole")
        return self

    def inputs(self) -> tuple[str, ...]:
        """The score's column."""
        return (self.column,)

    def fit(self, scan: Scan, seed: int) -> State:
        """State: `scored` pairs, how many are `wanted`, and the `cut`, the rank of the last that stays, uint64 (4,)."""
        sizes = order.group_sizes(scan, partial(_scored, self.column), self.column)
        scored = int(sizes.sum())
        wanted = min(self._wanted(scored), scored)
        ranked = partial(_ranked, self.column)
        cut = order.smallest(scan, ranked, np.array([scored]), np.array([wanted]), self.column)[0]
        if self.mode == "datacomp":
            cut[1:] = np.iinfo(np.uint64).max  # all ties
        return {"scored": np.array(scored), "wanted": np.array(wanted), "cut": cut}

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """1 for what stays, 0 for the rest and for what has no score."""
        if state["wanted"] == 0:
            return np.zeros(len(columns["position"]), np.int64)
        groups, words = _ranked(self.column, columns)
        return ((groups == 0) & order.at_most(words, state["cut"])).astype(np.int64)

    def threshold(self, state: State) -> str:
        """The lowest score that stays."""
        if state["wanted"] == 0:
            return f"nothing of {state['scored']} with {self.column}"
        return f"{self.column} >= {order.number(state['cut'][0]):.6g}, the best {state['wanted']} of {state['scored']}"

    def bounds(self, state: State) -> Bounds:
        """The lowest score that stays."""
        return {} if state["wanted"] == 0 else {self.column: (order.number(state["cut"][0]), None)}

    def _wanted(self, scored: int) -> int:
        if self.fraction is None:
            return self.count or 0
        if self.mode == "datacomp":
            return int(scored * self.fraction) + 1
        return int(Fraction(str(self.fraction)) * scored)


def _scored(column: str, columns: Columns) -> np.ndarray:
    """0 for rows with a score, -1 for the rest."""
    return np.where(np.isnan(columns[column].astype(np.float64)), -1, 0)


def _ranked(column: str, columns: Columns) -> order.Ranked:
    return _scored(column, columns), order.ranks(order.descending(columns[column]), columns)
