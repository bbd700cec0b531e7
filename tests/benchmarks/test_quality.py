"""The labels of the quality recipes come from the sample's truth, half of it, and from nothing else."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.quality import MANIFESTS, TRUTH, judged, labelled, write_labels


def test_the_recipes_labels_are_those_that_the_benchmark_makes(tmp_path: Path) -> None:
    count = write_labels(tmp_path / "labels.csv")
    made = (tmp_path / "labels.csv").read_text()
    assert made == (MANIFESTS / "quality" / "labels.csv").read_text()
    assert count == made.count("\n") - 1


def test_half_is_kept_back_and_copies_are_not_judged() -> None:
    truth = {row["key"]: row["fault"] for row in pq.read_table(TRUTH).to_pylist()}
    with (MANIFESTS / "quality" / "labels.csv").open() as file:
        given = {row["key"]: row["label"] for row in csv.DictReader(file)}
    assert all(given[key] == str(int(truth[key] == "clean")) for key in given)
    held = {key for key in judged() if not labelled(key)}
    assert not held & given.keys()
    assert 0.8 < len(held) / len(given) < 1.25
    assert not {truth[key] for key in judged()} & {"exact_duplicate", "near_duplicate", "corrupt"}
