"""Duplicate images: the same bytes, or perceptual hashes a few bits apart; then one of each group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate import order
from curate.contracts import Columns, PoolFact, Scan, Selection, State
from stages.select.hamming import components, flat, near_pairs
from stages.signals.hashes import from_hex

PARTITION_ROWS: Final = 1 << 22
"""Rows (of 48 bytes) that are grouped in memory at a time; a larger pool is scanned once per partition of codes."""
Codes = tuple[np.ndarray, np.ndarray]
"""bool (n,): the row has a code; uint64 (n, 2): equal for duplicates."""
Coded = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The same, and uint64 (n, 4): the row's rank, of which the lowest comes first."""


class Duplicates(PoolFact):
    """Groups images that are the same: by their bytes (sha256), or by perceptual hashes at most `distance` bits apart.

    The hash sees grey only, so mean colours must not differ by more than `color` in any channel. Near pairs are found
    by exact search over blocks of the hash (Manku et al. 2007) and joined to components, so that groups do not depend
    on order. The first of a group is the best by `best`, else the one with the lowest uid; ties go to the lowest uid,
    then position. Only rows that have a duplicate take room: 32 bytes each.
    """

    by: Literal["bytes", "phash"] = "bytes"
    distance: int = Field(default=0, ge=0, le=16, description="with phash: bits that may differ, of 64")
    color: int | None = Field(default=16, ge=0, le=255, description="with phash: levels of 256; null: any colour")
    best: str | None = Field(default=None, description="column whose highest value is the first of its group")

    @model_validator(mode="after")
    def _distance_of_hashes(self) -> Self:
        if self.distance and self.by == "bytes":
            raise ValueError("distance counts bits of a perceptual hash; it needs by: phash")
        return self

    def inputs(self) -> tuple[str, ...]:
        """The columns that tell duplicates and, if given, the one to rank by."""
        hashes = ("phash",) if self.color is None else ("phash", "mean_rgb")
        codes = ("sha256",) if self.by == "bytes" else hashes
        return (*codes, self.best) if self.best else codes

    def gives(self) -> dict[str, pa.DataType]:
        """dup_group: position of the group's first; dup_rank: 0 for the first; dup_size: 1 where there is no other."""
        return {"dup_group": pa.int64(), "dup_rank": pa.int32(), "dup_size": pa.int32()}

    def fit(self, scan: Scan, seed: int) -> State:
        """State per row that has a duplicate: its `position` (sorted), `group`, `rank` and `size`, int64 (m,)."""
        coded = _by_bytes if self.by == "bytes" else partial(_by_look, self, *_looks(scan, self))
        members = _members(scan, partial(_coded, self.best, coded), self.inputs())
        members = members[members[:, 3] > 1]
        members = members[np.argsort(members[:, 0])]
        return dict(zip(("position", "group", "rank", "size"), members.T.copy(), strict=True))

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """A row without a duplicate, or without a code, is a group of its own."""
        position = columns["position"].astype(np.int64)
        group, rank, size = position.copy(), np.zeros(len(position), np.int32), np.ones(len(position), np.int32)
        at, known = _find(state["position"], position)
        for column, name in ((group, "group"), (rank, "rank"), (size, "size")):
            column[known] = state[name][at[known]]
        return {"dup_group": group, "dup_rank": rank, "dup_size": size}


class OnePerGroup(Selection):
    """Keeps one of each group of duplicates among the pairs that are still there, and all that have no duplicate.

    The best by `best` stays, else the first as `Duplicates` ranked them; ties go to the lowest uid.
    """

    needs: ClassVar[tuple[str, ...]] = ("dup_group", "dup_rank", "dup_size")

    best: str | None = Field(default=None, description="column whose highest value stays")

    def inputs(self) -> tuple[str, ...]:
        """The columns of `Duplicates` and, if given, the one to rank by."""
        return (*self.needs, self.best) if self.best else self.needs

    def fit(self, scan: Scan, seed: int) -> State:
        """State: `kept`, positions (sorted) of the one that stays of each group; and how many were `seen`."""
        members = _members(scan, partial(_regrouped, self.best), self.inputs())
        return {"kept": np.sort(members[members[:, 2] == 0, 0]), "seen": np.array(len(members))}

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """1 for what stays, 0 for the rest."""
        _, first = _find(state["kept"], columns["position"].astype(np.int64))
        return ((columns["dup_size"] == 1) | first).astype(np.int64)

    def threshold(self, state: State) -> str:
        """How many of how many stay."""
        return f"one of each of {len(state['kept'])} groups of {state['seen']} pairs"


