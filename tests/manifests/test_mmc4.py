"""MMC4's recipe on an embedded archive: every image that is left stands right before its sentence."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.verify import verify

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ("facts.2.mode=default", "facts.2.no_match=0.28", "pool.name=mmc4")


def documents(root: Path, run: str) -> list[dict[str, Any]]:
    """The exported JSON of each document."""
    found = []
    for path in sorted((root / "runs" / run / "export" / "documents").glob("*.tar")):
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None and member.name.endswith(".json"):
                    found.append(json.loads(file.read()))
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_images_stand_before_their_sentences(tmp_path: Path) -> None:
    recipe = str(ROOT / "manifests/documents/mmc4.yaml")
    pool = f"pool.path={ROOT}/manifests/sample/documents/00000.warc.gz"
    matched = {}
    for name, changes in (("mmc4", ()), ("free", DEFAULT)):
        overrides = ["pool.name=mmc4", pool, *changes]
        curate.run(recipe, root=str(tmp_path), executor="inline", overrides=overrides, name=name, quiet=True)
        assert verify(curate.open_run(name, str(tmp_path))) == []
        exported = documents(tmp_path, name)
        matched[name] = [node["meta"]["matched_sim"] for page in exported for node in page["nodes"] if "file" in node]
        for page in exported:
            texts = 0
            for node in page["nodes"]:
                if node["kind"] == "image":
                    assert node["meta"]["matched_text_index"] == texts
                    assert node["meta"]["matched_sim"] <= node["meta"]["best_sim"]
                texts += node["kind"] == "text"
    assert len(matched["mmc4"]) > len(matched["free"]) > 0
    assert min(matched["mmc4"]) < 0.28 < min(matched["free"])
