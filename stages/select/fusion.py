"""Several scores as one: by rank, which no outlier can stretch; or by min-max, as Sieve has it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate import order
from curate.contracts import Columns, Learned, PoolFact, Relation, Scan, Spread, State
from curate.schema import hash_words

SAMPLE: Final = 1 << 16
"""Values per column from which the splitters are taken."""
SPLITTERS: Final = 1 << 12
"""Values per column at which the pool is cut: what lies between two of them is ranked in memory."""
_END: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
"""Fills up the splitters of a column that has fewer; no number's order key."""


class Fusion(PoolFact):
    """`fused`: the weighted mean of the columns' places in the pool, [0, 1]; null where one of them is missing.

    `rank`: the place of a value is the exact share of its column's values below it, plus half of those equal to it, so
    equal values get equal places (the mean of their ranks) and only the order of a column matters. A negative weight
    turns a column round. `sieve` (Mahmoud et al. 2023, arXiv:2310.02110): the place is (value - min) / (max - min), so
    that one outlier moves all others; a column of equal values gives 0. Of the column's finite values, that is: an
    infinite one is not what others are scaled by, and has the place 0 (-inf) or 1 (inf).

    Ranks are exact and out of core. A sample by uid hash gives splitters, a scan counts what lies on and between them;
    values between two neighbours are brought together and ranked. The result does not depend on the splitters.
    """

    weights: dict[str, float] = Field(min_length=1, description="column -> weight; only their ratios matter")
    mode: Literal["rank", "sieve"] = "rank"

    @model_validator(mode="after")
    def _weights_weigh(self) -> Self:
        if not all(np.isfinite(weight) and weight for weight in self.weights.values()):
            raise ValueError("a weight is a number other than 0")
        return self

    def inputs(self) -> tuple[str, ...]:
        """The scores."""
        return tuple(self.weights)

    def gives(self) -> dict[str, pa.DataType]:
        """fused: [0, 1]."""
        return {"fused": pa.float64()}

    def fit(self, scan: Scan, seed: int) -> Learned:
        """`sieve`: `low` and `high` per column. `rank`: per column the `splitters`, how many values are `below` each
        bucket and how many are `inside`; spread over the pool, the place of each value that is no splitter."""
        names = self.inputs()
        if self.mode == "sieve":
            ends = np.array(list(scan.map(partial(_ends, names), *names)))
            return {"low": np.fmin.reduce(ends[:, 0]), "high": np.fmax.reduce(ends[:, 1])}
        splitters = _splitters(scan, names)
        inside = np.zeros((len(names), 2 * SPLITTERS + 1), np.int64)
        for found in scan.map(partial(_counted, names, splitters), *names):
            inside += found
        below = np.cumsum(inside, axis=1) - inside
        rows: Relation = scan.regroup(partial(_between, names, splitters), partial(_placed, below), *names)
        return Spread({"splitters": splitters, "below": below, "inside": inside}, rows)

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """float64 (n,), NaN as null."""
        fused = np.zeros(len(columns["position"]))
        for number, (name, weight) in enumerate(self.weights.items()):
            values = columns[name]
            scaled = self.mode == "sieve"
            place = _scaled(number, values, state) if scaled else _place(number, values, columns["position"], state)
            fused += abs(weight) * (place if weight > 0 else 1 - place)
        fused /= sum(map(abs, self.weights.values()))
        return {"fused": [None if np.isnan(value) else value for value in fused.tolist()]}


def _ends(names: Sequence[str], columns: Columns) -> np.ndarray:
    """float64 (2, columns): lowest and highest finite value, NaN where there is none."""
    values = [column[np.isfinite(column)] for column in (columns[name].astype(np.float64) for name in names)]
    return np.array([[end.reduce(column, initial=np.nan) for column in values] for end in (np.fmin, np.fmax)])


