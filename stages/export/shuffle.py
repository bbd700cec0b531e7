"""The order of an export: a global shuffle as a pure function of (seed, uid, copy), split into balanced shards.

Every kept sample gets a 64-bit key by hashing; the keys' order is the export's order, so neither source shards nor
workers nor their order matter. Shards are contiguous ranges of keys, cut by a histogram of the keys' top bits, so that
no step ever holds all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.schema import hash_words

BITS = 20
"""The histogram has 2**20 bins: 8 MB."""


def order_key(uids: np.ndarray, copies: np.ndarray, seed: int) -> np.ndarray:
    """uint64 (n,) from uids, uint64 (n, 2), and copy numbers, int (n,); repeats of a sample spread over the export."""
    copies = np.asarray(copies)
    keys = np.zeros(len(uids), np.uint64)
    for copy in np.unique(copies):
        at = copies == copy
        keys[at] = hash_words(seed, uids[at], f"order{copy}")
    return keys


def histogram(keys: np.ndarray) -> np.ndarray:
    """int64 (2**20,): how many keys have which top bits. Add those of many shards."""
    return np.bincount(_bins(keys), minlength=1 << BITS).astype(np.int64)


def _bins(keys: np.ndarray) -> np.ndarray:
    return (keys >> np.uint64(64 - BITS)).astype(np.int64)


@dataclass(frozen=True)
class ShardPlan:
    """Which range of keys goes to which output shard. None is empty, unless nothing at all is exported.

    `edges`: the first bin of each shard but the first. `counts`: samples per shard. While no bin holds a whole shard, a
    count differs from an even split by less than the samples of the fullest bin: for a billion samples about 1,100.
    """

    edges: tuple[int, ...]
    counts: tuple[int, ...]

    @classmethod
    def from_histogram(cls, bins: np.ndarray, samples_per_shard: int) -> ShardPlan:
        """Cut after the bins where the running count reaches even parts of about `samples_per_shard`."""
        total = int(bins.sum())
        shards = max(1, round(total / samples_per_shard))
        running = np.cumsum(bins)
        cuts = np.searchsorted(running, np.arange(1, shards) * total / shards, side="left")
        # One bin may reach several parts at once (many copies of one uid), or the end: cut after it once, or not.
        edges = np.unique(cuts[running[cuts] < total]) + 1
        starts = np.concatenate([[0], running[edges - 1], [total]])
        return cls(tuple(edges.tolist()), tuple(np.diff(starts).astype(int).tolist()))

    def assign(self, keys: np.ndarray) -> np.ndarray:
        """Output shard of each key, int64 (n,)."""
        return np.searchsorted(np.array(self.edges, np.int64), _bins(keys), side="right")
