"""Recipes are checked as a whole, and errors name file, line, field and the nearest valid name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curate.errors import RecipeError
from curate.planner import make_plan
from curate.recipe import load_recipe

HEAD = "name: r\npool: {step: stages.ingest.webdataset.Webdataset, path: x.tar}\n"


def check(tmp_path: Path, text: str) -> str:
    """The message of the error that a recipe gives."""
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError) as caught:
        make_plan(load_recipe(file))
    return str(caught.value).replace(str(file), "r.yaml")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (HEAD + "selct: []\n", "r.yaml:3", ["selct", "Did you mean 'select'"]),
        (HEAD + "select:\n  - step: filters.text.CaptionLenght\n", "r.yaml:4", ["filters.text.CaptionLength"]),
        (HEAD + "select:\n  - step: filters.text.CaptionLength\n    min_word: 3\n", "r.yaml:5", ["min_words"]),
        (
            HEAD + "select:\n  - step: filters.text.CaptionLength\n    min_words: many\n",
            "r.yaml:5",
            ["integer", "many"],
        ),
        (HEAD + "select:\n  - min_words: 3\n", "r.yaml:4", ["step"]),
        (
            HEAD + "export:\n  formats:\n" + "    - step: stages.export.parquet.Parquet\n" * 2,
            "r.yaml:6",
            ["share the folder 'parquet'"],
        ),
        (HEAD + "signals:\n  - step: filters.text.Language\n    keep: en\n", "r.yaml:4", ["is no Signal"]),
        (HEAD + "signals:\n  - step: os.path.Signal\n", "r.yaml:4", ["outside stages, filters, synth"]),
        (HEAD + "signals:\n  - step: stages.signals.image.CANONICAL_SIDE\n", "r.yaml:4", ["there is no step"]),
        (HEAD + "seed: -1\n", "r.yaml:3", ["seed", "greater than or equal to 0"]),
        (HEAD + "seed: 1\nseed: 2\n", "r.yaml:4", ["'seed' stands twice"]),
        (HEAD + "seed: [1\n", "r.yaml:", ["expected"]),
        ("name: r\n", "r.yaml:1", ["pool", "required"]),
        ("- a\n", "r.yaml", ["mapping"]),
    ],
)
def test_errors_name_place_and_remedy(tmp_path: Path, text: str, place: str, words: list[str]) -> None:
    message = check(tmp_path, text)
    assert place in message
    for word in words:
        assert word in message


def test_missing_column_names_the_signal_that_gives_it(tmp_path: Path) -> None:
    message = check(tmp_path, HEAD + "select:\n  - step: filters.text.CaptionLength\n    min_words: 3\n")
    assert "caption_words" in message
    assert "stages.signals.text.CaptionStats" in message


def test_two_givers_of_one_column_are_refused(tmp_path: Path) -> None:
    signal = "  - step: stages.signals.image.Header\n"
    assert "rename" in check(tmp_path, HEAD + "signals:\n" + signal * 2)


def test_python_objects_in_yaml_are_refused(tmp_path: Path) -> None:
    assert "could not determine a constructor" in check(tmp_path, "name: !!python/object/apply:os.system ['true']\n")


def test_overrides_reach_lists_and_new_fields(write_recipe: Callable[..., Path]) -> None:
    recipe = load_recipe(write_recipe(), ["select.0.min_words=4", "seed=7", "export.samples_per_shard=5"])
    assert recipe.select[0].min_words == 4  # type: ignore[union-attr]
    assert (recipe.header.seed, recipe.header.export.samples_per_shard) == (7, 5)


@pytest.mark.parametrize("override", ["select.9.min_words=4", "selct.0.min_words=4", "nonsense", "select.0.min_word=4"])
def test_wrong_overrides_are_refused(write_recipe: Callable[..., Path], override: str) -> None:
    with pytest.raises(RecipeError):
        load_recipe(write_recipe(), [override])


def test_labels_are_unique(write_recipe: Callable[..., Path]) -> None:
    rule = {"step": "filters.text.CaptionLength", "min_words": 3}
    recipe = load_recipe(write_recipe(select=[rule, rule, {**rule, "name": "mine"}]))
    assert [recipe.label(step) for step in recipe.select] == [
        "filters.text.CaptionLength",
        "filters.text.CaptionLength#2",
        "mine",
    ]


def test_only_true_and_false_are_truth_values_so_no_is_a_language(write_recipe: Callable[..., Path]) -> None:
    path = write_recipe()
    text = path.read_text() + "- step: filters.text.Language\n  keep: [no, en]\n"
    path.write_text(text.replace("signals:\n", "signals:\n- step: stages.signals.text.Language\n"))
    assert load_recipe(path).data["select"][-1]["keep"] == ["no", "en"]
    assert load_recipe(path, ["select.2.keep=no"]).data["select"][-1]["keep"] == "no"
