"""A sample's fate with the facts behind it: all that the steps say whose columns the rule read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import curate
from curate.describe import fate_text
from curate.inspect import Run

Write = Callable[..., Path]


@pytest.fixture
def learned(write_recipe: Write, root: str, tmp_path: Path) -> Run:
    """A run that keeps the better half by a quality learned from the numbers of words."""
    labels = tmp_path / "labels.csv"
    rows = [f"{shard:03d}{n:05d},{int(1 + n % 6 >= 4)}" for shard in range(3) for n in range(0, 40, 2)]
    labels.write_text("\n".join(["key,label", *rows]) + "\n")
    fact = {"step": "stages.select.quality.Quality", "labels": str(labels), "by": "key", "features": ["caption_words"]}
    best = {"step": "stages.select.top.TopFraction", "name": "best", "column": "quality", "fraction": 0.5}
    recipe = write_recipe(compute="all", facts=[fact], select=[best])
    return curate.open_run(curate.run(recipe, root=root, executor="inline", quiet=True)["run"])


def test_a_learned_quality_comes_with_its_parts(learned: Run) -> None:
    table = learned.table("uid", "fate", "caption_words").to_pylist()
    dropped = next(row for row in table if row["fate"] == "dropped")
    (fate,) = learned.explain(dropped["uid"].hex())
    assert set(fate["facts"]) == {"quality", "quality_caption_words", "quality_prior", "quality_auc"}
    assert fate["facts"]["quality"] < 0.5
    assert fate["facts"]["quality_caption_words"] < 0
    assert f"quality_auc={fate['facts']['quality_auc']:.4g}" in fate_text(fate)
    kept = next(row for row in table if row["fate"] == "kept")
    (fate,) = learned.explain(kept["uid"].hex())
    assert fate["facts"]["quality_caption_words"] > 0
    failed = next(row for row in table if row["fate"] == "failed")
    assert "facts" not in learned.explain(failed["uid"].hex())[0]


def test_the_fate_stays_known_when_the_labels_are_gone(learned: Run, tmp_path: Path) -> None:
    uid = learned.ledger()["uid"][0].as_py().hex()
    (tmp_path / "labels.csv").unlink()
    (fate,) = curate.open_run(f"{learned.storage.root}/{learned.folder}").explain(uid)
    assert fate["fate"] in ("kept", "dropped")
    assert "facts" not in fate
