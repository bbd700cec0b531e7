"""What a recipe exports is checked against what its steps give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.errors import RecipeError
from curate.exportable import check_export
from curate.planner import make_plan
from curate.recipe import build_recipe

ARCHIVES = Path(__file__).parents[2] / "manifests" / "sample" / "documents" / "*.warc.gz"
WARC = {"step": "stages.ingest.warc.Warc", "path": str(ARCHIVES)}
PAIRS = {"step": "stages.ingest.webdataset.Webdataset", "path": "*.tar"}
SIGNALS = [{"step": "stages.signals.image.Header"}, {"step": "stages.signals.text.CaptionStats", "on": "text"}]


def check(pool: dict[str, str], export: dict[str, Any]) -> None:
    signals = SIGNALS if pool is WARC else SIGNALS[:1]
    recipe = build_recipe({"name": "x", "pool": pool, "signals": signals, "export": export})
    check_export(recipe, make_plan(recipe).giver)


@pytest.mark.parametrize(
    ("pool", "export", "said"),
    [
        (WARC, {"meta": ["width"]}, "'width' is about nodes: name it in export.node_meta"),
        (WARC, {"place": "caption_words"}, "no whole numbers about images"),
        (WARC, {"place": "text"}, "no whole numbers about images"),
        (WARC, {"captions": {"url": 1.0}}, "drawn for pairs"),
        (WARC, {"blur": "width"}, "holds no boxes"),
        (PAIRS, {"blur": "text"}, "holds no boxes"),
        (PAIRS, {"node_meta": ["url"]}, "this pool holds pairs"),
        (PAIRS, {"place": "url"}, "this pool holds pairs"),
    ],
)
def test_columns_of_the_wrong_kind_are_refused(pool: dict[str, str], export: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        check(pool, export)


def test_columns_of_the_right_kind_are_taken() -> None:
    check(WARC, {"meta": ["meta", "url"], "node_meta": ["tag", "width", "caption_words"], "place": "width"})
    check(PAIRS, {"meta": ["width"], "captions": {"text": 1.0, "url": 1.0}})
