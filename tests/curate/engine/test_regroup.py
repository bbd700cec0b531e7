"""Global steps beyond one partition: rows meet by key on disk, on Ray's workers too, and nothing of it shows in the result."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curate
from curate.contracts import Spread
from curate.engine import regroup
from curate.engine.regroup import Exchange, ShardState, new_exchange, shared, state_of
from curate.housekeeping import collect_garbage
from curate.scan import state_rows
from curate.schema import hash_words
from curate.storage import Storage

Write = Callable[..., Path]


def keyed(position: np.ndarray, value: np.ndarray) -> pa.Table:
    words = np.column_stack([np.zeros(len(value), np.uint64), value.astype(np.uint64)])
    return pa.table({"key": hash_words(0, words), "position": position.astype(np.uint64), "value": value})


def counted(rows: pa.Table) -> pa.Table:
    """How often each row's value stands in its group."""
    values = rows["value"].to_numpy()
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return pa.table({"position": rows["position"], "value": rows["value"], "count": counts[inverse].astype(np.int64)})


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 5), st.integers(1, 7))
def test_equal_keys_meet_however_the_pool_is_cut(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], shards: int, per_partition: int
) -> None:
    storage = Storage(str(tmp_path_factory.mktemp("root")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regroup, "PARTITION_ROWS", per_partition)
        exchange = new_exchange(storage, "runs/a", len(values), None)
        cuts = np.array_split(np.arange(len(values)), shards)
        value = np.array(values, np.int64)
        position = np.concatenate(
            [(np.uint64(i) << np.uint64(32)) + cut.astype(np.uint64) for i, cut in enumerate(cuts)]
        )
        rows = exchange.regroup(lambda cut: keyed(position[cut], value[cut]), cuts, counted)
        again = rows.regroup(lambda t: keyed(t["position"].to_numpy(), t["value"].to_numpy()), counted)
        expected = Counter(values)
        for relation in (rows, again):
            found = pa.concat_tables(relation.map(lambda table: table))
            assert relation.rows == len(values)
            assert sorted(found["position"].to_pylist()) == position.tolist()
            assert all(
                expected[v] == n for v, n in zip(found["value"].to_pylist(), found["count"].to_pylist(), strict=True)
            )
        state = exchange.learn(Spread({"total": np.array(len(values))}, again))
        assert isinstance(state, ShardState)
        assert shared(state)["total"] == len(values)
        for shard, cut in enumerate(cuts):
            mine = state_of(state, shard)
            assert mine["position"].tolist() == position[cut].tolist()
            assert mine["value"].tolist() == value[cut].tolist()
        exchange.clear()
        assert storage.list("runs/a/scratch") == []


def test_a_pool_that_fits_one_partition_never_touches_the_disk(tmp_path: Path) -> None:
    exchange = Exchange(Storage(str(tmp_path)), "runs/a/scratch/b", 100, None)
    rows = exchange.regroup(lambda _: keyed(np.arange(3), np.arange(3)), [0], counted)
    assert state_rows(next(rows.map(lambda table: table)))["count"].tolist() == [1, 1, 1]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def recipe(write_recipe: Write) -> Path:
    """With pool facts and selections of every kind."""
    signals = [
        {"step": "stages.signals.image.Header"},
        {"step": "stages.signals.image.Pixels"},
        {"step": "stages.signals.hashes.PHash"},
        {"step": "stages.signals.text.CaptionStats"},
    ]
    facts = [{"step": "stages.select.dedup.Duplicates", "by": "phash", "distance": 4}]
    select = [
        {"step": "stages.select.dedup.OnePerGroup"},
        {"step": "stages.select.top.TopFraction", "column": "sharpness", "fraction": 0.7},
        {"step": "stages.select.balance.ClusterCap", "column": "caption_words", "cap": 9},
    ]
    return write_recipe(signals=signals, facts=facts, select=select)


def digests(root: Path) -> dict[str, str]:
    """Every file of ledger and facts."""
    files = [*root.glob("runs/*/ledger/*"), *root.glob("pool/*/facts/*/*.parquet")]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


def test_partitions_and_workers_do_not_show(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = curate.run(recipe, root=str(tmp_path / "plain"), executor="inline", quiet=True)
    monkeypatch.setattr(regroup, "PARTITION_ROWS", 16)
    cut = curate.run(recipe, root=str(tmp_path / "cut"), executor="inline", quiet=True)
    monkeypatch.setattr(regroup, "WORKER_ROWS", 0)
    monkeypatch.setattr("curate.executors.ray.WINDOW", 7)
    spread = curate.run(recipe, root=str(tmp_path / "ray"), executor="ray", workers=2, quiet=True)
    assert plain["kept"] == cut["kept"] == spread["kept"] > 0
    assert digests(tmp_path / "plain") == digests(tmp_path / "cut") == digests(tmp_path / "ray")
    assert not list(tmp_path.glob("*/runs/*/scratch/*"))


def test_what_a_killed_run_left_is_garbage(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write("runs/a/scratch/b/0/split-00000000.arrow", b"left")
    assert collect_garbage(str(tmp_path))["files"] == ["runs/a/scratch/b/0/split-00000000.arrow"]
    assert not storage.exists("runs/a/scratch/b/0/split-00000000.arrow")


def test_repeated_uids_are_counted_whatever_their_shard(
    write_recipe: Write, tars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regroup, "PARTITION_ROWS", 16)
    folder = tmp_path / "twice"
    folder.mkdir()
    for name in ("00000.tar", "00007.tar"):
        shutil.copy(tars / "00000.tar", folder / name)
    recipe = write_recipe(pool={"step": "stages.ingest.webdataset.Webdataset", "path": f"{folder}/*.tar"})
    result = curate.run(recipe, root=str(tmp_path / "root"), executor="inline", quiet=True)
    assert curate.open_run(result["run"]).manifest["duplicate_uids"] == 40
