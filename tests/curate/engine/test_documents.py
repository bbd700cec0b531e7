"""Pools of documents on the one engine: fates by kind, nodes that go with their document, facts about what is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import curate
from curate.errors import RecipeError
from curate.verify import verify

PLUGINS = Path(__file__).parents[1] / "plugins"
PAGES = {
    "00000": """# harbour
two boats lie in the harbour
buy
! 300
a third boat comes in from the sea
! 40
# shop
buy
buy now
! 320
# storm
the storm came at night
! gone
! 13""",
    "00001": """# garden
roses grow along the old wall
! 310
! 311
home
# empty""",
}
STEPS = "document_steps"
LEFT = ("texts", "images", "words")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a recipe over `PAGES`; keyword arguments replace whole fields."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, text in PAGES.items():
        (folder / f"{name}.txt").write_text(text)

    def write(**fields: Any) -> Path:
        recipe: dict[str, Any] = {
            "name": "pages",
            "max_failed": 0.5,
            "pool": {"step": f"{STEPS}.Written", "path": str(folder)},
            "signals": [
                {"step": "stages.signals.text.CaptionStats", "on": "text"},
                {"step": "stages.signals.image.Header"},
                {"step": "stages.signals.image.Pixels"},
            ],
            "facts": [{"step": f"{STEPS}.Remaining"}, {"step": f"{STEPS}.Place"}],
            "select": [
                {"step": "filters.text.CaptionLength", "min_words": 3, "name": "length"},
                {"step": "filters.image.Resolution", "min_side": 200, "name": "resolution"},
                {"step": "filters.thresholds.Within", "column": "texts_left", "min": 1, "name": "no text"},
                {"step": "filters.thresholds.Within", "column": "images_left", "min": 1, "name": "no image"},
            ],
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({**recipe, **fields}, sort_keys=False))
        return path

    return write


def execute(recipe: Path, root: Path, **settings: Any) -> curate.Run:
    chosen = {"executor": "inline", "quiet": True, "plugins": [STEPS], **settings}
    return curate.open_run(curate.run(recipe, root=str(root), **chosen)["run"])


def fates(run: curate.Run) -> list[tuple[str, str | None, str, str | None]]:
    rows = run.table("kind", "text", "fate", "rule", "value", "error").to_pylist()
    return [(r["kind"], r["text"], r["fate"], r["rule"] or r["error"]) for r in rows]


def test_every_row_has_one_fate_and_nodes_go_with_their_document(write: Write, tmp_path: Path) -> None:
    run = execute(write(), tmp_path / "root")
    assert fates(run) == [
        ("document", "harbour", "kept", None),
        ("text", "two boats lie in the harbour", "kept", None),
        ("text", "buy", "dropped", "length"),
        ("image", None, "kept", None),
        ("text", "a third boat comes in from the sea", "kept", None),
        ("image", None, "dropped", "resolution"),
        ("document", "shop", "dropped", "no text"),
        ("text", "buy", "dropped", "length"),
        ("text", "buy now", "dropped", "length"),
        ("image", None, "dropped", "no text"),
        ("document", "storm", "dropped", "no image"),
        ("text", "the storm came at night", "dropped", "no image"),
        ("image", None, "failed", "ingest: missing image: gone"),
        ("image", None, "failed", run.ledger()["error"][13].as_py()),
        ("document", "garden", "kept", None),
        ("text", "roses grow along the old wall", "kept", None),
        ("image", None, "kept", None),
        ("image", None, "kept", None),
        ("text", "home", "dropped", "length"),
        ("document", "empty", "dropped", "no text"),
    ]
    assert run.ledger()["value"][9].as_py() == "its document"
    assert verify(run) == []
    funnel = run.funnel()
    assert {kind: (one.entered, one.kept) for kind, one in funnel.kinds.items()} == {
        "document": (5, 2),
        "text": (8, 3),
        "image": (7, 3),
    }
    assert funnel.kinds["document"].dropped == {"no text": 2, "no image": 1}
    assert str(funnel).splitlines()[0].split() == ["document", "text", "image"]


def test_facts_about_documents_see_the_page_or_what_rules_leave(write: Write, tmp_path: Path) -> None:
    run = execute(write(), tmp_path / "root")
    rows = run.table("kind", "place", "texts_left", "images_left", "words_left").to_pylist()
    assert [row["place"] for row in rows[:6]] == [None, 0, 1, 2, 3, 4]
    assert (rows[0]["texts_left"], rows[0]["images_left"]) == (2, 1)
    assert rows[0]["words_left"] == "two boats lie in the harbour a third boat comes in from the sea"
    assert rows[6]["texts_left"] == 0
    assert all(row["texts_left"] is None for row in rows if row["kind"] != "document")


