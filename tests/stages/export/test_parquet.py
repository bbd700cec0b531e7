"""Parquet shards carry what Hugging Face `datasets` needs, and every value comes back."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.contracts import Record
from stages.export.parquet import ROWS, Parquet


def test_everything_comes_back(tmp_path: Path, records: list[Record]) -> None:
    Parquet().write(records, tmp_path / "a.parquet")
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["image"]["bytes"] for row in rows] == [r.image for r in records]
    assert [row["image"]["path"] for row in rows] == [f"{r.key}.{r.ext}" for r in records]
    for row, record in zip(rows, records, strict=True):
        assert {**record.meta, "key": record.key, "text": record.text} == {k: v for k, v in row.items() if k != "image"}


def test_the_image_is_declared_as_hugging_faces_feature(tmp_path: Path, records: list[Record]) -> None:
    Parquet().write(records, tmp_path / "a.parquet")
    schema = pq.read_schema(tmp_path / "a.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}}
    assert schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_row_groups_are_small_and_share_one_type(tmp_path: Path, record: Callable[..., Record]) -> None:
    """A column that is null all through the first row group still has the type of the later ones."""
    given = [record(i, 4, 4) for i in range(2 * ROWS + 1)]
    late = [
        Record(r.key, r.uid, r.image, r.ext, r.text, {"score": 0.5 if i > ROWS else None}) for i, r in enumerate(given)
    ]
    Parquet().write(late, tmp_path / "a.parquet")
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [ROWS, ROWS, 1]
    assert file.schema_arrow.field("score").type == pa.float64()
    assert pq.read_table(tmp_path / "a.parquet")["score"].to_pylist() == [r.meta["score"] for r in late]


def test_a_column_without_a_value_has_its_type_when_it_is_told(tmp_path: Path, record: Callable[..., Record]) -> None:
    """Else `datasets` fails on the first shard that has values: "Couldn't cast array of type double to null"."""
    r = record(0)
    empty = Record(r.key, r.uid, r.image, r.ext, r.text, {"score": None, "phrases": None})
    types = {"score": pa.float32(), "phrases": pa.list_(pa.string()), "elsewhere": pa.int8()}
    exporter = Parquet().typed(types)
    pickle.loads(pickle.dumps(exporter)).write([empty], tmp_path / "a.parquet")  # as it reaches a worker
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert {name: schema.field(name).type for name in ("score", "phrases")} == {
        n: types[n] for n in ("score", "phrases")
    }
    assert "elsewhere" not in schema.names
    Parquet().write([empty], tmp_path / "b.parquet")
    assert pq.read_schema(tmp_path / "b.parquet").field("score").type == pa.null()


def test_what_the_source_said_stays_beside_what_is_exported(tmp_path: Path, record: Callable[..., Record]) -> None:
    r = record(0)
    meta = {"text": "alt-text", "key": "000123", "uid": r.uid, "score": float("nan")}
    Parquet().write([Record(r.key, r.uid, r.image, r.ext, r.text, meta)], tmp_path / "a.parquet")
    row = pq.read_table(tmp_path / "a.parquet").to_pylist()[0]
    assert (row["text"], row["key"], row["image"]["bytes"]) == (r.text, r.key, r.image)
    assert (row["source_text"], row["source_key"], row["score"]) == ("alt-text", "000123", None)
