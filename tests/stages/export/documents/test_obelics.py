"""Parquet of OBELICS' columns: what its card promises, what `datasets` and pyarrow read."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from curate.contracts import Record
from stages.export.documents import obelics
from stages.export.documents.obelics import ObelicsParquet, documents_in
from tests.stages.export.documents.pages import document, documents


def check(row: dict[str, object], record: Record) -> None:
    """The card's promises, for one document."""
    images, texts = row["images"], row["texts"]
    assert isinstance(images, list)
    assert isinstance(texts, list)
    metadata = json.loads(str(row["metadata"]))
    assert len(images) == len(texts) == len(metadata) == len(record.nodes)
    for image, text, about, node in zip(images, texts, metadata, record.nodes, strict=True):
        assert (image is None) != (text is None)
        assert (about is None) == (image is None)
        if node.kind == "text":
            assert text == node.text
        else:
            assert image == (node.meta["url"] or f"uid:{node.uid}")
            assert (about["document_url"], about["alt_text"]) == (record.meta["url"], node.text)
            size = Image.open(io.BytesIO(node.image)).size
            assert (about["original_width"], about["original_height"]) == size
    general = json.loads(str(row["general_metadata"]))
    assert general == {"url": record.meta["url"], "title": record.text, "joint": None}


def test_words_of_file_names(tmp_path: Path) -> None:
    record = document(1, [None, None])
    named, unnamed = record.nodes
    named = replace(named, meta=named.meta | {"url": "https://example.org/a/harbour-at_night-640x480.jpg"})
    ObelicsParquet().write([replace(record, nodes=(named, unnamed))], tmp_path / "a.parquet")
    (row,) = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [about["formatted_filename"] for about in json.loads(row["metadata"])] == ["harbour at night", None]


def test_pyarrow_reads_the_columns_of_the_card(tmp_path: Path) -> None:
    records = documents()
    ObelicsParquet().write(records, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.names[:4] == ["images", "texts", "metadata", "general_metadata"]
    for row, record in zip(table.to_pylist(), records, strict=True):
        check(row, record)
        assert [n["tag"] for n in json.loads(row["nodes"])] == [node.meta["tag"] for node in record.nodes]
        assert [f["bytes"] for f in row["image_files"]] == [n.image for n in record.nodes if n.kind == "image"]


def test_datasets_loads_it_with_its_images(tmp_path: Path) -> None:
    import datasets

    records = documents()
    ObelicsParquet().write(records[:6], tmp_path / "00000000.parquet")
    ObelicsParquet().write(records[6:], tmp_path / "00000001.parquet")
    found = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(found.features["image_files"].feature, datasets.Image)
    for row, record in zip(found, records, strict=True):
        check(row, record)
        sizes = [Image.open(io.BytesIO(node.image)).size for node in record.nodes if node.kind == "image"]
        assert [picture.size for picture in row["image_files"]] == sizes


def test_row_groups_end_by_documents_and_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ObelicsParquet().write([document(i, ["x"]) for i in range(250)], tmp_path / "a.parquet")
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [100, 100, 50]
    records = [document(i, [None, None]) for i in range(6)]
    monkeypatch.setattr(obelics, "BYTES", 2 * sum(len(node.image) for node in records[0].nodes))
    ObelicsParquet().write(records, tmp_path / "b.parquet")
    assert pq.ParquetFile(tmp_path / "b.parquet").num_row_groups > 1
    assert [uid for uid, _ in documents_in((tmp_path / "b.parquet").read_bytes())] == [r.uid for r in records]


def test_what_verify_reads(tmp_path: Path) -> None:
    records = documents()
    ObelicsParquet().write(records, tmp_path / "a.parquet")
    expected = [(record.uid, tuple(node.uid for node in record.nodes)) for record in records]
    assert list(documents_in((tmp_path / "a.parquet").read_bytes())) == expected
