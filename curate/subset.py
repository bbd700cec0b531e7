"""What a run keeps, for other tools: DataComp's subset files, and a column as one array.

    curate.subset.write_subset(curate.open_run("workspace/runs/basic"), "basic.npy")

Everything works shard by shard: neither a run nor a file has to fit into memory.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.lib.format import open_memmap

from curate.columns import to_numpy
from curate.errors import EnvironmentFault, RunError
from curate.schema import KEPT, uid_words
from filters.subset import PAIR, read_subset

if TYPE_CHECKING:
    from curate.inspect import Run

__all__ = ["read_subset", "write_column", "write_sorted", "write_subset"]

BUCKET: Final = 1 << 22
"""Uids, of 16 bytes, that are sorted in memory at once."""
_SAMPLE: Final = 1 << 16
"""Uids by which the buckets are cut."""


def write_subset(run: Run, path: str | Path) -> int:
    """Write the uids that a run keeps, each as often as it is exported, and say how many. Of documents those of the
    documents: nodes go with theirs.

    `path`: a local .npy, there when it is complete. Raises RunError for a run that has not come to its end.
    """
    _check_complete(run)
    return write_sorted(partial(_kept_uids, run), Path(path))


def _check_complete(run: Run) -> None:
    status = run.manifest["status"]
    if status != "complete":
        raise RunError(f"run {run.name!r} is {status}, so what it keeps is not known; run its recipe to its end")


def write_sorted(parts: Callable[[], Iterable[np.ndarray]], path: Path, bucket: int = BUCKET) -> int:
    """Write uids, given in parts of uint64 (n, 2) as often as asked, as one subset file; returns how many.

    A distribution sort into the file itself: a sample cuts the range into buckets, their sizes are counted, each uid
    is written into its bucket's place, and the buckets are sorted one by one.
    """
    total, sample = _sampled(parts())
    cuts = sample[:: max(1, len(sample) * bucket // max(1, 2 * total))][1:]
    sizes = np.zeros(len(cuts) + 1, np.int64)
    for words in parts():
        sizes += np.bincount(np.searchsorted(cuts, _keys(words), side="right"), minlength=len(sizes))
    ends = np.cumsum(sizes)
    with _building(path) as temporary:
        subset = open_memmap(temporary, mode="w+", dtype=PAIR, shape=(total,))
        rows, free = subset.view(np.uint64).reshape(-1, 2), ends - sizes
        for words in parts():
            places = np.searchsorted(cuts, _keys(words), side="right")
            order = np.argsort(places, kind="stable")
            begins = np.searchsorted(places[order], np.arange(len(sizes) + 1))
            for place in np.unique(places):
                mine = words[order[begins[place] : begins[place + 1]]]
                rows[free[place] : free[place] + len(mine)] = mine
                free[place] += len(mine)
        for begin, end in zip(ends - sizes, ends, strict=True):
            rows[begin:end] = np.sort(_keys(rows[begin:end])).view(">u8").reshape(-1, 2)
        subset.flush()
    return total


def write_column(run: Run, column: str, path: str | Path) -> int:
    """Write a column of numbers or embeddings of the samples that a run keeps, in the pool's order, as one .npy array.

    Samples without a value are left out; returns how many there are. Made for the embeddings of a reference set
    (`stages.select.imagenet`). Raises RunError for a column of another type, or one that the run does not have.
    """
    _check_complete(run)
    if column not in run.columns():
        raise RunError(f"run {run.name!r} has no column {column!r}; it has {', '.join(run.columns())}")
    rows = sum(len(values) for values in _kept_values(run, column))
    first = next(_kept_values(run, column), None)
    if first is None or not np.issubdtype(first.dtype, np.number):
        raise RunError(f"column {column!r} of run {run.name!r} holds no numbers and no embeddings")
    with _building(Path(path)) as temporary:
        array = open_memmap(temporary, mode="w+", dtype=first.dtype, shape=(rows, *first.shape[1:]))
        start = 0
        for values in _kept_values(run, column):
            array[start : start + len(values)] = values
            start += len(values)
        array.flush()
    return rows


def _kept_uids(run: Run) -> Iterator[np.ndarray]:
    """Of each shard the uids of pairs or documents, uint64 (n, 2), as often as they are exported."""
    for shard in run.shards:
        ledger = run.shard_ledger(shard)
        times = ledger["times"].to_numpy()
        if shard.kinds:
            parents = run.pool.read_index(shard, ["parent"])["parent"].slice(0, ledger.num_rows)
            times = np.where(parents.is_null().to_numpy(), times, 0)
        yield np.repeat(uid_words(ledger["uid"]), times, axis=0)


def _kept_values(run: Run, column: str) -> Iterator[np.ndarray]:
    """Of each shard that keeps any, the values that there are."""
    decider = run.decider(run.plan)
    for shard in run.shards:
        values: pa.Array = decider.column(shard, column)[0]
        kept = values.filter(pc.equal(run.shard_ledger(shard)["fate"].combine_chunks(), KEPT)).drop_null()
        if len(kept):
            yield to_numpy(kept)


def _keys(words: np.ndarray) -> np.ndarray:
    """Bytes (n,) that sort as uids do: numpy sorts them four times as fast as pairs."""
    return np.ascontiguousarray(words, ">u8").view("S16").reshape(-1)


def _sampled(parts: Iterable[np.ndarray]) -> tuple[int, np.ndarray]:
    """How many uids there are, and some of them, sorted, as keys."""
    total, every = 0, 1
    sample = np.zeros(0, "S16")
    for words in parts:
        total += len(words)
        sample = np.concatenate([sample, _keys(words)[::every]])
        while len(sample) > _SAMPLE:
            sample, every = sample[::2], 2 * every
    return total, np.sort(sample)


@contextmanager
def _building(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