def test_whatif_of_a_node_rule_decides_documents_as_a_run_would(write: Write, tmp_path: Path) -> None:
    recipe = write(compute="all")
    run = execute(recipe, tmp_path / "root")
    for words in (1, 2, 6, 7, 9):
        override = f"select.0.min_words={words}"
        expected = execute(recipe, tmp_path / f"root{words}", overrides=[override]).funnel()
        found = run.whatif([override])
        assert (found.kept, found.dropped, found.failed, found.needs) == (
            expected.kept,
            expected.dropped,
            expected.failed,
            {},
        )
        assert {k: v.dropped for k, v in found.kinds.items()} == {k: v.dropped for k, v in expected.kinds.items()}


def doubled(write: Write, least: int) -> Path:
    """A recipe whose last rule reads a signal of what is left of a document."""
    return write(
        signals=[
            {"step": "stages.signals.text.CaptionStats", "on": "text"},
            {"step": "column_steps.Doubled", "column": "texts_left"},
        ],
        facts=[{"step": f"{STEPS}.Remaining"}],
        select=[
            {"step": "filters.text.CaptionLength", "min_words": 3, "name": "length"},
            {"step": "filters.thresholds.Within", "column": "doubled", "min": least, "name": "no text"},
        ],
    )


def test_a_signal_may_read_what_is_left_and_is_computed_anew_when_that_changes(write: Write, tmp_path: Path) -> None:
    recipe = doubled(write, 2)
    settings = {"plugins": [STEPS, "column_steps"]}
    run = execute(recipe, tmp_path / "root", **settings)
    assert run.table("doubled")["doubled"].drop_null().to_pylist() == [4, 0, 2, 2, 0]
    loose = execute(recipe, tmp_path / "root", overrides=["select.0.min_words=1"], name="loose", **settings)
    assert loose.table("doubled")["doubled"].drop_null().to_pylist() == [6, 4, 2, 4, 0]
    assert verify(run) == []
    again = curate.run(
        recipe, root=str(tmp_path / "root"), executor="inline", quiet=True, plugins=[STEPS, "column_steps"]
    )
    assert sum(again["computed"].values()) == 0


def test_when_rules_leave_no_document_of_a_shard_facts_of_documents_have_nothing_to_say(
    write: Write, tmp_path: Path
) -> None:
    again: dict[str, Any] = {"step": f"{STEPS}.Remaining", "name": "again"}
    again["rename"] = {name: f"{name}_again" for name in (f"{what}_left" for what in LEFT)}
    limits = [("texts_left", 9), ("images_left_again", 0), ("doubled", 0)]
    select = [{"step": "filters.thresholds.Within", "column": column, "min": least} for column, least in limits]
    recipe = write(
        signals=[{"step": "column_steps.Doubled", "column": "images_left_again"}],
        facts=[{"step": f"{STEPS}.Remaining"}, again, {"step": f"{STEPS}.Longest", "column": "doubled"}],
        select=[*select, {"step": "filters.thresholds.Within", "column": "longest", "min": 0}],
    )
    run = execute(recipe, tmp_path / "root", plugins=[STEPS, "column_steps"])
    assert run.funnel().kept == 0


def test_nodes_of_an_open_document_are_open(write: Write, tmp_path: Path) -> None:
    recipe = doubled(write, 1)
    run = execute(recipe, tmp_path / "root", plugins=[STEPS, "column_steps"])
    found = run.whatif(["select.0.min_words=1"])
    changed = found.kinds["document"].needs["column_steps.Doubled"]
    assert changed == 5
    assert {kind: one.kept for kind, one in found.kinds.items()} == {"document": 0, "text": 0, "image": 0}
    for one in (found, *found.kinds.values()):
        assert one.entered == one.kept + one.open + sum(one.dropped.values()) + sum(one.failed.values())
    assert found.kinds["text"].open == 8


def test_a_shard_of_which_every_row_failed_is_one_of_documents(write: Write, tmp_path: Path) -> None:
    source = write()
    (tmp_path / "pages" / "00002.txt").write_text("?")
    run = execute(source, tmp_path / "root", overrides=["max_failed=1"])
    assert fates(run)[-1] == ("document", None, "failed", "ingest: damaged")
    assert verify(run) == []


def test_an_image_that_is_known_to_be_broken_does_not_count_for_its_document(write: Write, tmp_path: Path) -> None:
    """The decode comes after the first count; what is counted at the end sees that the storm's image is none."""
    facts = [
        {"step": f"{STEPS}.Remaining"},
        {"step": "document_steps.Longest", "column": "similarity_of"},
        {
            "step": f"{STEPS}.Remaining",
            "name": "end",
            "rename": {f"{w}_left": f"{w}_end" for w in ("texts", "images", "words")},
        },
    ]
    signals = [{"step": "stages.signals.image.Pixels", "rename": {"sharpness": "similarity_of"}}]
    within = {"step": "filters.thresholds.Within"}
    select = [
        {**within, "column": "images_left", "min": 1, "name": "no image"},
        {**within, "column": "longest", "min": -1, "missing": True, "name": "any"},
        {**within, "column": "images_end", "min": 1, "name": "no image at the end"},
    ]
    run = execute(write(signals=signals, facts=facts, select=select), tmp_path / "root")
    assert run.funnel().kinds["document"].dropped == {"no image": 1, "no image at the end": 1}
    again = execute(write(signals=signals, facts=facts, select=select), tmp_path / "root")
    assert fates(again) == fates(run)


