"""The recipes of deduplication on the embedded sample: what was planted has the fate that was meant for it."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import curate
from stages.export.reference import write_reference
from stages.signals.contamination import per_benchmark

MANIFESTS = Path(__file__).parents[2] / "manifests"
SAMPLE = MANIFESTS / "sample"


def fates(run: str, *columns: str) -> dict[str, dict[str, Any]]:
    """Key -> what the run says of it and the truth."""
    opened = curate.open_run(run)
    truth = {row["key"]: row for row in pq.read_table(SAMPLE / "truth.parquet").to_pylist()}
    return {
        row["key"]: {**truth[row["key"]], **row} for row in opened.table("key", "fate", "rule", *columns).to_pylist()
    }


def test_planted_duplicates(tmp_path: Path) -> None:
    recipe = MANIFESTS / "dedup" / "images.yaml"
    result = curate.run(recipe, root=str(tmp_path), executor="inline", overrides=["compute=all"], quiet=True)
    found = fates(result["run"], "bytes_group", "phash_group", "pdq_group")
    same = {"exact_duplicate": ("bytes_group", "phash_group", "pdq_group"), "near_duplicate": ("phash_group",)}
    pairs = [(row, found[row["mate"]]) for row in found.values() if row["fault"] in same]
    assert len(pairs) == 56
    for row, mate in pairs:
        assert all(row[group] == mate[group] for group in same[row["fault"]])
        assert sorted([row["fate"], mate["fate"]]) == ["dropped", "kept"]
    near = [row["pdq_group"] == mate["pdq_group"] for row, mate in pairs if row["fault"] == "near_duplicate"]
    assert sum(near) >= 25  # PDQ loses drawings whose frequencies are zero
    dropped = [row for row in found.values() if row["fate"] == "dropped"]
    meant = {key for row, mate in pairs for key in (row["key"], mate["key"])}
    assert {row["fault"] for row in dropped if row["key"] not in meant} <= {"bomb"}  # four come twice, byte for byte


def test_an_evaluation_set_falls(tmp_path: Path) -> None:
    write_reference([SAMPLE / "00003.tar"], "shard-3", tmp_path / "refs.parquet")
    result = curate.run(
        MANIFESTS / "dedup" / "decontaminate.yaml",
        root=str(tmp_path),
        executor="inline",
        overrides=[f"signals.2.references={tmp_path}/refs.parquet"],
        quiet=True,
    )
    found = fates(result["run"], "contaminated_by", "value")
    with tarfile.open(SAMPLE / "00003.tar") as tar:
        inside = {name.partition(".")[0] for name in tar.getnames()}
    assert {row["fate"] for key, row in found.items() if key in inside} == {"dropped", "failed"}
    copied = {row["mate"] for key, row in found.items() if key in inside} | {
        key for key, row in found.items() if row["mate"] in inside
    }
    dropped = {key for key, row in found.items() if row["fate"] == "dropped"}
    assert dropped <= inside | copied
    assert all(found[key]["value"].startswith("contaminated_by=shard-3 by ") for key in dropped)
    counts = per_benchmark(curate.open_run(result["run"]).table("contamination").column(0)).to_pylist()
    assert {row["by"] for row in counts} == {"bytes", "phash", "pdq"}
    assert max(row["samples"] for row in counts) <= len(dropped)
