"""Duplicate images: the same bytes, or perceptual hashes a few bits apart; then one of each group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, Final, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate import order
from curate.contracts import Columns, PoolFact, Relation, Scan, Selection, Spread, State
from curate.schema import hash_words
from stages.select.components import connected
from stages.select.hamming import Blocks, Looks, bands, choose_blocks, connect_in_bands
from stages.select.looks import HASHES, present

STANDING: Final = ("preference", "uid_high", "uid_low", "position")
"""Columns of a member of a group; the lowest comes first. `position` is int64, the others uint64."""


class Duplicates(PoolFact):
    """Groups images that are the same: by their bytes (sha256), or by perceptual hashes at most `distance` bits apart.

    A hash sees grey only, so mean colours must not differ by more than `color` in any channel. Near pairs are found by
    exact search over blocks of the hash and joined to components, so that groups do not depend on order. The first of a
    group is the best by `best`, else the one with the lowest uid; ties go to the lowest uid, then position. Works out
    of core; only rows that have a duplicate are remembered.
    """

    by: Literal["bytes", "phash", "pdq"] = "bytes"
    distance: int = Field(
        default=0, ge=0, le=31, description="bits that may differ: of 64 up to 16, of PDQ's 256 up to 31"
    )
    color: int | None = Field(default=16, ge=0, le=255, description="levels of 256 that may differ; null: any colour")
    min_quality: int = Field(default=50, ge=0, le=100, description="with pdq: hashes below say nothing of the image")
    best: str | None = Field(default=None, description="column whose highest value is the first of its group")

    @model_validator(mode="after")
    def _distance_of_hashes(self) -> Self:
        if self.distance and self.by == "bytes":
            raise ValueError("distance counts bits of a perceptual hash; it needs by: phash or by: pdq")
        if self.by != "bytes" and self.distance > HASHES[self.by].most:
            raise ValueError(f"by: {self.by} takes a distance of at most {HASHES[self.by].most}")
        return self

    def inputs(self) -> tuple[str, ...]:
        """The columns that tell duplicates and, if given, the one to rank by."""
        codes = ("sha256",) if self.by == "bytes" else HASHES[self.by].columns(self.color is not None)
        return (*codes, self.best) if self.best else codes

    def gives(self) -> dict[str, pa.DataType]:
        """dup_group: position of the group's first; dup_rank: 0 for the first; dup_size: 1 where there is no other."""
        return {"dup_group": pa.int64(), "dup_rank": pa.int32(), "dup_size": pa.int32()}

    def fit(self, scan: Scan, seed: int) -> Spread:
        """State per row that has a duplicate: `position`, `group`, `rank` and `size`, int64."""
        if self.by == "bytes":
            return Spread({}, scan.regroup(partial(_digests, self.best), _same_digests, *self.inputs()))
        kind = HASHES[self.by]
        looks = scan.regroup(partial(_looks, self), partial(_same_looks, kind.words), *self.inputs())
        blocks = choose_blocks(looks.rows, self.distance, 64 * kind.words)
        edges = looks.regroup(partial(_banded, blocks), partial(_near, self.distance, self.color, blocks))
        return ranked(connected(edges))

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """A row without a duplicate, or without a code, is a group of its own."""
        return placed(columns, state)


class OnePerGroup(Selection):
    """Keeps one of each group of duplicates among the rows that are still there, and all that have no duplicate.

    The best by `best` stays, else the first as `Duplicates` ranked them; ties go to the lowest uid. With `per` one stays
    for each value of that column: of a screenshot that manuals in four languages share, one per language.
    """

    groups: str = Field(default="dup", description="whose columns: dup_group, …; semantic: SemanticDuplicates' own")
    best: str | None = Field(default=None, description="column whose highest value stays")
    per: str | None = Field(default=None, description="column; a group is divided by its values, null is one of them")

    def inputs(self) -> tuple[str, ...]:
        """The columns of the groups and, if given, those to rank and to divide by."""
        columns = tuple(f"{self.groups}_{name}" for name in ("group", "rank", "size"))
        return (*columns, *(column for column in (self.best, self.per) if column))

    def fit(self, scan: Scan, seed: int) -> Spread:
        """State per row in a group: `position`, `rank` (0 stays); shared: how many `groups`, and rows `seen` in them."""
        members = scan.regroup(partial(_alive, self), _divided, *self.inputs())
        return Spread({"groups": np.array(sum(members.map(_firsts))), "seen": np.array(members.rows)}, members)

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """1 for what stays, 0 for the rest."""
        at, known = _find(state["position"], columns["position"].astype(np.int64))
        stays = columns[f"{self.groups}_size"] == 1
        stays[known] = state["rank"][at[known]] == 0
        return stays.astype(np.int64)

    def threshold(self, state: State) -> str:
        """How many of how many stay."""
        divided = f" and {self.per}" if self.per else ""
        return f"one of each of {state['groups']} groups{divided} of {state['seen']} rows"


