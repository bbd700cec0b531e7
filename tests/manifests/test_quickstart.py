"""The quickstart's rules against the sample's truth: every planted fault is caught by the rule meant for it.

The truth is read here and in benchmarks only; no threshold comes from it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import curate
from curate.columns import to_numpy
from curate.contracts import Filter
from curate.verify import verify

ROOT = Path(__file__).resolve().parents[2]
FAILED = "failed"
CHEAP = ["stages.signals.similarity.ClipScore", "stages.signals.ocr.TextInImage"]

MEANT_FOR = {
    "corrupt": FAILED,
    "truncated": FAILED,
    "zero_byte": FAILED,
    "bomb": FAILED,
    "tiny": "resolution",
    "extreme_aspect": "aspect_ratio",
    "blurred": "sharpness",
    "low_entropy": "entropy",
    "empty_caption": "caption_length",
    "one_word_caption": "caption_length",
    "spam_caption": "clean_text",
    "control_characters": "clean_text",
    "markup_caption": "clean_text",
}
"""Faults that are decided without a statistical model, and the quickstart's rule for each."""

ABOUT_FAULTS = {FAILED, "caption_length", "clean_text", "resolution", "aspect_ratio", "sharpness", "entropy"}


def fates(run: Any) -> list[dict[str, Any]]:
    """Ledger rows with their truth; `outcome` is the rule, `failed` or `kept`."""
    truth = {
        (row["shard"], row["key"]): row for row in pq.read_table(ROOT / "manifests/sample/truth.parquet").to_pylist()
    }
    units = {shard.number: shard.unit for shard in run.shards}
    found = []
    for row in run.ledger().to_pylist():
        known = truth[units[row["shard"]], row["key"]]
        found.append({**known, "uid": row["uid"].hex(), "outcome": row["rule"] or row["fate"]})
    assert len(found) == len(truth)
    return found


@pytest.fixture(scope="module")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The quickstart without models, synthesis and export: every deterministic rule, in seconds."""
    import yaml

    recipe = yaml.safe_load((ROOT / "manifests/quickstart.yaml").read_text())
    recipe["signals"] = [step for step in recipe["signals"] if step["step"] not in CHEAP]
    recipe["facts"] = [step for step in recipe["facts"] if "Clusters" not in step["step"]]
    models = {"text_overlap", "image_text_similarity", "balance"}
    recipe["select"] = [step for step in recipe["select"] if step["name"] not in models]
    recipe["pool"]["path"] = str(ROOT / "manifests/sample/*.tar")
    next(step for step in recipe["signals"] if "references" in step)["references"] = str(ROOT / "manifests/references")
    path = tmp_path_factory.mktemp("cheap") / "cheap.yaml"
    path.write_text(yaml.safe_dump({**recipe, "name": "cheap", "synth": [], "export": {}}))
    result = curate.run(path, root=str(path.parent / "root"), executor="inline", quiet=True)
    return curate.open_run(result["run"])


def test_every_deterministic_fault_meets_its_rule(cheap: Any) -> None:
    """The rule meant for it drops it. The ledger names the first rule that does: real dirt may stand beside the planted."""
    drops = {FAILED: [row["outcome"] == FAILED for row in fates(cheap)]}
    for rule in cheap.plan.rules:
        if isinstance(rule.step, Filter):
            columns = {name: to_numpy(cheap.table(name)[name]) for name in rule.step.inputs()}
            drops[rule.label] = (~rule.step.keep(columns)).tolist()
    planted = [(i, row) for i, row in enumerate(fates(cheap)) if row["fault"] in MEANT_FOR]
    assert [row for i, row in planted if not drops[MEANT_FOR[row["fault"]]][i]] == []
    assert [row for _, row in planted if row["outcome"] not in ABOUT_FAULTS] == []
    first = sum(row["outcome"] == MEANT_FOR[row["fault"]] for _, row in planted)
    assert first >= 0.99 * len(planted)


def test_no_clean_sample_is_dropped_by_a_rule_about_a_fault(cheap: Any) -> None:
    lost = [row for row in fates(cheap) if row["fault"] == "clean" and row["outcome"] in ABOUT_FAULTS]
    assert lost == []


def test_one_of_each_group_of_copies_survives(cheap: Any) -> None:
    """Which one is decided by uid; the others are dropped as duplicates."""
    rows = {row["key"]: row for row in fates(cheap)}
    groups: dict[str, set[str]] = {}
    for row in rows.values():
        if row["fault"] in ("exact_duplicate", "near_duplicate"):
            groups.setdefault(row["mate"], {row["mate"]}).add(row["key"])
    survivors = Counter(sum(rows[key]["outcome"] == "kept" for key in keys) for keys in groups.values())
    assert set(survivors) == {1}, survivors
    others = {rows[key]["outcome"] for keys in groups.values() for key in keys} - {"kept"}
    assert others == {"duplicates"}


def test_accounting_holds(cheap: Any) -> None:
    assert verify(cheap) == []


@pytest.mark.slow
def test_the_whole_quickstart(tmp_path: Path) -> None:
    """With models: text-only images, languages and mismatched captions; then again, computing nothing."""
    root = str(tmp_path / "root")
    recipe = ROOT / "manifests/quickstart.yaml"
    result = curate.run(recipe, root=root, executor="inline", quiet=True)
    run = curate.open_run(result["run"])
    assert verify(run) == []
    outcomes = Counter((row["fault"], row["outcome"]) for row in fates(run))
    totals = Counter(row["fault"] for row in fates(run))
    assert outcomes["text_only", "text_overlap"] >= 0.85 * totals["text_only"]
    assert outcomes["non_english", "language"] >= 0.85 * totals["non_english"]
    dropped = {fault: outcomes[fault, "image_text_similarity"] / totals[fault] for fault in ("mismatched", "clean")}
    assert dropped["mismatched"] > dropped["clean"]
    assert {kind: len(paths) > 1 for kind, paths in result["exports"].items()} == dict.fromkeys(
        ("webdataset", "ffcv", "parquet"), True
    )
    again = curate.run(recipe, root=root, executor="inline", quiet=True)
    assert sum(again["computed"].values()) == 0
    assert again["kept"] == result["kept"]
