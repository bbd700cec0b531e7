"""Subset files: what a run keeps, sorted out of core, and a column of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.errors import EnvironmentFault, RunError
from curate.inspect import Run
from curate.schema import uid_words
from curate.subset import read_subset, write_column, write_sorted, write_subset
from filters.subset import PAIR

Write = Callable[..., Path]
UIDS = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=40)
NARROW = st.lists(st.tuples(st.just(7), st.integers(0, 3)), max_size=40)


def words(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, np.uint64).reshape(-1, 2)


@given(UIDS | NARROW, st.integers(1, 12), st.integers(1, 4))
@settings(max_examples=60)
def test_a_file_is_sorted_whatever_its_parts(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[int, int]], bucket: int, parts: int
) -> None:
    path = tmp_path_factory.mktemp("subset") / "subset.npy"
    assert write_sorted(lambda: np.array_split(words(pairs), parts), path, bucket) == len(pairs)
    assert read_subset(path).tolist() == [list(pair) for pair in sorted(pairs)]
    assert np.load(path).dtype == PAIR


def test_memory_stays_with_the_bucket(tmp_path: Path) -> None:
    def parts() -> Iterator[np.ndarray]:
        for seed in range(40):
            yield np.random.default_rng(seed).integers(0, 2**64, (25_000, 2), dtype=np.uint64)

    tracemalloc.start()
    assert write_sorted(parts, tmp_path / "big.npy", bucket=50_000) == 1_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6  # the file has 16e6
    found = read_subset(tmp_path / "big.npy")
    high = found[:, 0]
    assert (high[1:] >= high[:-1]).all()


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def parts() -> Iterator[np.ndarray]:
        yield words([(1, 2)])
        raise RuntimeError("the ledger is gone")

    with pytest.raises(RuntimeError):
        write_sorted(parts, tmp_path / "subset.npy")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_sorted(lambda: [words([(1, 2)])], tmp_path / "nowhere" / "subset.npy")


@pytest.fixture
def done(write_recipe: Write, root: str) -> str:
    """Folder of a finished run."""
    export = {"formats": [{"step": "stages.export.webdataset.Webdataset"}]}
    return str(curate.run(write_recipe(compute="all", export=export), root=root, executor="inline", quiet=True)["run"])


def test_uids_of_a_run(done: str, tmp_path: Path) -> None:
    run = curate.open_run(done)
    ledger = run.ledger().to_pandas()
    kept = sorted(uid.hex() for uid in ledger[ledger.fate == "kept"].uid)
    assert write_subset(run, tmp_path / "kept.npy") == len(kept) > 0
    found = [f"{high:016x}{low:016x}" for high, low in read_subset(tmp_path / "kept.npy").tolist()]
    assert found == kept


def test_of_documents_their_own_uids(run_documents: Callable[..., Run], tmp_path: Path) -> None:
    run = run_documents("some", words=3, texts=1)
    assert write_subset(run, tmp_path / "kept.npy") == run.funnel().kinds["document"].kept == 3
    table = run.table("uid", "kind", "fate").to_pylist()
    kept = sorted(row["uid"].hex() for row in table if (row["kind"], row["fate"]) == ("document", "kept"))
    assert [f"{high:016x}{low:016x}" for high, low in read_subset(tmp_path / "kept.npy").tolist()] == kept


def test_a_column_of_a_run(done: str, tmp_path: Path) -> None:
    run = curate.open_run(done)
    table = run.table("fate", "caption_chars", "uid").to_pandas()
    assert write_column(run, "caption_chars", tmp_path / "chars.npy") == (table.fate == "kept").sum()
    assert np.load(tmp_path / "chars.npy").tolist() == table[table.fate == "kept"].caption_chars.tolist()
    with pytest.raises(RunError, match="no column 'nothing'"):
        write_column(run, "nothing", tmp_path / "none.npy")
    with pytest.raises(RunError, match="no numbers"):
        write_column(run, "text", tmp_path / "none.npy")


def test_the_command_writes_what_the_filter_keeps(done: str, write_recipe: Write, root: str, tmp_path: Path) -> None:
    out = tmp_path / "kept.npy"
    line = [sys.executable, "-m", "curate.cli", "subset", done, str(out), "--json"]
    result = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == {"path": str(out), "rows": len(read_subset(out))}
    select = [{"step": "filters.subset.InSubset", "path": str(out)}]
    again = curate.run(write_recipe(name="again", select=select), root=root, executor="inline", quiet=True)
    ledger = curate.open_run(again["run"]).ledger()
    kept = uid_words(ledger.filter(np.array(ledger["fate"].to_pylist()) == "kept")["uid"])
    assert sorted(map(tuple, kept.tolist())) == list(map(tuple, read_subset(out).tolist()))
    line[4:] = [done, str(tmp_path / "chars.npy"), "--column", "caption_chars"]
    assert "caption_chars in" in subprocess.run(line, capture_output=True, text=True, timeout=120, check=True).stdout
