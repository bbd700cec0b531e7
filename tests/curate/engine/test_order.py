"""The order of rules and of signals: what is cheap comes first, and must not show in the outcome."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import curate

Write = Callable[..., Path]
RULES: tuple[dict[str, Any], ...] = (
    {"step": "filters.image.Sharpness", "min": 10.5},
    {"step": "filters.image.AspectRatio", "max": 1.075},
    {"step": "filters.text.CaptionLength", "min_words": 3},
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_rules_in_any_order_keep_the_same(write_recipe: Write, tmp_path: Path, order: tuple[int, ...]) -> None:
    """Also where a rule on pixels stands before one on captions, whose facts come first."""
    fates = {}
    for compute in ("needed", "all"):
        recipe = write_recipe(compute=compute, select=[RULES[i] for i in order])
        result = curate.run(recipe, root=str(tmp_path / compute), executor="inline", quiet=True)
        ledger = curate.open_run(result["run"]).ledger()
        fates[compute] = ledger.select(["key", "fate", "rule", "value"]).to_pylist()
        assert result["kept"] > 0
        assert min(result["dropped"].values()) > 0
    assert fates["needed"] == fates["all"]


@pytest.mark.parametrize(
    "column", ["sharpness", "caption_words", "width", pytest.param("similarity", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("compute", ["needed", "all"])
def test_a_signal_reads_what_another_saw(
    write_recipe: Write, root: str, compute: str, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of captions, of headers, of pixels or of a model: without an image of its own it is computed after it."""
    if column == "similarity":
        pytest.importorskip("timm")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "plugins")
    signals = ["image.Header", "image.Pixels", "text.CaptionStats"]
    if column == "similarity":
        signals.append("similarity.ClipScore")
    steps = [{"step": f"stages.signals.{name}"} for name in signals]
    doubled = {"step": "column_steps.Doubled", "column": column}
    select = [{"step": "filters.similarity.Similarity", "column": "doubled", "min": -9.0}]
    recipe = write_recipe(compute=compute, signals=[doubled, *steps], select=select)
    result = curate.run(recipe, root=root, executor="inline", quiet=True, plugins=("column_steps",))
    assert result["kept"] == 119
    run = curate.open_run(result["run"])
    monkeypatch.setenv("CURATE_PLUGINS", "column_steps")
    table = run.table(column, "doubled", "fate").to_pylist()
    assert all(row["doubled"] == pytest.approx(2 * row[column]) for row in table if row["fate"] == "kept")
