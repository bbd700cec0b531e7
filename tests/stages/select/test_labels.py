"""Labels as users bring them: by uid or key, graded, repeated, and wrong."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import RecipeError
from stages.select.labels import read_labels

UIDS = ["00" * 15 + "01", "ff" * 8 + "00" * 8, "0f" * 16]


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def words(uid: str) -> list[int]:
    return [int(uid[:16], 16), int(uid[16:], 16)]


def test_by_uid_scaled_and_averaged(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", f"uid,grade\n{UIDS[0]},1\n{UIDS[1]},5\n{UIDS[1]},3\n{UIDS[2].upper()},2\n")
    labels = read_labels(path, "uid", "grade")
    rows = {"uid": np.array([words(uid) for uid in [*UIDS[::-1], "ab" * 16]], np.uint64)}
    assert labels.of(rows).tolist()[:3] == [0.25, 0.75, 0.0]
    assert np.isnan(labels.of(rows)[3])


def test_by_key_zeros_stay_and_parquet_is_read_too(tmp_path: Path) -> None:
    rows = {"key": np.array(["0007", "7", None, "b"], object)}
    csv = read_labels(write(tmp_path / "l.csv", "key,label\n0007,1\nb,0\n"), "key", "label")
    pq.write_table(pa.table({"key": ["0007", "b"], "label": [True, False]}), tmp_path / "l.parquet")
    parquet = read_labels(str(tmp_path / "l.parquet"), "key", "label")
    for labels in (csv, parquet):
        assert np.array_equal(labels.of(rows), [1.0, np.nan, np.nan, 0.0], equal_nan=True)


def test_a_long_key_costs_its_own_length_only(tmp_path: Path) -> None:
    keys = [f"{i:04d}" for i in range(2000)]
    path = write(tmp_path / "l.csv", "key,label\n" + "".join(f"{key},{i % 2}\n" for i, key in enumerate(keys)))
    rows = {"key": np.array([*keys, "k" * 50_000, "0001\0"], object)}
    labels = read_labels(path, "key", "label")
    tracemalloc.start()
    found = labels.of(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert np.array_equal(found, [*[float(i % 2) for i in range(2000)], np.nan, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uid,label\nxyz,1\n" + UIDS[0] + ",0\n", "'xyz' is no uid"),
        (f"uid,label\n{UIDS[0]},1\n", "at least two different"),
        (f"uid,label\n{UIDS[0]},1\n{UIDS[1]},\n", "must hold numbers"),
        (f"uid,label\n{UIDS[0]},good\n{UIDS[1]},bad\n", "such as 0 for bad"),
        (f"uid,other\n{UIDS[0]},1\n", "need the columns 'uid' and 'label'"),
        ("uid,label\n", "at least two different"),
        ("", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_labels(write(tmp_path / "l.csv", text), "uid", "label")


def test_no_such_file(tmp_path: Path) -> None:
    for path in (tmp_path / "no.csv", tmp_path / "labels.xlsx"):
        with pytest.raises(RecipeError, match="no file that ends in"):
            read_labels(str(path), "uid", "label")
