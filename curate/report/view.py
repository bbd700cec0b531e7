"""One shard as the report reads it: ledger rows beside stored columns, row-aligned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from curate.columns import to_numpy
from curate.engine.decide import Decider
from curate.pool import Shard
from curate.schema import COMPUTED, FAILED, KEPT, uid_words

if TYPE_CHECKING:
    from curate.inspect import Run


@dataclass(frozen=True)
class View:
    """A shard's n rows. Fates come from the ledger, so that what is counted here is what the run decided."""

    decider: Decider
    shard: Shard
    ledger: pa.Table

    @cached_property
    def kept(self) -> np.ndarray:
        """Boolean (n,)."""
        return self.objects("fate") == KEPT

    @cached_property
    def failed(self) -> np.ndarray:
        """Boolean (n,)."""
        return self.objects("fate") == FAILED

    @cached_property
    def rule(self) -> np.ndarray:
        """Object (n,): label of the rule that dropped the row, or None."""
        return self.objects("rule")

    @cached_property
    def words(self) -> np.ndarray:
        """uint64 (n, 2): the uids."""
        return uid_words(self.ledger["uid"])

    def objects(self, name: str) -> np.ndarray:
        """Object (n,): a column of the ledger."""
        found = np.empty(self.ledger.num_rows, object)
        found[:] = self.ledger[name].to_pylist()
        return found

    def state(self, column: str) -> np.ndarray:
        """int8 (n,): whether the column was computed for a row (`curate.schema`)."""
        return self.decider.column(self.shard, column)[1]

    def numbers(self, column: str) -> np.ndarray:
        """float64 (n,): a numeric column, NaN where there is no value."""
        array, state, _ = self.decider.column(self.shard, column)
        return np.where(state == COMPUTED, np.asarray(to_numpy(array), float), np.nan)

    def values(self, column: str) -> list[Any]:
        """A column of the index or of a signal as Python values, None where there is none."""
        return list(self.decider.column(self.shard, column)[0].to_pylist())


class Tally(Protocol):
    """Something that is counted over the pool, shard by shard, in memory that the pool's size does not bound."""

    def add(self, view: View) -> None:
        """Count one shard."""
        ...


def views(run: Run, decider: Decider) -> Iterator[View]:
    """Every shard of the run, in order."""
    for shard in decider.shards:
        yield View(decider, shard, run.storage.read_table(f"{run.folder}/ledger/{shard.number:08d}.parquet"))