def _keys(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool (n,): there is a value; uint64 (n,): its order key."""
    return ~np.isnan(values.astype(np.float64)), order.ascending(values)


def _splitters(scan: Scan, names: Sequence[str]) -> np.ndarray:
    """uint64 (columns, SPLITTERS): ascending order keys, evenly spread over a sample of each column's rows."""
    sampled = [np.zeros((0, 3), np.uint64)] * len(names)
    for parts in scan.map(partial(_sample, names), *names):
        sampled = [_lowest(np.concatenate(pair)) for pair in zip(sampled, parts, strict=True)]
    splitters = np.full((len(names), SPLITTERS), _END)
    for row, sample in zip(splitters, sampled, strict=True):
        keys = np.sort(sample[:, 2])
        if len(keys):
            chosen = np.unique(keys[np.linspace(0, len(keys) - 1, SPLITTERS).astype(np.int64)])
            row[: len(chosen)] = chosen
    return splitters


def _sample(names: Sequence[str], columns: Columns) -> list[np.ndarray]:
    """Per column the rows of the lowest uid hashes, uint64 (m, 3): hash, position, order key."""
    hashes = hash_words(0, columns["uid"], "fusion")
    found = []
    for name in names:
        there, keys = _keys(columns[name])
        found.append(_lowest(np.column_stack([hashes, columns["position"], keys])[there]))
    return found


def _lowest(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))[:SAMPLE]]


def _buckets(keys: np.ndarray, splitters: np.ndarray) -> np.ndarray:
    """int64 (n,): 2 i for keys between splitters i - 1 and i, 2 i + 1 for those on splitter i."""
    at = np.searchsorted(splitters, keys)
    on = splitters[np.minimum(at, SPLITTERS - 1)] == keys
    return 2 * at + on


def _counted(names: Sequence[str], splitters: np.ndarray, columns: Columns) -> np.ndarray:
    """int64 (columns, buckets): how many values are in each."""
    counts = []
    for name, row in zip(names, splitters, strict=True):
        there, keys = _keys(columns[name])
        counts.append(np.bincount(_buckets(keys[there], row), minlength=2 * SPLITTERS + 1))
    return np.array(counts)


def _between(names: Sequence[str], splitters: np.ndarray, columns: Columns) -> pa.Table:
    """The values that are no splitters, keyed by column and bucket."""
    parts = []
    for number, (name, row) in enumerate(zip(names, splitters, strict=True)):
        there, keys = _keys(columns[name])
        buckets = _buckets(keys, row)
        there &= buckets % 2 == 0
        group = (np.uint64(number) << np.uint64(32)) | buckets[there].astype(np.uint64)
        words = np.column_stack([np.zeros_like(group), group])
        parts.append(
            pa.table(
                {
                    "key": hash_words(0, words, "fusion buckets"),
                    "group": group,
                    "value": keys[there],
                    "position": columns["position"][there],
                }
            )
        )
    return pa.concat_tables(parts)


def _placed(below: np.ndarray, rows: pa.Table) -> pa.Table:
    """Position, column and twice the place (values below, and half of those equal) of values between splitters."""
    group, value = rows["group"].to_numpy(), rows["value"].to_numpy()
    ranked = np.lexsort((value, group))
    group, value = group[ranked], value[ranked]
    starts = np.searchsorted(group, group)  # where each row's bucket begins
    changes = np.ones(len(group), bool)
    changes[1:] = (group[1:] != group[:-1]) | (value[1:] != value[:-1])
    first = np.flatnonzero(changes)  # of each run of equal values
    run = np.cumsum(changes) - 1
    equal = np.diff(np.append(first, len(group)))
    column, bucket = (group >> np.uint64(32)).astype(np.int64), (group & np.uint64(0xFFFFFFFF)).astype(np.int64)
    twice = 2 * (below[column, bucket] + first[run] - starts) + equal[run]
    return pa.table({"position": rows["position"].to_numpy()[ranked], "column": column, "twice": twice})


def _place(number: int, values: np.ndarray, position: np.ndarray, state: State) -> np.ndarray:
    """float64 (n,): the share of the column's values below each, and half of those equal; NaN where there is none."""
    there, keys = _keys(values)
    inside = state["inside"][number]
    buckets = _buckets(keys, state["splitters"][number])
    twice = 2 * state["below"][number][buckets] + inside[buckets]
    mine = state["column"] == number
    between = np.flatnonzero(there & (buckets % 2 == 0))
    twice[between] = state["twice"][mine][np.searchsorted(state["position"][mine], position[between])]
    return np.where(there, twice / max(1, 2 * int(inside.sum())), np.nan)


def _scaled(number: int, values: np.ndarray, state: State) -> np.ndarray:
    """float64 (n,): (value - min) / (max - min), infinite values at their end."""
    low, high = state["low"][number], state["high"][number]
    return np.clip((values.astype(np.float64) - low) / ((high - low) or 1.0), 0, 1)