def test_compute_all_and_needed_agree_on_facts_that_read_several_kinds(write: Write, tmp_path: Path) -> None:
    facts = [
        {"step": f"{STEPS}.Remaining"},
        {"step": "stages.select.domains.DomainStatistics", "means": ["width", "caption_words"]},
    ]
    select = [{"step": "filters.thresholds.Within", "column": "domain_width", "min": 1, "missing": True}]
    found = []
    for compute in ("needed", "all"):
        run = execute(write(facts=facts, select=select, compute=compute), tmp_path / compute)
        found.append(run.table("kind", "domain_width", "domain_caption_words", "fate").to_pylist())
    assert found[0] == found[1]
    assert found[0][0]["domain_width"] > 0


def test_whatif_does_not_take_old_groups_for_those_of_other_texts(write: Write, tmp_path: Path) -> None:
    near = {"step": "stages.select.neartext.NearDuplicateText", "column": "words_left", "words": 1}
    select = [
        {"step": "filters.text.CaptionLength", "min_words": 3, "name": "length"},
        {"step": "stages.select.dedup.OnePerGroup", "groups": "text", "name": "near duplicate"},
    ]
    recipe = write(facts=[{"step": f"{STEPS}.Remaining"}, near], select=select, compute="all")
    run = execute(recipe, tmp_path / "root")
    for words in (1, 2, 3, 6, 7):
        override = f"select.0.min_words={words}"
        found, fresh = run.whatif([override]), execute(recipe, tmp_path / str(words), overrides=[override]).funnel()
        assert (found.needs, found.kinds) == ({}, fresh.kinds)


def test_whatif_finds_what_the_pool_knows_of_whole_documents(write: Write, tmp_path: Path) -> None:
    near = {"step": "stages.select.neartext.NearDuplicateText", "column": "words_left", "words": 1}
    select = [
        {"step": "filters.text.CaptionLength", "min_words": 3, "name": "length"},
        {"step": "stages.select.dedup.OnePerGroup", "groups": "text", "name": "near duplicate"},
        {"step": "filters.thresholds.Within", "column": "texts_again", "min": 1, "name": "no text"},
    ]
    again: dict[str, Any] = {"step": f"{STEPS}.Remaining", "name": "again"}
    again["rename"] = {f"{what}_left": f"{what}_again" for what in LEFT}
    run = execute(write(facts=[{"step": f"{STEPS}.Remaining"}, near, again], select=select), tmp_path / "root")
    found, expected = run.whatif(["select.2.min=2"]), run.funnel()
    assert found.needs == {}
    assert (expected.kinds["document"].kept, found.kinds["document"].kept) == (3, 1)


def test_how_shards_are_cut_into_chunks_does_not_show(write: Write, tmp_path: Path) -> None:
    whole = execute(write(), tmp_path / "whole")
    for rows, compute in ((1, "needed"), (2, "needed"), (3, "needed"), (5, "needed"), (4, "all")):
        cut = execute(write(chunk_rows=rows, compute=compute), tmp_path / f"{compute}{rows}")
        assert fates(cut) == fates(whole)


def test_a_limit_takes_whole_documents(write: Write, tmp_path: Path) -> None:
    run = execute(write(chunk_rows=2), tmp_path / "root", limit=2)
    assert [kind for kind, *_ in fates(run)].count("document") == 1
    assert len(fates(run)) == 6


@pytest.mark.slow
def test_ray_gives_the_same_bytes(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    recipe = write(chunk_rows=3)
    trees = []
    for name, settings in {"one": {}, "ray": {"executor": "ray", "workers": 2}}.items():
        run = execute(recipe, tmp_path / name, **settings)
        files = sorted((tmp_path / name).rglob("*.parquet"))
        trees.append({str(file.relative_to(tmp_path / name)): file.read_bytes() for file in files})
        assert verify(run) == []
    assert trees[0] == trees[1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"signals": [{"step": "stages.signals.text.CaptionStats"}]}, "say `on: document`"),
        ({"pool": {"step": "stages.ingest.webdataset.Webdataset", "path": "/nowhere/*.tar"}}, "this pool holds pairs"),
        ({"export": {"formats": [{"step": "stages.export.webdataset.Webdataset"}]}}, "does not write documents"),
        (
            {"select": [{"step": "filters.thresholds.Within", "column": "plase", "min": 1}]},
            "Did you mean 'place'",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    write: Write, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message.replace("`", ".")):
        curate.plan(write(**fields), root=str(tmp_path / "root"), plugins=[STEPS])
