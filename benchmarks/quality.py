"""How well a quality score that was learned from half of the sample's labels tells good from bad in the other half.

    python -m benchmarks quality
    python -m benchmarks.quality --labels manifests/quality/labels.csv      # writes the labels of the recipes again

The embedded sample says of every key whether a fault was planted. Labels are given to the samples whose key hashes to
an even byte, 1 for `clean` and 0 for a fault that the pair itself shows; copies, images that do not open, and the
real samples of doubtful titles get none. The other half is for judging.
"""

from __future__ import annotations

import argparse
import hashlib
import json as jsonlib
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

import curate
from stages.select.logistic import auc

MANIFESTS: Final = Path("manifests")
TRUTH: Final = MANIFESTS / "sample" / "truth.parquet"
OPEN: Final = {"exact_duplicate", "near_duplicate", "duplicate_uid", "truncated", "corrupt", "zero_byte", "bomb"}
"""Faults that no pair shows by itself, and those that never get a score."""
SCORES: Final = {"quality.yaml": ("quality", "similarity"), "quality/captions.yaml": ("caption_quality",)}
"""Recipe -> scores to judge."""


def judged() -> dict[str, str]:
    """Key -> `clean` or the fault, for samples that a label is about."""
    rows = pq.read_table(TRUTH, columns=["key", "fault"]).to_pylist()
    return {r["key"]: r["fault"] for r in rows if r["fault"] not in OPEN and not r["fault"].startswith("real:")}


def labelled(key: str) -> bool:
    """Whether the sample's label is given away."""
    return hashlib.sha256(key.encode()).digest()[0] % 2 == 0


def write_labels(path: Path) -> int:
    """Write the labels as a user would have them; returns how many."""
    rows = [f"{key},{int(fault == 'clean')}" for key, fault in judged().items() if labelled(key)]
    path.write_text("\n".join(["key,label", *rows]) + "\n")
    return len(rows)


def measure() -> list[dict[str, Any]]:
    """Per score: its AUC on the samples whose labels were kept back, by cross-validation as the recipe says, by fault."""
    truth, rows = judged(), []
    with tempfile.TemporaryDirectory() as root:
        for recipe, scores in SCORES.items():
            done = curate.run(MANIFESTS / recipe, root=root, executor="inline", quiet=True)
            run = curate.open_run(done["run"])
            for score in scores:
                said = f"{score}_auc" if f"{score}_auc" in run.columns() else score
                table = run.table("key", score, said).to_pydict()
                rows.append(_judge(score, truth, dict(zip(table["key"], table[score], strict=True))))
                rows[-1]["cross-validated"] = table[said][0] if said != score else None
    return rows


def _judge(score: str, truth: dict[str, str], values: dict[str, float | None]) -> dict[str, Any]:
    held = {key: fault for key, fault in truth.items() if not labelled(key) and values.get(key) is not None}
    found = np.array([values[key] for key in held], np.float64)
    faults = np.array(list(held.values()))
    clean = faults == "clean"
    row: dict[str, Any] = {"score": score, "held out": len(held), "auc": auc(found, clean)}
    row["by fault"] = {
        str(fault): auc(found[clean | (faults == fault)], clean[clean | (faults == fault)])
        for fault in np.unique(faults)
        if fault != "clean"
    }
    return row


def main(json: bool = False) -> None:
    """Print the AUC of each score, over all faults and by each."""
    rows = measure()
    if json:
        print(jsonlib.dumps({"benchmark": "quality", "unit": "AUC", "rows": rows}))
        return
    print(f"AUC on samples whose labels nothing was learned from\n{'':22}" + "".join(f"{r['score']:>17}" for r in rows))
    for name in ("auc", "cross-validated"):
        cells = [f"{r[name]:17.3f}" if r[name] is not None else f"{'':17}" for r in rows]
        print(f"{name:22}{''.join(cells)}")
    for fault in rows[0]["by fault"]:
        cells = [f"{r['by fault'].get(fault, np.nan):17.3f}" for r in rows]
        print(f"{fault:22}{''.join(cells)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--labels", type=Path, help="write the labels to this file and end")
    asked = parser.parse_args()
    print(write_labels(asked.labels), "labels") if asked.labels else main()