def standing(columns: Columns, best: str | None) -> dict[str, np.ndarray]:
    """`STANDING` of each row: by the highest value of the column `best`, a missing one last, then by uid, then position."""
    preference = np.zeros(len(columns["position"]), np.uint64)
    if best is not None:
        values = columns[best].astype(np.float64)
        preference = np.where(np.isnan(values), np.iinfo(np.uint64).max, order.descending(values))
    uids = columns["uid"]
    words = (preference, uids[:, 0], uids[:, 1], columns["position"].astype(np.int64))
    return dict(zip(STANDING, words, strict=True))


def hashed(*values: np.ndarray) -> np.ndarray:
    """uint64 (n,): a key for rows of equal values."""
    key = np.zeros(len(values[0]), np.uint64)
    for value in values:
        key = hash_words(0, np.column_stack([key, value.astype(np.uint64)]), "duplicates")
    return key


def ranked(members: Relation) -> Spread:
    """A state for `placed`, from rows with `root` (of their group, int64) and `STANDING`."""
    return Spread({}, members.regroup(_by_root, _ordered))


def placed(columns: Columns, state: State, groups: str = "dup") -> dict[str, Sequence[Any] | np.ndarray]:
    """`dup_group`, `dup_rank`, `dup_size` of each row; one that the state does not name is a group of its own."""
    position = columns["position"].astype(np.int64)
    group, rank, size = position.copy(), np.zeros(len(position), np.int32), np.ones(len(position), np.int32)
    at, known = _find(state["position"], position)
    for column, name in ((group, "group"), (rank, "rank"), (size, "size")):
        column[known] = state[name][at[known]]
    return {f"{groups}_group": group, f"{groups}_rank": rank, f"{groups}_size": size}


def told(columns: Columns, state: State, name: str) -> np.ndarray:
    """What a spread state tells of each row, object (n,); None where it does not know the row."""
    at, known = _find(state["position"], columns["position"].astype(np.int64))
    found = np.full(len(known), None, object)
    found[known] = state[name][at[known]]
    return found


def _by_root(rows: pa.Table) -> pa.Table:
    return rows.append_column("key", pa.array(hashed(rows["root"].to_numpy())))


def _ordered(table: pa.Table) -> pa.Table:
    return _grouped([table["root"].to_numpy()], table)


def _grouped(codes: list[np.ndarray], table: pa.Table) -> pa.Table:
    """Position, position of the group's first, rank and size, int64, of rows whose codes are equal."""
    ranks = [table[name].to_numpy() for name in STANDING]
    by_code = np.lexsort((*reversed(ranks), *reversed(codes)))
    start = _begins([code[by_code] for code in codes])
    size = np.diff(np.append(start, len(by_code)))
    position = ranks[-1][by_code]
    rank = np.arange(len(by_code)) - np.repeat(start, size)
    return pa.table(
        {"position": position, "group": np.repeat(position[start], size), "rank": rank, "size": np.repeat(size, size)}
    )


def _begins(codes: list[np.ndarray]) -> np.ndarray:
    """Where runs of equal codes begin."""
    first = np.ones(len(codes[0]), bool)
    first[1:] = np.logical_or.reduce([code[1:] != code[:-1] for code in codes])
    return np.flatnonzero(first)


def _digests(best: str | None, columns: Columns) -> pa.Table:
    """128 of the 256 bits of the digest."""
    has, digests = present(columns["sha256"])
    words = np.frombuffer(b"".join(digests), ">u8").astype(np.uint64).reshape(-1, 4)
    rows = {name: values[has] for name, values in standing(columns, best).items()}
    return pa.table({"key": hashed(words[:, 0]), "high": words[:, 0], "low": words[:, 1], **rows})


def _same_digests(table: pa.Table) -> pa.Table:
    found = _grouped([table["high"].to_numpy(), table["low"].to_numpy()], table)
    return found.filter(pa.array(found["size"].to_numpy() > 1))


