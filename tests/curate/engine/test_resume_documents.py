"""Documents: killed anywhere or not, one worker or two, Ray or inline, whole archives or parts of them: the same bytes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

import curate
from curate.verify import verify
from tests.curate.engine.test_resume import command, finish, inline_seconds, kill_repeatedly, outcome

SAMPLE = Path(__file__).parents[3] / "manifests/sample/documents"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of every kind of step over the embedded archives, cut into eleven parts, of which two hold no page."""
    steps: dict[str, Any] = {
        "name": "small",
        "chunk_rows": 100,
        "pool": {"step": "stages.ingest.warc.Warc", "path": str(SAMPLE), "megabytes_per_shard": 0.4},
        "signals": [
            {"step": "stages.signals.image.Header"},
            {"step": "stages.signals.hashes.PHash"},
            {"step": "stages.signals.text.CaptionStats", "on": "text"},
        ],
        "facts": [
            {"step": "stages.select.dedup.Duplicates", "by": "phash", "distance": 4, "best": "megapixels"},
            {"step": "stages.documents.counts.Counts"},
        ],
        "select": [
            {"step": "filters.image.Resolution", "min_side": 60},
            {"step": "stages.select.dedup.OnePerGroup", "on": "image"},
            {"step": "filters.text.CaptionLength", "on": "text", "min_words": 3},
            {"step": "filters.thresholds.Within", "column": "document_images", "min": 1},
        ],
        "export": {
            "samples_per_shard": 5,
            "formats": [
                {"step": "stages.export.documents.webdataset.Webdataset"},
                {"step": "stages.export.documents.obelics.ObelicsParquet"},
            ],
        },
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(steps))
    return path


def pool(root: str) -> dict[str, bytes]:
    """Index, images and facts of the pool."""
    files = [*Path(root).rglob("pool/**/*.parquet"), *Path(root).rglob("pool/**/*.tar")]
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(files)}


def execute(recipe: Path, root: Path, **settings: Any) -> str:
    done = curate.run(recipe, root=str(root), quiet=True, **settings)
    assert verify(curate.open_run(done["run"])) == []
    return str(root)


@pytest.mark.slow
def test_killed_or_not(recipe: Path, tmp_path: Path) -> None:
    undisturbed = execute(recipe, tmp_path / "undisturbed", executor="inline")
    begun, done = inline_seconds(recipe, tmp_path)
    root = str(tmp_path / "killed")
    line = command(recipe, root, "--executor", "inline")
    draw = random.Random(11)
    assert kill_repeatedly(line, [draw.uniform(begun, done) for _ in range(10)], lambda pid: pid) >= 2
    finish(line)
    assert outcome(root) == outcome(undisturbed) and len(outcome(root)) > 9
    assert pool(root) == pool(undisturbed)


@pytest.mark.slow
def test_ray_and_inline(recipe: Path, tmp_path: Path) -> None:
    inline = execute(recipe, tmp_path / "inline", executor="inline")
    for workers in (1, 2):
        ray = execute(recipe, tmp_path / f"ray{workers}", executor="ray", workers=workers)
        assert outcome(ray) == outcome(inline)
        assert pool(ray) == pool(inline)


def test_how_archives_are_cut_does_not_show_in_what_is_said_of_a_node(recipe: Path, tmp_path: Path) -> None:
    fates = []
    for size in (0.4, 32):
        root = execute(recipe, tmp_path / str(size), executor="inline", overrides=[f"pool.megabytes_per_shard={size}"])
        rows = curate.open_run("small", root).ledger().sort_by("uid")
        fates.append(rows.select(["uid", "fate", "rule", "error", "times"]).to_pylist())
    assert fates[0] == fates[1]
    assert {row["fate"] for row in fates[0]} == {"kept", "dropped"}
