"""The default recipes of documents on the embedded pages: every row one fate, by the rule that says why."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.verify import verify

ROOT = Path(__file__).resolve().parents[2]


def run(recipe: str, root: Path, *overrides: str) -> tuple[curate.Run, dict[str, Any]]:
    result = curate.run(ROOT / recipe, root=str(root), executor="inline", overrides=overrides, quiet=True)
    return curate.open_run(result["run"]), result


def fates(found: curate.Run) -> dict[str, Counter[str]]:
    """Kind -> how many rows each rule dropped, and how many were kept or failed."""
    counts: dict[str, Counter[str]] = {}
    for row in found.table("kind", "fate", "rule").to_pylist():
        counts.setdefault(row["kind"], Counter())[row["rule"] or row["fate"]] += 1
    return counts


@pytest.mark.timeout(120)
def test_content_images_and_their_captions(tmp_path: Path) -> None:
    found, result = run("manifests/documents/images.yaml", tmp_path)
    assert fates(found)["image"] == {"icon": 24, "repeated": 24, "kept": 58}
    assert verify(found) == []
    (shard,) = result["exports"]["documents"]
    with tarfile.open(shard) as tar:
        first = next(member for member in tar if member.name.endswith(".json"))
        record = json.load(io.BytesIO(tar.extractfile(first).read()))  # type: ignore[union-attr]
    images = [node for node in record["nodes"] if node["kind"] == "image"]
    assert images
    assert all({"image_caption", "image_pages"} <= set(node["meta"]) for node in images)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_default_recipe(tmp_path: Path) -> None:
    found, _ = run("manifests/documents/default.yaml", tmp_path)
    counts = fates(found)
    assert sum(map(Counter.total, counts.values())) == 24 + 826 + 106
    assert counts["image"]["icon"] == counts["image"]["repeated image"] == 24
    assert counts["text"]["text around the page"] == 40  # two in each of 20 footers
    assert counts["document"]["images"] == 1  # values.html shows logos only
    assert counts["document"]["kept"] >= 18
    assert verify(found) == []
    rows = found.table("uid", "kind", "rule", "tag", "text").to_pylist()
    note = next(row for row in rows if row["rule"] == "repeated text")
    (fate,) = [entry for entry in found.explain(note["uid"].hex()) if entry["rule"] == "repeated text"]
    assert fate["facts"]["text_pages"] >= 5
    said = [row["text"] for row in rows if row["rule"] == "link"]
    assert "- Gallery" in said and not any("histogram" in text for text in said if text.startswith("We "))
