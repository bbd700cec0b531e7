"""Tables read part by part say the same as read whole."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import PoolError
from stages.ingest.files import File
from stages.ingest.table import Record, choose, columns, read, split

CELL = st.text(st.sampled_from('ab",\t \r\né'), max_size=5)


def file(path: Path) -> File:
    return File(str(path), path.name, "stamp", path.stat().st_size)


def rows(path: Path, size: int) -> list[Record]:
    parts = split(file(path), size)
    assert [part.first for part in parts] == list(range(0, sum(part.rows for part in parts), size))
    records = [list(read(str(path), part)) for part in parts]
    assert [len(found) for found in records] == [part.rows for part in parts]
    return [record for found in records for record in found]


@given(st.lists(st.tuples(CELL, CELL), max_size=9), st.integers(1, 4), st.sampled_from([("csv", ","), ("tsv", "\t")]))
def test_text_parts_add_up(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]], size: int, form: tuple[str, str]
) -> None:
    path = tmp_path_factory.mktemp("table") / f"x.{form[0]}"
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=form[1]).writerows([("url", "text"), *cells])
    path.write_bytes(buffer.getvalue().encode())
    found = rows(path, size)
    assert [(record.values["url"], record.values["text"]) for record in found] == cells
    assert [record.number for record in found] == list(range(len(cells)))


@given(st.lists(st.tuples(st.text(max_size=3), st.integers()), max_size=30), st.integers(1, 7), st.integers(1, 7))
def test_parquet_parts_add_up(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, int]], size: int, group: int
) -> None:
    path = tmp_path_factory.mktemp("table") / "x.parquet"
    values = [{"url": url, "n": number % 1000} for url, number in cells]
    schema = pa.schema([("url", pa.string()), ("n", pa.int64())])
    pq.write_table(pa.Table.from_pylist(values, schema), path, row_group_size=group)
    found = rows(path, size)
    assert [record.values for record in found] == values
    assert [record.number for record in found] == list(range(len(cells)))


def test_jsonl_rows_that_are_no_json_enter(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"url": "u", "text": "t"}\n\n{bad\n[1]\n{"url": "v"}')
    found = rows(path, 2)
    assert [record.values.get("url") for record in found] == ["u", None, None, "v"]
    assert [record.error and record.error.partition(":")[0] for record in found] == [
        None,
        "row 1 of x.jsonl is no JSON",
        "row 2 of x.jsonl is no JSON",
        None,
    ]


def test_appended_rows_leave_earlier_parts_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("url,text\n" + "u,t\n" * 5)
    before = split(file(path), 2)
    path.write_text(path.read_text() + "u,t\n")
    after = split(file(path), 2)
    assert after[:2] == before[:2] and after[2].stamp != before[2].stamp


def test_short_rows_blank_lines_and_marks(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("\ufeffurl,text\r\nu\r\n\r\nv,t,more\r\n".encode())
    assert columns(str(path)) == ["url", "text"]
    assert [record.values for record in rows(path, 1)] == [{"url": "u"}, {"url": "v", "text": "t"}]


def test_parquet_leaves_blobs_out_and_has_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"url": ["u"], "jpg": [b"\xff"], "boxes": [[1]], "score": [float("nan")]}), path)
    assert [record.values for record in rows(path, 1)] == [{"url": "u", "score": None}]


def test_a_wrong_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("link,capton\nu,t\n")
    with pytest.raises(PoolError, match=r"no column 'url' or 'URL'; it has 'link', 'capton'\. Correct `url_column`"):
        choose(str(path), "url_column", None, ("url", "URL"))
    with pytest.raises(PoolError, match=r"no column 'caption'; .* Did you mean 'capton'\? Correct `text_column`"):
        choose(str(path), "text_column", "caption", ())


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.xlsx", b"", "has to end in .csv, .tsv, .jsonl, .parquet"),
        ("x.parquet", b"no", "no readable Parquet"),
        ("x.csv", b'a,b\n"' + b"x" * 200_000, "line .*: field larger than field limit"),
    ],
)
def test_an_unreadable_table_is_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(PoolError, match=message):
        columns(str(path))
        split(file(path), 10)


def test_values_can_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"file": "a", "text": "t", "nested": {"b": [1]}}) + "\n")
    assert rows(path, 5)[0].values["nested"] == {"b": [1]}
