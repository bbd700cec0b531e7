"""The code of docs/export.md runs as it is written, in a folder of shards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from curate.contracts import Record
from stages.export.ffcv import Ffcv
from stages.export.parquet import Parquet
from stages.export.webdataset import Webdataset

PAGE = Path(__file__).parents[3] / "docs" / "export.md"
EXPORTERS = {"webdataset": Webdataset(), "FFCV": Ffcv(), "Parquet": Parquet()}


def code(section: str) -> str:
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # numba's, when it frees compiled loops
@pytest.mark.parametrize("section", ["webdataset", pytest.param("FFCV", marks=pytest.mark.slow), "Parquet"])
def test_every_snippet_runs(
    tmp_path: Path, records: list[Record], monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    exporter = EXPORTERS[section]
    exporter.write(records, tmp_path / f"00000000{exporter.suffix}")
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    exec(compile(code(section), str(PAGE), "exec"), found)
    if section == "webdataset":
        assert (found["caption"], found["meta"]["uid"]) == (records[0].text, records[0].uid)  # type: ignore[index]
    elif section == "FFCV":
        assert set(found["texts"]) <= {r.text for r in records}  # type: ignore[call-overload]
    else:
        assert found["table"].to_pylist() == [{"uid": r.uid, "text": r.text} for r in records]  # type: ignore[attr-defined]