def _members(scan: Scan, coded: Callable[[Columns], Coded], names: Sequence[str]) -> np.ndarray:
    """int64 (m, 4) of all rows with a code: position, the position of its group's first, rank and size of the group."""
    rows = sum(scan.map(_rows, *names))
    partitions = -(-rows // PARTITION_ROWS)
    parts = [_grouped(scan.map(partial(_part, coded, i, partitions), *names)) for i in range(partitions)]
    return np.concatenate([np.zeros((0, 4), np.int64), *parts])


def _rows(columns: Columns) -> int:
    return len(columns["position"])


def _part(coded: Callable[[Columns], Coded], part: int, partitions: int, columns: Columns) -> np.ndarray:
    """uint64 (m, 6): code and rank of the rows whose code belongs to the partition."""
    has, codes, ranks = coded(columns)
    mixed = (codes[:, 0] ^ codes[:, 1]) * np.uint64(0x9E3779B97F4A7C15)
    has &= (mixed >> np.uint64(32)) % np.uint64(partitions) == part
    return np.concatenate([codes[has], ranks[has]], axis=1)


def _grouped(parts: Iterable[np.ndarray]) -> np.ndarray:
    """As `_members`, for the rows of one partition."""
    rows = np.concatenate([np.zeros((0, 6), np.uint64), *parts])
    rows = rows[np.lexsort(rows.T[::-1])]
    begins = np.ones(len(rows), bool)
    begins[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    start = np.flatnonzero(begins)
    size = np.diff(np.append(start, len(rows)))
    position = rows[:, 5].astype(np.int64)
    rank = np.arange(len(rows)) - np.repeat(start, size)
    return np.column_stack([position, np.repeat(position[start], size), rank, np.repeat(size, size)])


def _coded(best: str | None, codes: Callable[[Columns], Codes], columns: Columns) -> Coded:
    return *codes(columns), order.ranks(_preference(best, columns), columns)


def _by_bytes(columns: Columns) -> Codes:
    """128 of the 256 bits of the digest."""
    has, digests = _present(columns["sha256"])
    codes = np.zeros((len(has), 2), np.uint64)
    codes[has] = np.frombuffer(b"".join(digests), ">u8").reshape(-1, 4)[:, :2]
    return has, codes


def _by_look(step: Duplicates, hashes: np.ndarray, looks: np.ndarray, root: np.ndarray, columns: Columns) -> Codes:
    """The number of the component that the row's look belongs to."""
    has, found, colors = _look(step.color is not None, columns)
    codes = np.zeros((len(has), 2), np.uint64)
    codes[has, 0] = root[np.searchsorted(looks, _key(hashes, found, colors))]
    return has, codes


def _look(colored: bool, columns: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bool (n,): rows whose hash says something; of those the hash and the mean colour, uint64 (m,)."""
    has, digits = _present(columns["phash"])
    found = from_hex(digits)
    telling = ~flat(found)
    has[has] = telling
    colors = np.zeros(int(telling.sum()), np.uint64)
    if colored:
        channels = np.frombuffer(bytes.fromhex("".join(columns["mean_rgb"][has].tolist())), np.uint8).reshape(-1, 3)
        colors = channels.astype(np.uint64) @ np.array([1 << 16, 1 << 8, 1], np.uint64)
    return has, found[telling], colors


def _key(hashes: np.ndarray, found: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """uint64 (m,): hash and colour as one number, by the hash's place among all of them."""
    return (np.searchsorted(hashes, found).astype(np.uint64) << np.uint64(24)) | colors


def _looks(scan: Scan, step: Duplicates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All hashes, all looks (see `_key`), both sorted and distinct, and for each look the first in its component.

    They are held in memory, about 40 bytes each while pairs are searched.
    """
    colored = step.color is not None
    parts = list(scan.map(partial(_look, colored), "phash", *(("mean_rgb",) if colored else ())))
    found, colors = (np.concatenate([np.zeros(0, np.uint64), *(part[i] for part in parts)]) for i in (1, 2))
    hashes = _distinct(found)
    looks = _distinct(_key(hashes, found, colors))
    pairs = near_pairs(hashes[looks >> np.uint64(24)], step.distance)
    if step.color is not None:
        channels = looks[:, None] >> np.array([16, 8, 0], np.uint64) & np.uint64(255)
        pairs = _close(pairs, channels.astype(np.int16), step.color)
    return hashes, looks, components(len(looks), pairs).astype(np.uint64)


def _distinct(values: np.ndarray) -> np.ndarray:
    """Sorted. (numpy's `unique` builds a hash table first, which takes longer.)"""
    values = np.sort(values)
    return values[np.append(True, values[1:] != values[:-1])[: len(values)]]


def _close(pairs: Iterable[np.ndarray], colors: np.ndarray, limit: int) -> Iterator[np.ndarray]:
    for pair in pairs:
        yield pair[(abs(colors[pair[:, 0]] - colors[pair[:, 1]]) <= limit).all(axis=1)]


def _present(values: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Bool (n,): rows with a value; and those values."""
    has = np.array([value is not None for value in values.tolist()], bool)
    return has, values[has].tolist()


def _regrouped(best: str | None, columns: Columns) -> Coded:
    codes = np.zeros((_rows(columns), 2), np.uint64)
    codes[:, 0] = columns["dup_group"]
    key = _preference(best, columns) if best else columns["dup_rank"].astype(np.uint64)
    return columns["dup_size"] > 1, codes, order.ranks(key, columns)


def _preference(best: str | None, columns: Columns) -> np.ndarray:
    """uint64 (n,): low is preferred; a missing value comes last."""
    if best is None:
        return np.zeros(_rows(columns), np.uint64)
    values = columns[best].astype(np.float64)
    return np.where(np.isnan(values), np.iinfo(np.uint64).max, order.descending(values))


def _find(table: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (n,) into the sorted table, and bool (n,): it is really there."""
    if not len(table):
        return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(table, values), len(table) - 1)
    return at, table[at] == values
