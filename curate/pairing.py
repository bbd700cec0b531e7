"""How the records of two runs meet: row by row where both ran on the same shards, else by uid, out of core.

A record's outcome in a run is a small number: `ABSENT`, `FAILED`, `KEPT`, or from `RULES` on the rule that dropped it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.schema import DROPPED, KEPT, uid_words

if TYPE_CHECKING:
    from curate.inspect import Run
    from curate.pool import Shard

Outcomes = np.ndarray
"""uint16 (n,)."""
ABSENT_CODE, FAILED_CODE, KEPT_CODE, RULES = 0, 1, 2, 3
PARTITION_ROWS: Final = 1 << 20
"""Records of one partition of uids, of 32 bytes each and side."""
MOST_PARTITIONS: Final = 256
_RECORD: Final = np.dtype([("high", "<u8"), ("low", "<u8"), ("at", "<u8"), ("outcome", "<u2")])


def rule_labels(run: Run) -> list[str]:
    """Every rule that dropped something in the run, or could have: in the recipe's order, then the deny list."""
    labels = [rule["label"] for rule in run.manifest["rules"]]
    return [*labels, *(label for label in run.manifest["dropped"] if label not in labels)]


def outcomes(ledger: pa.Table, labels: Sequence[str]) -> Outcomes:
    """uint16 (n,) of a shard's ledger rows."""
    fate = ledger["fate"].combine_chunks()
    rule = pc.index_in(ledger["rule"], value_set=pa.array(labels, pa.string())).fill_null(0)
    codes = np.full(len(fate), FAILED_CODE, np.uint16)
    codes[pc.equal(fate, KEPT).to_numpy(zero_copy_only=False)] = KEPT_CODE
    dropped = pc.equal(fate, DROPPED).to_numpy(zero_copy_only=False)
    codes[dropped] = RULES + np.asarray(rule.to_numpy(), np.uint16)[dropped]
    return codes


class Pairing(Protocol):
    """What became in the other run of each record of a run's shard."""

    kind: str
    """`rows` or `uid`."""

    def other(self, side: int, shard: Shard, count: int) -> Outcomes:
        """For the first `count` records of a shard of run `side` (0 or 1): uint16 (count,)."""
        ...


def same_pool(runs: Sequence[Run]) -> bool:
    """Whether both runs entered the same pool, and every shard that both entered had the same content."""
    one, two = runs
    if one.storage.root != two.storage.root or one.manifest["pool"]["name"] != two.manifest["pool"]["name"]:
        return False
    contents = [{entry["number"]: entry["content"] for entry in run.manifest["pool"]["shards"]} for run in runs]
    shared = contents[0].keys() & contents[1].keys()
    return bool(shared) and all(contents[0][number] == contents[1][number] for number in shared)


class ByRow:
    """Both runs number the same records alike: the other's ledger of the same shard has the answer."""

    kind = "rows"

    def __init__(self, runs: Sequence[Run], labels: Sequence[Sequence[str]]) -> None:
        self.runs, self.labels = runs, labels
        self.entered = [{entry["number"] for entry in run.manifest["pool"]["shards"]} for run in runs]

    def other(self, side: int, shard: Shard, count: int) -> Outcomes:
        """`ABSENT_CODE` beyond what the other run entered of the shard."""
        found = np.full(count, ABSENT_CODE, np.uint16)
        if shard.number in self.entered[1 - side]:
            codes = outcomes(self.runs[1 - side].shard_ledger(shard), self.labels[1 - side])[:count]
            found[: len(codes)] = codes
        return found


class ByUid:
    """The k-th record of a uid in one run meets the k-th in the other.

    Both ledgers are cut by uid into files under `folder`, partition by partition sorted and joined; the answers, two
    bytes a record, are a memory-mapped file. Memory is one partition, or one shard, whatever the pools' sizes.
    """

    kind = "uid"

    def __init__(self, runs: Sequence[Run], labels: Sequence[Sequence[str]], folder: Path) -> None:
        self.starts: list[dict[int, int]] = []
        totals = [run.manifest["entered"] for run in runs]
        partitions = min(MOST_PARTITIONS, -(-max(totals) // PARTITION_ROWS))
        for side, run in enumerate(runs):
            self.starts.append(_cut(run, labels[side], folder, side, partitions))
        self.answers = [
            np.memmap(folder / f"answers{side}", np.uint16, "w+", shape=max(1, total))
            for side, total in enumerate(totals)
        ]
        for number in range(partitions):
            self._join(*(np.fromfile(folder / f"{side}-{number}", _RECORD) for side in (0, 1)))

    def other(self, side: int, shard: Shard, count: int) -> Outcomes:
        """As the join found it."""
        start = self.starts[side][shard.number]
        return np.asarray(self.answers[side][start : start + count])

    def _join(self, one: np.ndarray, two: np.ndarray) -> None:
        both = np.concatenate([one, two])
        nth = np.concatenate([_nth(one), _nth(two)])
        order = np.lexsort((np.arange(len(both)) >= len(one), nth, both["low"], both["high"]))
        keys = [values[order] for values in (both["high"], both["low"], nth)]
        first = np.flatnonzero(np.logical_and.reduce([key[1:] == key[:-1] for key in keys]))
        mine, theirs = both[order[first]], both[order[first + 1]]
        self.answers[0][mine["at"]] = theirs["outcome"]
        self.answers[1][theirs["at"]] = mine["outcome"]


def _cut(run: Run, labels: Sequence[str], folder: Path, side: int, partitions: int) -> dict[int, int]:
    """Write the run's records by partition of their uids; returns the number of each shard's first record."""
    starts, at = {}, 0
    files = [(folder / f"{side}-{number}").open("wb") for number in range(partitions)]
    try:
        for shard in run.shards:
            starts[shard.number] = at
            ledger = run.shard_ledger(shard)
            for number, part in _parts(ledger, labels, at, partitions):
                part.tofile(files[number])
            at += ledger.num_rows
    finally:
        for file in files:
            file.close()
    return starts


def _parts(ledger: pa.Table, labels: Sequence[str], at: int, partitions: int) -> Iterator[tuple[int, np.ndarray]]:
    words = uid_words(ledger["uid"])
    records = np.empty(len(words), _RECORD)
    records["high"], records["low"] = words[:, 0], words[:, 1]
    records["at"] = np.arange(at, at + len(words))
    records["outcome"] = outcomes(ledger, labels)
    place = (words[:, 0] ^ words[:, 1]) % np.uint64(partitions)
    for number in np.unique(place).tolist():
        yield number, records[place == number]


def _nth(records: np.ndarray) -> np.ndarray:
    """int64 (n,): how many records of the same uid came before."""
    order = np.lexsort((records["at"], records["low"], records["high"]))
    high, low = records["high"][order], records["low"][order]
    new = np.ones(len(order), bool)
    new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    place = np.arange(len(order))
    nth = np.empty(len(order), np.int64)
    nth[order] = place - np.maximum.accumulate(np.where(new, place, 0))
    return nth
