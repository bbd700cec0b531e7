"""Between reading and writing: each source shard is read once and spilled by output shard.

A spill is an Arrow IPC file with exactly one record batch per output shard, so that writing a shard reads one batch of
each spill and nothing else: never a random read per sample.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from curate.contracts import NodeRecord, Record
from curate.schema import IMAGE, UID
from stages.export.shuffle import ShardPlan

NODE = pa.struct(
    [
        ("kind", pa.string()),
        ("uid", UID),
        ("text", pa.string()),
        ("image", pa.large_binary()),
        ("ext", pa.string()),
        ("meta", pa.string()),
    ]
)

SPILL = pa.schema(
    [
        ("order", pa.uint64()),
        ("uid", UID),
        ("copy", pa.int32()),
        ("image", pa.large_binary()),
        ("ext", pa.string()),
        ("text", pa.string()),
        ("meta", pa.string()),
        ("nodes", pa.list_(NODE)),
    ]
)


class SpillNode(NamedTuple):
    """One kept node of a document; `meta` is JSON."""

    kind: str
    uid: bytes
    text: str
    image: bytes
    ext: str
    meta: str


class SpillRow(NamedTuple):
    """One kept sample (or one copy of it); `meta` is JSON. A pair has no nodes, a document those that were kept, in order."""

    order: int
    uid: bytes
    copy: int
    image: bytes
    ext: str
    text: str
    meta: str
    nodes: Sequence[SpillNode] = ()


def write_spill(rows: Sequence[SpillRow], plan: ShardPlan, path: Path) -> None:
    """Write the kept samples of one source shard, one batch per output shard, empty ones included."""
    shards = plan.assign(np.array([row.order for row in rows], np.uint64))
    buckets: list[list[SpillRow]] = [[] for _ in plan.counts]
    for row, shard in zip(rows, shards.tolist(), strict=True):
        buckets[shard].append(row)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SPILL) as writer:
        for bucket in buckets:
            columns = list(zip(*bucket, strict=True)) or [()] * len(SPILL)
            arrays = [pa.array(list(values), field.type) for values, field in zip(columns[:-1], SPILL, strict=False)]
            arrays.append(_nodes(bucket))
            writer.write_batch(pa.record_batch(arrays, schema=SPILL))


def _nodes(rows: Sequence[SpillRow]) -> pa.Array:
    """The column `nodes`, built by its children: Arrow would take a struct only as a mapping per node."""
    nodes = [node for row in rows for node in row.nodes]
    columns = list(zip(*nodes, strict=True)) or [()] * NODE.num_fields
    children = [pa.array(list(values), field.type) for values, field in zip(columns, NODE, strict=True)]
    ends = np.cumsum([0, *(len(row.nodes) for row in rows)], dtype=np.int32)
    return pa.ListArray.from_arrays(ends, pa.StructArray.from_arrays(children, fields=list(NODE)))


def read_spill(file: BinaryIO, shard: int) -> pa.RecordBatch:
    """The batch of one output shard; reads no other."""
    return pa.ipc.open_file(pa.PythonFile(file, mode="r")).get_batch(shard)


def gather(batches: Sequence[pa.RecordBatch], shard: int) -> list[Record]:
    """One output shard's records in their final order, by (order, uid, copy), with keys unique over all shards."""
    rows = [_row(values) for batch in batches for values in batch.to_pylist()]
    rows.sort(key=lambda row: (row.order, row.uid, row.copy))
    return [_record(row, f"{shard:08d}{i:06d}") for i, row in enumerate(rows)]


def _row(values: dict[str, Any]) -> SpillRow:
    return SpillRow(**{**values, "nodes": tuple(SpillNode(**node) for node in values["nodes"])})


def _record(row: SpillRow, key: str) -> Record:
    nodes = tuple(_node(node) for node in row.nodes)
    return Record(key, row.uid.hex(), row.image, row.ext, row.text, json.loads(row.meta), nodes)


def _node(node: SpillNode) -> NodeRecord:
    kind: Literal["text", "image"] = "image" if node.kind == IMAGE else "text"
    return NodeRecord(kind, node.uid.hex(), node.text, node.image, node.ext, json.loads(node.meta))
