"""The recipes in the documentation are recipes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from curate.recipe import build_recipe

PAGE = Path(__file__).parents[3] / "docs" / "ingest.md"
SNIPPETS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_there_is_one_for_each_source() -> None:
    assert len(SNIPPETS) == 3


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_are_valid(snippet: str) -> None:
    data = yaml.safe_load(snippet)
    recipe = build_recipe(data, file="docs/ingest.md")
    given = {name for name in data["pool"] if name != "step"}
    assert given <= recipe.source.model_fields_set and recipe.pool == data["name"]
