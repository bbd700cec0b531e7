"""Near-duplicate texts: every pair whose sets of word n-grams are similar, verified, joined to groups.

Four shuffles bring together equal sets; sets with a key in common, without their tokens; a set's tokens and the groups
that asked for them; the members of a group. What rows are like (a = b) and edges (a, b) ride along to
`stages.select.components.connected`; a row's kind shows in which of its columns are not null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.contracts import Columns, PoolFact, Relation, Scan, Spread, State
from stages.select.components import connected
from stages.select.dedup import STANDING, hashed, placed, ranked, standing
from stages.select.minhash import bands, signatures
from stages.select.setjoin import PARITY_WORDS, Jaccard, Meeting, candidates, parities, prefixes, similar, slots
from stages.select.shingles import Sets, shingled

COUNTERS: Final = 1 << 22
"""Most counters (of 2 bytes) that say how rare a key is. Distinct keys that share one are held to be more frequent."""
_BITS: Final = tuple(f"bits{i}" for i in range(PARITY_WORDS))
Keys = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Set, int64 (m,); key by which it may meet others, uint64 (m,); whether it meets larger ones there, bool (m,)."""


class NearDuplicateText(PoolFact):
    """Groups texts whose sets of word n-grams have a Jaccard similarity of at least `similarity`, in whole numbers.

    Every pair is verified; pairs are joined to components, so that groups do not depend on order. `candidates: exact`
    finds all pairs, by prefix and length filters (`stages.select.setjoin`). `minhash` compares those that share a band
    of their MinHash signature (Broder 1997; Leskovec, Rajaraman and Ullman 2020, section 3.4): for long texts, where
    it emits `bands` rows per text instead of a share of its n-grams; it misses some pairs near the threshold, and adds
    none. The first of a group is the best by `best`, else the one with the lowest uid; ties go to the lowest uid, then
    position. Works out of core; only rows that have a duplicate are remembered.
    """

    similarity: float = Field(default=0.7, gt=0, le=1, description="read as it is written, to six decimals")
    words: int = Field(default=2, ge=1, description="of an n-gram; a text with fewer is one n-gram of all its words")
    candidates: Literal["exact", "minhash"] = "exact"
    permutations: int = Field(default=128, ge=1, description="with minhash: places of a signature")
    bands: int = Field(default=16, ge=1, description="with minhash: of which any that agrees makes a candidate")
    column: str = "text"
    best: str | None = Field(default=None, description="column whose highest value is the first of its group")

    @model_validator(mode="after")
    def _whole_bands(self) -> Self:
        if self.permutations % self.bands:
            raise ValueError(f"{self.permutations} permutations do not make {self.bands} bands of equal size")
        return self

    def inputs(self) -> tuple[str, ...]:
        """The text's column and, if given, the one to rank by."""
        return (self.column, self.best) if self.best else (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """text_group: position of the group's first; text_rank: 0 for the first; text_size: 1 where there is no other."""
        return {"text_group": pa.int64(), "text_rank": pa.int32(), "text_size": pa.int32()}

    def fit(self, scan: Scan, seed: int) -> Spread:
        """State per row that has a duplicate: `position`, `group`, `rank` and `size`, int64."""
        jaccard = Jaccard.of(self.similarity)
        texts = scan.regroup(partial(_texts, self), _same_sets, *self.inputs())
        banded = partial(_bands, self.permutations, self.bands)
        counts = _counts(texts, _tokens if self.candidates == "exact" else banded)
        keys = partial(prefixes, jaccard=jaccard) if self.candidates == "exact" else partial(_shared, banded)
        meeting = texts.regroup(partial(_meeting, keys, counts), partial(_candidates, jaccard))
        near = meeting.regroup(_by_owner, _with_tokens).regroup(_by_group, partial(_near, jaccard))
        return ranked(connected(near))

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """A row without a duplicate, or without a word, is a group of its own."""
        return placed(columns, state, "text")


def _texts(step: NearDuplicateText, columns: Columns) -> pa.Table:
    """Rows with a word: their set, two hashes of it, and their standing. All copies of a text meet in one place: only
    the first of a shard brings the set along."""
    has, sets = shingled(columns[step.column], step.words)
    high, low = sets.hashed().T
    rows = {name: values[has] for name, values in standing(columns, step.best).items()}
    order, first = _by_set(high, low, rows["position"])
    brings = np.zeros(len(has), bool)
    brings[order[first]] = True
    tokens = sets.lists().take(pa.array(np.arange(len(has)), mask=~brings))
    return pa.table({"key": high, "low": low, **rows, "tokens": tokens})


def _by_set(high: np.ndarray, low: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 (n,): order by set, then position; bool (n,): which of that order are the first of an equal set."""
    order = np.lexsort([position, low, high])
    low, high = low[order], high[order]
    first = np.ones(len(order), bool)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return order, first


def _same_sets(table: pa.Table) -> pa.Table:
    """Beside each row `same`, the lowest position of those with an equal set, and how many these are. The set stays
    with that one: a caption that stands a thousand times is compared once."""
    order, first = _by_set(*(table[name].to_numpy() for name in ("key", "low", "position")))
    like = {name: table[name].to_numpy()[order] for name in STANDING}
    start = np.flatnonzero(first)
    copies = np.diff(np.append(start, len(first)))
    rows = {"same": np.repeat(like["position"][start], copies), "copies": np.repeat(copies, copies)}
    return pa.table({**like, **rows, "tokens": table["tokens"].take(pa.array(order, mask=~first))})


def _counts(texts: Relation, keys: Callable[[Sets], np.ndarray]) -> np.ndarray:
    """uint16, a power of two of them: how many sets have a key that falls there (65,535: or more)."""
    size = min(COUNTERS, 1 << (16 * texts.rows).bit_length())
    counts = np.zeros(size, np.int64)
    for places, found in texts.map(partial(_counted, keys, size)):
        counts[places] += found
    return np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint16)


def _counted(keys: Callable[[Sets], np.ndarray], size: int, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(slots(keys(_sets(table)[1]), size), return_counts=True)


def _sets(table: pa.Table) -> tuple[np.ndarray, Sets]:
    """Rows that have a set, int64 (n,), and the sets."""
    has = table["tokens"].is_valid()
    return np.flatnonzero(has.to_numpy()), Sets.of(table["tokens"].filter(has))


def _tokens(sets: Sets) -> np.ndarray:
    return sets.tokens


def _bands(permutations: int, count: int, sets: Sets) -> np.ndarray:
    return bands(signatures(sets, permutations), count).ravel()


def _shared(keys: Callable[[Sets], np.ndarray], sets: Sets, counts: np.ndarray) -> Keys:
    """Of equally many keys per set those that are not known to be its alone."""
    found = keys(sets)
    rows = np.repeat(np.arange(len(sets.sizes)), len(found) // max(1, len(sets.sizes)))
    wanted = counts[slots(found, len(counts))] > 1
    return rows[wanted], found[wanted], np.ones(int(wanted.sum()), bool)


def _meeting(keys: Callable[[Sets, np.ndarray], Keys], counts: np.ndarray, table: pa.Table) -> pa.Table:
    """A row for each set and key by which it may meet others, without its tokens; a row with the tokens; edges between
    equal sets; and what rows are like, of those that have a copy or may meet another."""
    has, sets = _sets(table)
    row, key, early = keys(sets, counts)
    position, same = table["position"].to_numpy(), table["same"].to_numpy()
    bits = {name: words[row] for name, words in zip(_BITS, parities(sets), strict=True)}
    met = {"key": hashed(key), "a": position[has[row]], "early": early, "size": sets.sizes[row], **bits}
    meets = np.zeros(len(has), bool)
    meets[row] = True
    owner = position[has[meets]]
    tokens = {"key": hashed(owner), "a": owner, "tokens": sets.take(np.flatnonzero(meets)).lists()}
    copied, copy = table["copies"].to_numpy() > 1, position != same
    copies = {"key": hashed(position[copy]), "a": position[copy], "b": same[copy]}
    social = copied.copy()
    social[has[meets]] = True
    members = table.filter(pa.array(social)).select(STANDING[:-1])
    like = {"key": hashed(position[social]), "a": position[social], "b": position[social], "copied": copied[social]}
    told = pa.table({**like, **{name: members[name] for name in STANDING[:-1]}})
    return _together(told, pa.table(copies), pa.table(tokens), pa.table(met))


def _candidates(jaccard: Jaccard, table: pa.Table) -> pa.Table:
    """Of sets that meet those that may be similar: whose, and in which `group`; and what has come along."""
    meets = table["early"].is_valid()
    met = table.select(["a", "key", "early", "size", *_BITS]).filter(meets)
    ids, keys, early, sizes, *bits = (column.to_numpy() for column in met.columns)
    row, group = candidates(Meeting(ids, keys, early, sizes, np.array(bits)), jaccard)
    rest = table.drop_columns(["key", "early", "size", *_BITS]).filter(pc.invert(meets))
    return _together(rest, pa.table({"a": ids[row], "group": group}))


def _by_owner(table: pa.Table) -> pa.Table:
    return table.append_column("key", pa.array(hashed(table["a"].to_numpy())))


def _with_tokens(table: pa.Table) -> pa.Table:
    """A row with the tokens for each set and group in which it is compared; and what has come along, but not of rows
    that have neither copy nor group."""
    owner, wanted = table["a"].to_numpy(), table["group"].is_valid().to_numpy()
    sets = np.flatnonzero(table["tokens"].is_valid().to_numpy())
    sets = sets[np.argsort(owner[sets])]
    asked = np.unique(
        np.column_stack([owner[wanted].astype(np.uint64), table["group"].filter(wanted).to_numpy()]), axis=0
    )
    ids, groups = asked[:, 0].astype(np.int64), asked[:, 1]
    at = sets[np.searchsorted(owner[sets], ids)]
    compared = pa.table({"a": ids, "group": groups, "tokens": table["tokens"].take(pa.array(at))})
    rest = table.filter(table["b"].is_valid())
    stays = ~rest["copied"].is_valid().to_numpy() | pc.fill_null(rest["copied"], False).to_numpy()
    stays |= np.isin(rest["a"].to_numpy(), ids)
    return _together(rest.select(["a", "b", *STANDING[:-1]]).filter(pa.array(stays)), compared)


def _by_group(table: pa.Table) -> pa.Table:
    group, owner = table["group"], table["a"].to_numpy()
    key = np.where(group.is_valid().to_numpy(), hashed(pc.fill_null(group, 0).to_numpy()), hashed(owner))
    return table.append_column("key", pa.array(key))


def _near(jaccard: Jaccard, table: pa.Table) -> pa.Table:
    """Edges between similar sets of a group, and what has come along. An edge stays within its group."""
    compared = table["group"].is_valid()
    met = table.select(["a", "group", "tokens"]).filter(compared)
    near = similar(met["a"].to_numpy(), met["group"].to_numpy(), Sets.of(met["tokens"]), jaccard)
    rest = table.select(["a", "b", *STANDING[:-1]]).filter(pc.invert(compared))
    return _together(rest, pa.table({"a": near[:, 0], "b": near[:, 1]}))


def _together(*tables: pa.Table) -> pa.Table:
    """Rows of all tables; a column that one lacks is null there."""
    return pa.concat_tables(tables, promote_options="default")
