"""Recipes on one pool share what they compute: each image is embedded once, and once more where its text is covered."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.describe import describe_plan, plan_text

ROOT = Path(__file__).resolve().parents[2]
CLIP, REGIONS, MASKED = (
    f"stages.signals.{name}" for name in ("similarity.ClipScore", "tmars.TextRegions", "tmars.MaskedSimilarity")
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first samples of the embedded sample's first shard."""
    path = tmp_path_factory.mktemp("pool") / "00000.tar"
    with tarfile.open(ROOT / "manifests/sample/00000.tar") as whole, tarfile.open(path, "w") as part:
        for member in whole:
            if member.name < "000000020":
                part.addfile(member, whole.extractfile(member))
    return path


@pytest.fixture(scope="module")
def shared(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """A root, and what puts every recipe on the same small pool."""
    changes = [f"pool.path={pool}", "pool.name=shared", "max_failed=0.5", "export.formats=[]"]
    return str(tmp_path_factory.mktemp("root")), changes


def stored(recipe: Path, shared: tuple[str, list[str]]) -> dict[str, tuple[int, int]]:
    """What `curate plan` says: signal -> rows that are computed already, rows of the pool."""
    plan = describe_plan(str(recipe), shared[0], shared[1], [])
    steps = [step for phase in plan["phases"] for step in phase["steps"]]
    found = {step["label"]: (step["computed"], step["of"]) for step in steps if "computed" in step}
    for label, (computed, rows) in found.items():
        line = next(line for line in plan_text(plan).splitlines() if line.strip().startswith(label))
        assert f"[{computed:,} of {rows:,} computed]" in line
    return found


def run(recipe: Path, shared: tuple[str, list[str]]) -> dict[str, Any]:
    return curate.run(recipe, shared[0], "inline", overrides=shared[1], quiet=True)


def test_each_image_is_embedded_once_and_once_more_masked(shared: tuple[str, list[str]]) -> None:
    names = ("datacomp/clip_score", "laion/laion5b", "tmars/tmars")
    datacomp, laion, tmars = (ROOT / f"manifests/{name}.yaml" for name in names)
    first = run(datacomp, shared)
    rows = first["entered"]
    assert first["computed"][CLIP] == rows
    assert stored(laion, shared)[CLIP] == (rows, rows)
    second = run(laion, shared)
    assert (second["computed"][CLIP], second["reused"][CLIP]) == (0, rows)
    assert stored(tmars, shared) == {CLIP: (rows, rows), REGIONS: (0, rows), MASKED: (0, rows)}
    masked = run(tmars, shared)
    assert {label: n for label, n in masked["computed"].items() if n} == {REGIONS: rows, MASKED: rows}
    assert masked["reused"][CLIP] == rows
    assert stored(tmars, shared) == {label: (rows, rows) for label in (CLIP, REGIONS, MASKED)}
    assert not any(run(datacomp, shared)["computed"].values())
    assert describe_plan(str(tmars), shared[0], shared[1], [])["images_read"] == 0


def test_sieve_and_fusion_find_the_similarity_and_the_captions(shared: tuple[str, list[str]]) -> None:
    sieve, fusion = ROOT / "manifests/sieve.yaml", ROOT / "manifests/fusion.yaml"
    run(sieve, shared)
    known = stored(fusion, shared)
    rows = known[CLIP][1]
    assert known[CLIP] == known["synth.candidates.Candidates"] == (rows, rows)
    assert known["stages.signals.sieve.Sieve"] == (0, rows)  # it takes the phrases out otherwise
