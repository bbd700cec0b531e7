"""The code of docs/export-documents.md runs as it is written, in a folder of shards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from curate.contracts import Exporter
from stages.export.documents.obelics import ObelicsParquet
from stages.export.documents.packed import Packed
from stages.export.documents.webdataset import Webdataset
from tests.stages.export.documents.pages import documents

PAGE = Path(__file__).parents[4] / "docs" / "export-documents.md"
EXPORTERS: dict[str, Exporter] = {
    "webdataset": Webdataset(),
    "OBELICS": ObelicsParquet(),
    "Packed": Packed(length=64, image_tokens=4),
}


def run(section: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exporter = EXPORTERS[section]
    exporter.write(documents(), folder / f"00000000{exporter.suffix}")
    monkeypatch.chdir(folder)
    found: dict[str, object] = {}
    exec(compile(snippet, str(PAGE), "exec"), found)
    return found


def test_webdataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = run("webdataset", tmp_path, monkeypatch)["parts"]
    assert isinstance(parts, list)
    last = documents()[-1].nodes
    assert [isinstance(part, Image.Image) for part in parts] == [node.kind == "image" for node in last]


def test_obelics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = run("OBELICS", tmp_path, monkeypatch)["table"]
    assert table.num_rows == len(documents())  # type: ignore[attr-defined]


def test_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("Packed", tmp_path, monkeypatch)
    assert found["mask"].shape == (2, 1, 64, 64)  # type: ignore[attr-defined]
    assert int(found["borders"][-1]) == 128  # type: ignore[index]
