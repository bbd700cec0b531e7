"""Spill and gather: a shuffle that reads every source shard once, and loses and adds nothing."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.contracts import NodeRecord
from stages.export.shuffle import ShardPlan, histogram, order_key
from stages.export.spill import SPILL, SpillNode, SpillRow, gather, read_spill, write_spill

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SAMPLES = st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 3), st.binary(max_size=30), TEXT))


def rows_of(samples: list[tuple[bytes, int, bytes, str]]) -> list[SpillRow]:
    words = np.array([np.frombuffer(uid, ">u8") for uid, *_ in samples], np.uint64).reshape(-1, 2)
    keys = order_key(words, np.array([copy for _, copy, *_ in samples], int), 5)
    return [
        SpillRow(int(key), uid, copy, image, "jpg", text, json.dumps({"uid": uid.hex(), "t": text}))
        for key, (uid, copy, image, text) in zip(keys, samples, strict=True)
    ]


def shuffled(parts: list[list[SpillRow]], plan: ShardPlan, folder: Path) -> list[list[tuple[str, bytes, str, object]]]:
    """Through files: for each output shard the records but their keys."""
    paths = [folder / f"{i}.arrow" for i in range(len(parts))]
    for part, path in zip(parts, paths, strict=True):
        write_spill(part, plan, path)
    shards = []
    for shard in range(len(plan.counts)):
        files = [path.open("rb") for path in paths]
        records = gather([read_spill(file, shard) for file in files], shard)
        for file in files:
            file.close()
        assert [r.key for r in records] == [f"{shard:08d}{i:06d}" for i in range(len(records))]
        shards.append([(r.uid, r.image, r.text, r.meta["t"]) for r in records])
    return shards


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=SAMPLES, cut=st.integers(0, 30), size=st.integers(1, 10))
def test_a_permutation_that_no_split_of_the_source_changes(
    tmp_path: Path, samples: list[tuple[bytes, int, bytes, str]], cut: int, size: int
) -> None:
    samples = list({(uid, copy): (uid, copy, image, text) for uid, copy, image, text in samples}.values())
    rows = rows_of(samples)
    plan = ShardPlan.from_histogram(histogram(np.array([row.order for row in rows], np.uint64)), size)
    whole = shuffled([rows], plan, tmp_path)
    assert shuffled([rows[cut:], rows[:cut]], plan, tmp_path) == whole
    assert [len(shard) for shard in whole] == list(plan.counts)
    flat = sorted(sample for shard in whole for sample in shard)
    assert flat == sorted((uid.hex(), image, text, text) for uid, _, image, text in samples)


def test_one_batch_for_each_output_shard_read_from_any_filesystem(tmp_path: Path) -> None:
    rows = rows_of([(bytes([i]) * 16, 0, bytes([i]), str(i)) for i in range(3)])
    plan = ShardPlan((10, 1 << 19, (1 << 20) - 1), (0, 2, 1, 0))
    write_spill(rows, plan, tmp_path / "a.arrow")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/spill/a.arrow", (tmp_path / "a.arrow").read_bytes())
    found = []
    for shard in range(4):
        with memory.open("/spill/a.arrow", "rb") as file:
            batch = read_spill(file, shard)
        assert batch.schema == SPILL
        found.append(batch.num_rows)
    expected = np.bincount(plan.assign(np.array([row.order for row in rows], np.uint64)), minlength=4)
    assert found == expected.tolist()


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    rows = rows_of([(bytes([i]) * 16, 0, bytes([i]), str(i)) for i in range(20)])
    plan = ShardPlan((1 << 19,), (10, 10))
    write_spill(rows, plan, tmp_path / "a.arrow")
    write_spill(rows, plan, tmp_path / "b.arrow")
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


NODES = st.lists(
    st.tuples(st.booleans(), st.binary(min_size=16, max_size=16), TEXT, st.binary(max_size=30)), max_size=4
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(NODES, max_size=8))
def test_documents_keep_their_nodes(tmp_path: Path, documents: list[list[tuple[bool, bytes, str, bytes]]]) -> None:
    rows = rows_of([(bytes([i]) * 16, 0, b"", str(i)) for i in range(len(documents))])
    made = [
        [
            SpillNode("image" if image else "text", uid, text, blob, "png", json.dumps({"t": text}))
            for image, uid, text, blob in nodes
        ]
        for nodes in documents
    ]
    rows = [row._replace(nodes=nodes) for row, nodes in zip(rows, made, strict=True)]
    plan = ShardPlan.from_histogram(histogram(np.array([row.order for row in rows], np.uint64)), 3)
    write_spill(rows, plan, tmp_path / "a.arrow")
    found: dict[str, tuple[NodeRecord, ...]] = {}
    for shard in range(len(plan.counts)):
        with (tmp_path / "a.arrow").open("rb") as file:
            found |= {record.uid: record.nodes for record in gather([read_spill(file, shard)], shard)}
    assert set(found) == {row.uid.hex() for row in rows}
    for row in rows:
        came = [
            (n.kind, bytes.fromhex(n.uid), n.text, n.image, n.ext, json.dumps(n.meta)) for n in found[row.uid.hex()]
        ]
        assert came == list(row.nodes)
