"""What the command line prints: how runs stand, whatever became of their drivers, and what-if where rows are open."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import curate
from curate.cli import app
from curate.describe import entered_text, run_text, status_rows, status_text, whatif_text
from curate.errors import CurateError, RunError
from curate.funnel import Funnel
from curate.lock import RunLock
from curate.storage import Storage

Write = Callable[..., Path]
PLUGINS = Path(__file__).parent / "plugins"


def lines(text: str) -> list[str]:
    """Without the spaces that make columns of them."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_start_that_failed_hides_no_run(write_recipe: Write, root: str) -> None:
    curate.run(write_recipe(), root=root, executor="inline", quiet=True)
    nowhere = {"step": "stages.ingest.webdataset.Webdataset", "path": "/nowhere/*.tar"}
    with pytest.raises(CurateError, match="nowhere"):
        curate.run(write_recipe(name="bad", pool=nowhere), root=root, executor="inline", quiet=True)
    (Path(root) / "runs" / "bad").mkdir(exist_ok=True)
    assert [row["run"] for row in status_rows(None, root)] == ["small"]
    with pytest.raises(RunError, match=r"There are: small\.$"):
        status_rows("bad", root)


def test_a_killed_run_is_interrupted_and_says_what_it_lacks(write_recipe: Write, root: str) -> None:
    recipe = write_recipe(signals=[{"step": "deadly_steps.PowerCut"}], select=[])
    script = f"import sys; sys.path.insert(0, {str(PLUGINS)!r}); from curate.cli import main; main()"
    line = [sys.executable, "-c", script, "run", str(recipe), "--root", root, "--executor", "inline"]
    dead = subprocess.run([*line, "--plugins", "deadly_steps"], capture_output=True, timeout=120, check=False)
    assert dead.returncode == -9
    assert Storage(root).exists("runs/small/lock")
    (row,) = status_rows(None, root)
    assert (row["status"], row["locked"]) == ("interrupted", False)
    assert lines(status_text([row])) == ["small interrupted no ledger yet"]
    with RunLock(Storage(root), "runs/small/lock"):
        assert [(row["status"], row["locked"]) for row in status_rows("small", root)] == [("running", True)]
    told = CliRunner().invoke(app, ["explain", f"{root}/runs/small", "00ab"])
    assert isinstance(told.exception, RunError)
    assert "has no ledger" in str(told.exception)


def test_kinds_are_never_added_up() -> None:
    def counts(entered: int, kept: int, dropped: int) -> dict[str, object]:
        return {"entered": entered, "kept": kept, "dropped": {"short": dropped}, "failed": {}}

    manifest = {"entered": 35, "kinds": {"document": counts(1, 1, 0), "text": counts(30, 20, 10)}}
    assert entered_text(manifest) == "1 document, 30 texts"
    assert entered_text({"entered": 1200, "kinds": {}}) == "1,200 records"
    kinds = {"document": {"entered": 2, "kept": 1, "dropped": 1, "failed": 0}}
    kinds["text"] = {"entered": 30, "kept": 20, "dropped": 8, "failed": 2}
    said = lines(status_text([{"run": "pages", "status": "complete", "locked": False, "entered": 32, "kinds": kinds}]))
    assert said[0] == "pages complete entered 2 = kept 1 + dropped 1 + failed 0 (documents)"
    assert said[1] == "entered 30 = kept 20 + dropped 8 + failed 2 (texts)"
    assert len(said) == 2


def test_a_run_that_keeps_nothing_names_no_folder(write_recipe: Write, root: str) -> None:
    export = {"formats": [{"step": "stages.export.webdataset.Webdataset"}]}
    none = [{"step": "filters.text.CaptionLength", "min_words": 99}]
    said = run_text(curate.run(write_recipe(export=export, select=none), root=root, executor="inline", quiet=True))
    assert "webdataset nothing, since none is kept" in lines(said)


def test_what_is_open_is_a_range(write_recipe: Write, root: str) -> None:
    run = curate.open_run(curate.run(write_recipe(), root=root, executor="inline", quiet=True)["run"])
    setting = "select.0.min_words=2"
    after = run.whatif([setting])
    said = lines(whatif_text(run.funnel(), after))
    assert "open 0 21" in said
    assert f"kept {run.funnel().kept} {after.kept} to {after.kept + 21}" in said
    told = CliRunner().invoke(app, ["whatif", f"{root}/runs/small", "--set", setting, "--json"])
    assert json.loads(told.stdout.splitlines()[-1])["open"] == 21


def test_what_is_open_is_told_by_kind_and_counted_once() -> None:
    """An open document lacks two facts, and leaves its texts open, which lack none: nothing of this is summed."""
    document = Funnel(3, 2, {"short": 0}, {}, {"fit": 1, "order": 1}, open=1)
    text = Funnel(9, 4, {"short": 2}, {}, {}, open=3)
    after = Funnel(12, 6, {"short": 2}, {}, {"fit": 1, "order": 1}, {"document": document, "text": text}, 4)
    before = replace(after, kinds={kind: Funnel(n.entered, n.entered, {}, {}, {}) for kind, n in after.kinds.items()})
    said = lines(whatif_text(before, after))
    assert "kept 3 2 to 3 9 4 to 7" in said
    assert said[-3] == "open for want of fit: 1 document"
    assert "between" not in "".join(said)
    assert asdict(after)["kinds"]["text"]["open"] == 3
