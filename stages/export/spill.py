"""Between reading and writing: each source shard is read once and spilled by output shard.

A spill is an Arrow IPC file with exactly one record batch per output shard, so that writing a shard reads one batch of
each spill and nothing else: never a random read per sample.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from curate.contracts import Record
from curate.schema import UID
from stages.export.shuffle import ShardPlan

SPILL = pa.schema(
    [
        ("order", pa.uint64()),
        ("uid", UID),
        ("copy", pa.int32()),
        ("image", pa.large_binary()),
        ("ext", pa.string()),
        ("text", pa.string()),
        ("meta", pa.string()),
    ]
)


class SpillRow(NamedTuple):
    """One kept sample (or one copy of it); `meta` is JSON."""

    order: int
    uid: bytes
    copy: int
    image: bytes
    ext: str
    text: str
    meta: str


def write_spill(rows: Sequence[SpillRow], plan: ShardPlan, path: Path) -> None:
    """Write the kept samples of one source shard, one batch per output shard, empty ones included."""
    shards = plan.assign(np.array([row.order for row in rows], np.uint64))
    buckets: list[list[SpillRow]] = [[] for _ in plan.counts]
    for row, shard in zip(rows, shards.tolist(), strict=True):
        buckets[shard].append(row)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SPILL) as writer:
        for bucket in buckets:
            columns = list(zip(*bucket, strict=True)) or [()] * len(SPILL)
            arrays = [pa.array(list(values), field.type) for values, field in zip(columns, SPILL, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=SPILL))


def read_spill(file: BinaryIO, shard: int) -> pa.RecordBatch:
    """The batch of one output shard; reads no other."""
    return pa.ipc.open_file(pa.PythonFile(file, mode="r")).get_batch(shard)


def gather(batches: Sequence[pa.RecordBatch], shard: int) -> list[Record]:
    """One output shard's records in their final order, by (order, uid, copy), with keys unique over all shards."""
    rows = [SpillRow(*row.values()) for batch in batches for row in batch.to_pylist()]
    rows.sort(key=lambda row: (row.order, row.uid, row.copy))
    return [
        Record(f"{shard:08d}{i:06d}", row.uid.hex(), row.image, row.ext, row.text, json.loads(row.meta))
        for i, row in enumerate(rows)
    ]
