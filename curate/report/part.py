"""One shard of a finished run as the report reads it: fates from the ledger, columns from the facts, nothing decided anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.columns import to_numpy
from curate.engine.decide import WITH_DOCUMENT, Decider
from curate.planner import Plan
from curate.pool import Shard
from curate.schema import COMPUTED, DOCUMENT, FAILED, IMAGE, KEPT, TEXT, hash_words, uid_words

if TYPE_CHECKING:
    from curate.inspect import Run

KINDS = (DOCUMENT, TEXT, IMAGE)
PAIRS = ""
"""The name of the one kind of rows that a pool of pairs has."""
INTERLEAVED = "interleaved"
"""Documents that are kept with an image."""


@dataclass(frozen=True)
class Place:
    """Where a sample is, so that its image and columns can be read later."""

    shard: Shard
    row: int


@dataclass(frozen=True)
class Part:
    """A shard with its ledger rows, both in index order."""

    shard: Shard
    decider: Decider
    ledger: pa.Table

    @cached_property
    def fate(self) -> np.ndarray:
        """Object (n,): kept, dropped or failed."""
        return to_numpy(self.ledger["fate"])

    @cached_property
    def kept(self) -> np.ndarray:
        """Boolean (n,)."""
        return self.fate == KEPT

    @cached_property
    def failed(self) -> np.ndarray:
        """Boolean (n,)."""
        return self.fate == FAILED

    @cached_property
    def rule(self) -> np.ndarray:
        """Object (n,): label of the rule that dropped the sample, or None."""
        return to_numpy(self.ledger["rule"])

    @cached_property
    def kind(self) -> np.ndarray:
        """Object (n,): what each row is; `PAIRS` in a pool of pairs."""
        if self.decider.plan.documents:
            return to_numpy(self.decider.index(self.shard)["kind"])
        return np.full(self.ledger.num_rows, PAIRS, object)

    @cached_property
    def owner(self) -> np.ndarray:
        """int64 (n,): the row of a node's document; of a document, its own."""
        parent = self.decider.index(self.shard)["parent"].to_pylist()
        return np.array([row if above is None else above for row, above in enumerate(parent)], np.int64)

    @cached_property
    def along(self) -> np.ndarray:
        """Boolean (n,): nodes that are gone only because their document is."""
        errors = [error is not None and error.startswith(WITH_DOCUMENT) for error in self.ledger["error"].to_pylist()]
        return (to_numpy(self.ledger["value"]) == WITH_DOCUMENT) | np.array(errors, bool)

    def groups(self) -> dict[str, np.ndarray]:
        """Boolean (n,) per group of rows that examples are drawn from: all pairs; documents, and nodes by themselves."""
        if not self.decider.plan.documents:
            return {PAIRS: np.ones(self.ledger.num_rows, bool)}
        found = {kind: (self.kind == kind) & ~self.along for kind in KINDS}
        pictured = np.zeros(self.ledger.num_rows, bool)
        pictured[self.owner[self.kept & found[IMAGE]]] = True
        return found | {INTERLEAVED: pictured & self.kept}

    @cached_property
    def draws(self) -> np.ndarray:
        """uint64 (n,): a hash of each uid; the lowest are the examples, whatever the order of shards."""
        return hash_words(0, uid_words(self.ledger["uid"]), "report")

    def numbers(self, column: str) -> np.ndarray:
        """float64 (n,): a numeric column; NaN where it is null or was not computed."""
        array, states, _ = self.decider.column(self.shard, column)
        return np.where(states == COMPUTED, np.asarray(to_numpy(array), np.float64), np.nan)

    def cells(self, column: str) -> list[Any]:
        """Any column as Python values; None where it is null or was not computed."""
        return list(self.decider.column(self.shard, column)[0].to_pylist())

    def lowest(self, rows: np.ndarray, count: int) -> np.ndarray:
        """Of some rows the `count` with the lowest draws, in that order; equal draws by row."""
        return np.asarray(rows[np.argsort(self.draws[rows], kind="stable")[:count]])

    def files(self, rows: np.ndarray, count: int) -> np.ndarray:
        """As `lowest`; of rows that have the same image file only the first, a row without one being like no other."""
        ordered = self.lowest(rows, len(rows))
        first = np.unique(self._file[ordered], return_index=True)[1]
        return np.asarray(ordered[np.sort(first)[:count]])

    def digest(self, row: int) -> bytes | None:
        """sha256 of a row's image file."""
        found: bytes | None = self.decider.index(self.shard)["sha256"][row].as_py()
        return found

    @cached_property
    def _file(self) -> np.ndarray:
        """int64 (n,): equal for rows that have the same image file."""
        codes = pc.index_in(
            digests := self.decider.index(self.shard)["sha256"], value_set=pc.unique(digests).drop_null()
        )
        found = np.asarray(to_numpy(codes.fill_null(-1)), np.int64)
        return np.where(found < 0, -1 - np.arange(len(found)), found)


class Tally(Protocol):
    """What is counted over a run: sees every shard once, in memory that does not grow with the pool."""

    def add(self, part: Part) -> None:
        """Count a shard."""
        ...


def parts(run: Run, decider: Decider) -> Iterator[Part]:
    """The run shard by shard. Raises RunError where the pool is no longer what the run saw."""
    for shard in run.shards:
        yield Part(shard, decider, run.shard_ledger(shard))


def column_of(plan: Plan, given: str, kind: str | None = None) -> str | None:
    """The stored name of the first column that a step gives under this name (a recipe may rename it), or None. Of documents,
    if `kind` is named, one about rows of that kind alone."""
    for node in plan.nodes:
        if given in node.columns and (kind is None or node.kinds in ((), (kind,))):
            return node.columns[given]
    return None
