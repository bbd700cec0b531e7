"""The recipes on captions against the sample's truth: planted captions fall by the rule meant for them, clean ones stay."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import curate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("root"))


def outcomes(recipe: str, root: str) -> Counter[tuple[str, str]]:
    """(fault, rule or fate) -> rows. Captions alone are judged: nothing is exported, no image is decoded."""
    overrides = ["export={}", f"pool.path={ROOT / 'manifests/sample/*.tar'}"]
    result = curate.run(ROOT / "manifests/text" / recipe, root=root, executor="inline", quiet=True, overrides=overrides)
    run = curate.open_run(result["run"])
    truth = {
        (r["shard"], r["key"]): r["fault"] for r in pq.read_table(ROOT / "manifests/sample/truth.parquet").to_pylist()
    }
    units = {shard.number: shard.unit for shard in run.shards}
    return Counter((truth[units[r["shard"]], r["key"]], r["rule"] or r["fate"]) for r in run.ledger().to_pylist())


def share(found: Counter[tuple[str, str]], fault: str, *rules: str) -> float:
    """Share of the fault's rows with one of these outcomes."""
    rows = {rule: n for (name, rule), n in found.items() if name == fault}
    return sum(rows.get(rule, 0) for rule in rules) / sum(rows.values())


def test_hygiene(root: str) -> None:
    found = outcomes("hygiene.yaml", root)
    assert share(found, "empty_caption", "empty") == 1
    assert share(found, "markup_caption", "faults") == 1
    assert share(found, "spam_caption", "faults", "personal_data") == 1
    assert share(found, "control_characters", "faults", "unicode") == 1
    assert share(found, "clean", "kept") > 0.98


def test_frequency(root: str) -> None:
    found = outcomes("frequency.yaml", root)
    assert share(found, "empty_caption", "caption") == 1
    assert share(found, "real:repeated_title", "template") > 0.4  # in the source each stands ten times or more
    assert share(found, "clean", "kept") == 1


def test_perplexity(root: str) -> None:
    found = outcomes("perplexity.yaml", root)
    assert share(found, "non_english", "language", "perplexity") > 0.9
    assert share(found, "clean", "kept") > 0.98