def _looks(step: Duplicates, columns: Columns) -> pa.Table:
    """Rows whose hash says something: its words, the mean colour, and their standing."""
    has, hashes, colors = HASHES[step.by].read(columns, step.color is not None, step.min_quality)
    rows = {name: values[has] for name, values in standing(columns, step.best).items()}
    return pa.table({"key": hashed(*hashes.T, colors), **_words(hashes), "color": colors, **rows})


def _words(hashes: np.ndarray) -> dict[str, np.ndarray]:
    return {f"word{i}": words for i, words in enumerate(hashes.T)}


def _same_looks(words: int, table: pa.Table) -> pa.Table:
    """Beside each row `same`: the lowest position of those that look exactly so."""
    codes = [table[name].to_numpy() for name in (*(f"word{i}" for i in range(words)), "color")]
    position = table["position"].to_numpy()
    by_look = np.lexsort((position, *reversed(codes)))
    start = _begins([code[by_look] for code in codes])
    same = np.empty_like(position)
    same[by_look] = np.repeat(position[by_look][start], np.diff(np.append(start, len(by_look))))
    return table.append_column("same", pa.array(same))


def _banded(blocks: Blocks, table: pa.Table) -> pa.Table:
    """What rows are like, edges between those that look exactly alike, and one row for each look and band."""
    rows = {name: table[name].to_numpy() for name in table.column_names}
    position, same = rows["position"], rows["same"]
    like = {"key": hashed(position), "a": position, "b": position, **{n: rows[n] for n in STANDING[:-1]}}
    copy = position != same
    copies = {"key": hashed(position[copy]), "a": position[copy], "b": same[copy]}
    hashes = np.column_stack([rows[name] for name in rows if name.startswith("word")])[~copy]
    each = {"a": position[~copy], **_words(hashes), "color": rows["color"][~copy]}
    parts = [pa.table(like), pa.table(copies)]
    for first, bits in bands(hashes, blocks):
        number = np.full(len(bits), first, np.uint64)
        parts.append(pa.table({"key": hashed(number, bits), "first": number, **each}))
    return pa.concat_tables(parts, promote_options="default")


def _near(distance: int, color: int | None, blocks: Blocks, table: pa.Table) -> pa.Table:
    """Edges between looks that are near each other, and what has come along. An edge stays within its key."""
    banded = table["first"].is_valid().to_numpy()
    looks = table.filter(pa.array(banded))
    position = looks["a"].to_numpy()
    hashes = np.column_stack([looks[f"word{i}"].to_numpy() for i in range(blocks.bits // 64)])
    chains = Looks(hashes, distance, looks["color"].to_numpy(), 255 if color is None else color, position)
    connect_in_bands(chains, looks["first"].to_numpy(), blocks)
    linked = position[np.column_stack([np.arange(len(position)), chains.root])]
    found = np.unique(linked[linked[:, 0] != linked[:, 1]], axis=0)
    rest = table.filter(pa.array(~banded)).select(["a", "b", *STANDING[:-1]])
    return pa.concat_tables([rest, pa.table({"a": found[:, 0], "b": found[:, 1]})], promote_options="default")


def _alive(step: OnePerGroup, columns: Columns) -> pa.Table:
    """Members of groups, and what divides these: by the column `best`, else by their rank."""
    members = columns[f"{step.groups}_size"] > 1
    rows = standing(columns, step.best)
    if step.best is None:
        rows["preference"] = columns[f"{step.groups}_rank"].astype(np.uint64)
    group = columns[f"{step.groups}_group"][members]
    part = _codes(columns[step.per][members]) if step.per else np.zeros(len(group), np.uint64)
    like = {name: values[members] for name, values in rows.items()}
    return pa.table({"key": hashed(group, part), "root": group, "part": part, **like})


def _codes(values: np.ndarray) -> np.ndarray:
    """uint64 (n,): a hash of each value as text. Whether a shard's integers have nulls among them does not show."""
    numbers = values.dtype != object
    texts = [repr(value) for value in (values.astype(np.float64) if numbers else values).tolist()]
    known = {text: blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in set(texts)}
    return np.frombuffer(b"".join(known[text] for text in texts), ">u8").astype(np.uint64)


def _divided(table: pa.Table) -> pa.Table:
    return _grouped([table["root"].to_numpy(), table["part"].to_numpy()], table)


def _firsts(table: pa.Table) -> int:
    return int(np.count_nonzero(table["rank"].to_numpy() == 0))


def _find(table: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (n,) into the sorted table, and bool (n,): it is really there."""
    if not len(table):
        return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(table, values), len(table) - 1)
    return at, table[at] == values
