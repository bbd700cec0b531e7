"""Alt-text pairs from the archives that documents come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import curate
from benchmarks.data.warcs import Response, write_warc
from curate.schema import INDEX
from curate.verify import verify
from stages.ingest import alttext, documents
from stages.ingest.alttext import PagesAltText, WarcAltText
from stages.ingest.warc import Warc

SAMPLE = Path(__file__).parents[3] / "manifests/sample/documents"
PAGE = b"""<html lang=de><title>t</title><p>words</p><img src=/a.jpg alt="a red one"><img src=/a.jpg alt="the same, red">
<img src=/b.jpg alt=""><img src=/c.jpg><img src=/none.jpg alt="gone">"""


def test_every_image_with_an_alt_text_is_a_pair(tmp_path: Path, images: dict[str, bytes]) -> None:
    pictures = [Response(f"http://h.example/{name}", data, "image/jpeg") for name, data in images.items()]
    archive = tmp_path / "x.warc.gz"
    cut = Response("http://h.example/cut", b"\x1f\x8b", headers=("Content-Encoding: gzip",))
    write_warc([Response("http://h.example/p", PAGE), cut, *pictures], archive)
    source, target = WarcAltText(path=str(archive)), tmp_path / "x.tar"
    assert not source.documents
    table = source.ingest(source.units()[0], target).rows
    assert table.schema == INDEX
    first, second, gone, page = table.to_pylist()
    assert [row["text"] for row in (first, second, gone)] == ["a red one", "the same, red", "gone"]
    assert first["key"] == "00000000/0000" and first["uid"] != second["uid"]
    assert (first["offset"], first["ext"]) == (second["offset"], "jpg")
    assert target.read_bytes()[first["offset"] : first["offset"] + first["size"]] == images["a.jpg"]
    meta = json.loads(first["meta"])
    assert (meta["page"], meta["language"], meta["archive"]) == ("http://h.example/p", "de", "x.warc.gz")
    assert (gone["url"], gone["error"]) == ("http://h.example/none.jpg", "missing image: not in the archive")
    assert (page["url"], page["error"]) == ("http://h.example/cut", "gzip content is cut off")


def test_pairs_and_documents_of_the_sample_agree(tmp_path: Path) -> None:
    for number in range(3):
        path = str(SAMPLE / f"{number:05d}.warc.gz")
        documents, pairs = (
            source.ingest(source.units()[0], tmp_path / "x.tar").rows.to_pylist()
            for source in (Warc(path=path), WarcAltText(path=path))
        )
        named = [
            (row["text"], row["url"], row["sha256"]) for row in documents if row["kind"] == "image" and row["text"]
        ]
        assert named == [(row["text"], row["url"], row["sha256"]) for row in pairs]
        assert len(named) >= 8


def test_what_every_pair_says_of_its_page_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "x.warc.gz"
    long = b"<html lang='" + b"x" * 10_000 + b"'>" + b"<img src=a alt=b>" * 100
    write_warc([Response(f"http://h.example/{number}", long) for number in range(3)], archive)
    source = WarcAltText(path=str(archive))

    def rows() -> list[dict[str, Any]]:
        return source.ingest(source.units()[0], tmp_path / "x.tar").rows.to_pylist()

    assert sum(len(row["meta"]) for row in rows()) < 300 * 300
    monkeypatch.setattr(alttext, "MAX_CHARACTERS", 50_000)  # a page has 23,000
    assert [len(row["text"] or "") for row in rows()] == [1] * 200 + [0]
    assert rows()[-1]["error"] == documents.FULL


def test_pairs_of_a_folder(tmp_path: Path, images: dict[str, bytes]) -> None:
    root = tmp_path / "site"
    root.mkdir()
    (root / "p.html").write_bytes(PAGE)
    (root / "a.jpg").write_bytes(images["a.jpg"])
    source = PagesAltText(path=str(root))
    found = source.ingest(source.units()[0], tmp_path / "x.tar").rows.to_pylist()
    assert [(row["text"], row["error"]) for row in found] == [
        ("a red one", None),
        ("the same, red", None),
        ("gone", "missing image: none.jpg"),
    ]


def test_the_pair_pipeline_runs_over_them(tmp_path: Path) -> None:
    recipe = {
        "name": "pairs",
        "pool": {"step": "stages.ingest.alttext.WarcAltText", "path": str(SAMPLE)},
        "signals": [{"step": "stages.signals.image.Header"}, {"step": "stages.signals.text.CaptionStats"}],
        "select": [
            {"step": "filters.image.Resolution", "min_side": 100},
            {"step": "filters.text.CaptionLength", "min_words": 2},
        ],
        "export": {"formats": [{"step": "stages.export.webdataset.Webdataset"}]},
    }
    path = tmp_path / "pairs.yaml"
    path.write_text(yaml.safe_dump(recipe))
    run = curate.open_run(curate.run(path, root=str(tmp_path / "root"), executor="inline", quiet=True)["run"])
    assert verify(run) == []
    rows = run.table("text", "fate", "width").to_pylist()
    kept = [row for row in rows if row["fate"] == "kept"]
    assert len(rows) >= 40 and len(kept) >= 30
    assert all(row["width"] >= 100 and len(row["text"].split()) >= 2 for row in kept)
