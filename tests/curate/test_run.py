"""A run end to end, inline: accounting, reuse, failures, what-if, limits, deny list, appended shards."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.deny import add_deny
from curate.errors import EnvironmentFault, Locked, PoolError, RecipeError, Stopped, TooManyFailed
from curate.lock import RunLock
from curate.storage import Storage
from curate.verify import verify

LENGTH = "filters.text.CaptionLength"
Write = Callable[..., Path]


def run(recipe: Path, root: str, **options: Any) -> dict[str, Any]:
    """Inline, silent."""
    return curate.run(recipe, root=root, executor="inline", quiet=True, **options)


def total(result: dict[str, Any]) -> int:
    """All fates."""
    return result["kept"] + sum(result["dropped"].values()) + sum(result["failed"].values())


@pytest.mark.parametrize("compute", ["all", "needed"])
def test_every_record_has_one_fate(write_recipe: Write, root: str, compute: str) -> None:
    result = run(write_recipe(compute=compute), root)
    assert result["entered"] == total(result) == 120
    assert result["dropped"] == {LENGTH: 42}  # captions of 1 or 2 words: 14 of 40 per shard, with 4 over
    assert sum(result["failed"].values()) == 1
    (error,) = result["failed"]
    assert "not an image" in error
    opened = curate.open_run(result["run"])
    assert verify(opened) == []
    failed = next(row for row in opened.ledger().to_pylist() if row["fate"] == "failed")
    (fate,) = opened.explain(failed["uid"].hex())
    assert (fate["shard"], fate["row"], fate["error"]) == (1, 5, error)
    dropped = next(row for row in opened.ledger().to_pylist() if row["fate"] == "dropped")
    (fate,) = opened.explain(dropped["uid"].hex()[:12])
    assert (fate["rule"], fate["value"], fate["threshold"]) == (LENGTH, "caption_words=1", "min_words=3")


def test_second_run_computes_nothing_and_a_threshold_computes_no_signal(write_recipe: Write, root: str) -> None:
    recipe = write_recipe(compute="all")
    assert sum(run(recipe, root)["computed"].values()) == 360
    again = run(recipe, root)
    assert sum(again["computed"].values()) == 0
    assert sum(again["reused"].values()) == 360
    changed = run(recipe, root, overrides=["select.0.min_words=2"], name="other")
    assert sum(changed["computed"].values()) == 0
    assert changed["kept"] > again["kept"]


def test_needed_computes_only_what_a_looser_threshold_adds(write_recipe: Write, root: str) -> None:
    recipe = write_recipe()
    first = run(recipe, root)
    pixels = "stages.signals.image.Pixels"
    assert first["computed"][pixels] == 120 - 42 - 1  # neither short captions nor what has no header are decoded
    second = run(recipe, root, overrides=["select.0.min_words=2"])
    assert second["computed"][pixels] == 21
    assert second["reused"][pixels] == 77
    assert verify(curate.open_run(second["run"])) == []


def test_a_new_signal_reuses_the_others(write_recipe: Write, root: str) -> None:
    run(write_recipe(compute="all"), root)
    hashed = {"step": "stages.signals.hashes.PHash"}
    signals = [{"step": f"stages.signals.{name}"} for name in ("image.Header", "text.CaptionStats")]
    result = run(write_recipe(compute="all", signals=[*signals, hashed]), root)
    assert {name for name, rows in result["computed"].items() if rows} == {"stages.signals.hashes.PHash"}


@pytest.mark.parametrize("words", [1, 2, 4, 6, 9])
def test_whatif_equals_the_run_it_predicts(write_recipe: Write, root: str, words: int) -> None:
    recipe = write_recipe(compute="all")
    override = f"select.0.min_words={words}"
    predicted = curate.open_run(run(recipe, root)["run"]).whatif([override])
    happened = run(recipe, root, overrides=[override], name="real")
    assert (predicted.kept, predicted.dropped, predicted.failed) == tuple(
        happened[key] for key in ("kept", "dropped", "failed")
    )
    assert predicted.needs == {}


def test_whatif_says_which_rows_need_a_signal(write_recipe: Write, root: str) -> None:
    funnel = curate.open_run(run(write_recipe(), root)["run"]).whatif(["select.0.min_words=2"])
    assert funnel.needs == {"stages.signals.image.Header": 21}
    assert funnel.kept + sum(funnel.needs.values()) + sum(funnel.dropped.values()) + sum(funnel.failed.values()) == 120


def test_limit_takes_whole_chunks_and_never_poisons_reuse(write_recipe: Write, root: str) -> None:
    recipe = write_recipe(compute="all")
    assert run(recipe, root, limit=20)["entered"] == 32
    assert len(list(Path(root).glob("pool/small/index/*"))) == 1  # the other shards are not even indexed
    assert run(recipe, root, limit=41)["entered"] == 56
    whole = run(recipe, root)
    assert whole["entered"] == 120
    assert sum(whole["computed"].values()) == 3 * (120 - 56)
    assert verify(curate.open_run(whole["run"])) == []


def test_too_many_failures_stop_the_run(write_recipe: Write, root: str) -> None:
    with pytest.raises(TooManyFailed, match=r"1 of 120 samples failed"):
        run(write_recipe(max_failed=0.001), root)
    assert curate.open_run("small", root).manifest["status"] == "failed"


def test_an_empty_source_is_an_error(write_recipe: Write, root: str, tmp_path: Path) -> None:
    source = {"step": "stages.ingest.webdataset.Webdataset", "path": str(tmp_path / "none" / "*.tar")}
    with pytest.raises(PoolError):
        run(write_recipe(pool=source), root)


def test_appended_and_changed_shards(write_recipe: Write, root: str, tars: Path, tmp_path: Path) -> None:
    folder = tmp_path / "growing"
    folder.mkdir()
    shutil.copy(tars / "00000.tar", folder)
    recipe = write_recipe(
        compute="all", pool={"step": "stages.ingest.webdataset.Webdataset", "path": f"{folder}/*.tar"}
    )
    assert run(recipe, root)["entered"] == 40
    shutil.copy(tars / "00001.tar", folder)
    grown = run(recipe, root)
    assert (grown["entered"], sum(grown["computed"].values())) == (80, 120)
    shutil.copyfile(tars / "00002.tar", folder / "00000.tar")
    changed = run(recipe, root)
    assert (changed["entered"], sum(changed["computed"].values())) == (80, 120)
    assert verify(curate.open_run(changed["run"])) == []


def test_denied_samples_never_get_out(write_recipe: Write, root: str) -> None:
    recipe = write_recipe(compute="all")
    opened = curate.open_run(run(recipe, root)["run"])
    kept = [row for row in opened.ledger().to_pylist() if row["fate"] == "kept"]
    digest = opened.table("sha256", "uid", "fate").to_pylist()
    other = next(row for row in digest if row["fate"] == "kept" and row["uid"] != kept[0]["uid"])
    add_deny(Storage(root), [kept[0]["uid"].hex(), other["sha256"].hex(), "https://example.org/2/39.jpg"])
    assert len(verify(curate.open_run(opened.name, root))) == 3  # what was kept before is reported now
    again = run(recipe, root)
    assert again["dropped"]["deny"] == 3
    assert verify(curate.open_run(again["run"])) == []


def test_a_second_driver_is_refused_and_a_dead_one_replaced(write_recipe: Write, root: str) -> None:
    recipe = write_recipe()
    storage = Storage(root)
    with RunLock(storage, "runs/small/lock"), pytest.raises(Locked, match="held by process"):
        run(recipe, root)
    dead = {"token": "x", "host": __import__("socket").gethostname(), "pid": 2**22 + 1, "birth": "1", "beat": 9e9}
    storage.write("runs/small/lock", json.dumps(dead).encode())
    assert run(recipe, root)["entered"] == 120


def test_time_limit_stops_and_the_same_call_goes_on(write_recipe: Write, root: str) -> None:
    recipe = write_recipe(compute="all")
    with pytest.raises(Stopped):
        run(recipe, root, max_hours=0.0)
    assert curate.open_run("small", root).manifest["status"] == "stopped"
    assert run(recipe, root)["entered"] == 120


def test_verify_finds_what_was_tampered_with(write_recipe: Write, root: str) -> None:
    result = run(write_recipe(compute="all"), root)
    opened = curate.open_run(result["run"])
    path = f"{opened.folder}/ledger/00000000.parquet"
    table = opened.storage.read_table(path)
    opened.storage.write_table(path, table.slice(1))
    assert any("the ledger has 39" in line for line in verify(curate.open_run(result["run"])))
    opened.storage.write_table(path, table)
    facts = next(iter(opened.pool.facts.values()))
    opened.storage.write(facts.file, opened.storage.read(facts.file) + b"x")
    assert any("checksum" in line for line in verify(curate.open_run(result["run"])))
    opened.storage.remove([facts.file])
    assert any("gone" in line for line in verify(curate.open_run(result["run"])))


def test_memory_root_serves_inline(write_recipe: Write) -> None:
    result = run(write_recipe(compute="all"), "memory://bucket/work")
    assert (result["entered"], verify(curate.open_run(result["run"]))) == (120, [])


def test_a_tar_that_changes_under_the_run_fails_no_sample(
    write_recipe: Write, root: str, tars: Path, tmp_path: Path
) -> None:
    tar = tmp_path / "00000.tar"
    shutil.copy(tars / "00000.tar", tar)
    recipe = write_recipe(compute="all", pool={"step": "stages.ingest.webdataset.Webdataset", "path": str(tar)})
    run(recipe, root)
    stat = tar.stat()
    tar.write_bytes(tar.read_bytes().replace(b"\xff\xd8\xff", b"\xff\xd8\xfe"))
    os.utime(tar, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    hashed = [{"step": "stages.signals.hashes.PHash"}]
    with pytest.raises(EnvironmentFault, match="changed since it was indexed"):
        run(recipe, root, overrides=[f"signals={json.dumps(hashed)}", "select=[]"])


@pytest.mark.parametrize("compute", ["all", "needed"])
def test_a_sample_without_a_pool_fact_failed_where_its_signal_did(write_recipe: Write, root: str, compute: str) -> None:
    hashed = [{"step": "stages.signals.hashes.PHash"}]
    facts = [{"step": "stages.select.dedup.Duplicates", "by": "phash"}]
    select = [{"step": "stages.select.dedup.OnePerGroup"}]
    result = run(write_recipe(compute=compute, signals=hashed, facts=facts, select=select), root)
    assert (result["kept"], result["dropped"]) == (119, {})
    assert list(result["failed"]) == ["decode: not an image: neither JPEG, PNG, WEBP, GIF, BMP nor TIFF"]


def test_running_again_does_not_get_past_max_failed(write_recipe: Write, root: str) -> None:
    for _ in range(2):
        with pytest.raises(TooManyFailed):
            run(write_recipe(compute="all", max_failed=0.001), root)


def test_one_fact_under_two_names(write_recipe: Write, root: str) -> None:
    export = {"meta": ["width"], "formats": [{"step": "stages.export.parquet.Parquet"}]}
    run(write_recipe(compute="all", export=export), root)
    swapped = {"step": "stages.signals.image.Header", "rename": {"width": "height", "height": "width"}}
    signals = [swapped, {"step": "stages.signals.image.Pixels"}, {"step": "stages.signals.text.CaptionStats"}]
    result = run(write_recipe(compute="all", export=export, signals=signals), root, name="swapped")
    assert sum(result["computed"].values()) == 0
    opened = curate.open_run(result["run"])
    assert set(opened.table("width")["width"].drop_null().to_pylist()) == {300}
    assert verify(opened) == []


def test_pool_facts_do_not_depend_on_what_earlier_runs_computed(write_recipe: Write, tmp_path: Path) -> None:
    hashed = [{"step": "stages.signals.hashes.PHash"}, {"step": "stages.signals.text.CaptionStats"}]
    facts = [{"step": "stages.select.dedup.Duplicates", "by": "phash", "distance": 4}]
    select = [{"step": "filters.text.CaptionLength", "min_words": 3}, {"step": "stages.select.dedup.OnePerGroup"}]
    recipe = write_recipe(signals=hashed, facts=facts, select=select)
    prints = []
    for name, first in (("straight", None), ("history", "select.0.min_words=1")):
        root = str(tmp_path / name)
        if first:
            run(recipe, root, overrides=[first])
        manifest = curate.open_run(run(recipe, root)["run"]).manifest
        prints.append([entry["fingerprint"] for entry in manifest["signals"] if "Duplicates" in entry["step"]])
    assert prints[0] == prints[1]


def test_a_second_run_on_one_pool_is_refused(write_recipe: Write, root: str) -> None:
    with RunLock(Storage(root), "pool/small/lock"), pytest.raises(Locked, match="pool/small"):
        run(write_recipe(), root, name="other")


def test_a_name_stays_inside_the_root(write_recipe: Write, root: str) -> None:
    with pytest.raises(RecipeError, match="one word"):
        run(write_recipe(), root, name="../../evil")


@pytest.mark.parametrize("entry", ['{"id": "00"}', "{bad", "not a uid"])
def test_a_deny_entry_that_matches_nothing_known_is_an_error(root: str, entry: str) -> None:
    with pytest.raises(RecipeError):
        add_deny(Storage(root), [entry])


def test_a_costly_rule_before_a_cheap_one_has_its_facts(write_recipe: Write, root: str) -> None:
    select = [
        {"step": "filters.image.Sharpness", "min": 1},
        {"step": "filters.text.CaptionLength", "min_words": 3},
    ]
    result = run(write_recipe(select=select, compute="needed"), root)
    assert result["dropped"] == {"filters.text.CaptionLength": 42}
    assert verify(curate.open_run(result["run"])) == []


def test_a_run_that_keeps_nothing_is_complete_and_tells_its_funnel(write_recipe: Write, root: str) -> None:
    export = {"formats": [{"step": "stages.export.webdataset.Webdataset"}]}
    run(write_recipe(export=export), root)
    select = [{"step": "filters.text.CaptionLength", "min_words": 99}]
    result = run(write_recipe(select=select, export=export), root)
    assert (result["kept"], result["exports"]) == (0, {"webdataset": []})
    done = curate.open_run(result["run"])
    assert done.manifest["status"] == "complete"
    assert verify(done) == []
    assert not list(Path(root).glob("runs/small/export/*/*.tar"))  # of what was kept before


def test_a_source_that_is_not_there_leaves_the_earlier_run_alone(write_recipe: Write, root: str) -> None:
    run(write_recipe(), root)
    gone = {"step": "stages.ingest.webdataset.Webdataset", "path": "/nowhere/*.tar"}
    with pytest.raises(curate.CurateError, match="nowhere"):
        run(write_recipe(pool=gone), root)
    assert curate.open_run("small", root).manifest["status"] == "complete"


def test_other_data_under_the_same_names_do_not_push_out_a_pool(
    write_recipe: Write, tars: Path, tmp_path: Path, root: str
) -> None:
    run(write_recipe(), root)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(tars / "00001.tar", other / "00000.tar")
    pool = {"name": "small", "step": "stages.ingest.webdataset.Webdataset", "path": f"{other}/*.tar"}
    with pytest.raises(curate.CurateError, match=r"already has a shard 00000.*--set pool\.name=NAME"):
        run(write_recipe(pool=pool), root)


def test_every_column_but_vectors_is_in_a_table(write_recipe: Write, root: str) -> None:
    rename = {"image_embedding": "seen", "text_embedding": "said"}
    signals = [
        {"step": "stages.signals.text.CaptionStats"},
        {"step": "stages.signals.image.Header"},
        {"step": "stages.signals.similarity.ClipScore", "rename": rename},
    ]
    done = curate.open_run(run(write_recipe(signals=signals, compute="all"), root)["run"])
    names = done.table().column_names
    assert {"similarity", "caption_words", "fate"} <= set(names)
    assert not {"seen", "said"} & set(names)
    assert done.sql("select count(*) from samples").fetchall() == [(120,)]
