"""Equal records give equal bytes: twice, under any file name, and in another process."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import pytest

from curate.contracts import Exporter, Record
from stages.export.documents.obelics import ObelicsParquet
from stages.export.documents.packed import Packed
from stages.export.documents.webdataset import Webdataset as Documents
from stages.export.ffcv import Ffcv
from stages.export.parquet import Parquet
from stages.export.webdataset import Webdataset
from tests.stages.export.documents.pages import documents

OF_DOCUMENTS = [Documents(), Documents(max_side=32), ObelicsParquet(), Packed(length=128)]
EXPORTERS = [Webdataset(), Webdataset(max_side=32), Ffcv(), Ffcv(write_mode="jpg"), Parquet()]


def digest(exporter: Exporter, records: list[Record], path: Path) -> str:
    exporter.write(records, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda e: f"{e.format}-{e.model_dump(exclude_defaults=True)}")
def test_twice(tmp_path: Path, records: list[Record], exporter: Exporter) -> None:
    first = digest(exporter, records, tmp_path / "first")
    assert digest(exporter, records, tmp_path / "another name") == first
    assert digest(exporter, records[::-1], tmp_path / "third") != first


@pytest.mark.parametrize("exporter", OF_DOCUMENTS, ids=lambda e: f"{e.format}-{e.model_dump(exclude_defaults=True)}")
def test_documents_twice(tmp_path: Path, exporter: Exporter) -> None:
    first = digest(exporter, documents(), tmp_path / "first")
    assert digest(exporter, documents(), tmp_path / "another name") == first
    assert digest(exporter, documents()[::-1], tmp_path / "third") != first


@pytest.mark.parametrize(
    "exporters",
    [
        [e for e in EXPORTERS if not isinstance(e, Ffcv)],
        pytest.param(EXPORTERS, marks=pytest.mark.slow),  # a second process that imports ffcv, torch and numba
    ],
)
def test_in_another_process(tmp_path: Path, records: list[Record], exporters: list[Exporter]) -> None:
    mine = [digest(e, records, tmp_path / f"{i}") for i, e in enumerate(exporters)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        jobs = [(e, records, tmp_path / f"other {i}") for i, e in enumerate(exporters)]
        assert pool.starmap(digest, jobs) == mine


def test_documents_in_another_process(tmp_path: Path) -> None:
    mine = [digest(e, documents(), tmp_path / f"{i}") for i, e in enumerate(OF_DOCUMENTS)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        jobs = [(e, documents(), tmp_path / f"other {i}") for i, e in enumerate(OF_DOCUMENTS)]
        assert pool.starmap(digest, jobs) == mine
