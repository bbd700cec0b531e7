"""2,000 JPEGs of which one is not a JPEG: 1,999 go on, one failed with its error, and the exit code is 0."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import curate
from curate.verify import verify

BAD = 1234


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe over a folder of 2,000 files with a table of captions."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["file,text"]
    for number in range(2000):
        out = io.BytesIO()
        pixels = np.random.default_rng(number).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(out, "JPEG")
        (folder / f"{number:04d}.jpg").write_bytes(b"<html>404</html>" if number == BAD else out.getvalue())
        lines.append(f"{number:04d}.jpg,picture number {number}")
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")
    path = tmp_path / "folder.yaml"
    pool = {"step": "stages.ingest.folder.Folder", "path": str(folder), "captions": str(folder / "captions.csv")}
    export = {"formats": [{"step": "stages.export.webdataset.Webdataset"}]}
    path.write_text(yaml.safe_dump({"name": "folder", "pool": pool, "export": export}))
    return path


def test_one_bad_file_fails_alone(recipe: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    line = [sys.executable, "-m", "curate.cli", "run", str(recipe), "--root", root, "--executor", "inline", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["entered"], result["kept"], result["dropped"]) == (2000, 1999, {})
    ((error, count),) = result["failed"].items()
    assert count == 1
    assert "not an image" in error
    opened = curate.open_run(result["run"])
    failed = [row for row in opened.ledger().to_pylist() if row["fate"] == "failed"]
    assert [row["key"] for row in failed] == [f"{BAD:04d}"]
    assert opened.explain(failed[0]["uid"].hex())[0]["error"] == error
    assert verify(opened) == []
