"""The quickstart's decisions against the embedded sample's truth: `python -m benchmarks.planted workspace/runs/quickstart`.

For each planted fault, what became of it; for swapped captions, precision and recall of the similarity rule.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

import curate
from curate.inspect import Run

TRUTH = Path(__file__).resolve().parents[1] / "manifests" / "sample" / "truth.parquet"
SIMILARITY = "image_text_similarity"


def outcomes(run: Run) -> Counter[tuple[str, str]]:
    """How many samples of which fault met which rule (or `failed`, or `kept`)."""
    faults = {(row["shard"], row["key"]): row["fault"] for row in pq.read_table(TRUTH).to_pylist()}
    units = {shard.number: shard.unit for shard in run.shards}
    rows = run.ledger().to_pylist()
    return Counter((faults[units[row["shard"]], row["key"]], row["rule"] or row["fate"]) for row in rows)


def swapped(found: Counter[tuple[str, str]]) -> tuple[float, float, float]:
    """Of the samples that reach the similarity rule: (precision, recall, share of swapped among those that reach it)."""
    later = {SIMILARITY, "balance", "kept"}
    reach = {fault: sum(n for (f, rule), n in found.items() if f == fault and rule in later) for fault, _ in found}
    dropped = {fault: found[fault, SIMILARITY] for fault in reach}
    total = sum(dropped.values())
    hits = dropped.get("mismatched", 0)
    return hits / max(1, total), hits / max(1, reach["mismatched"]), reach["mismatched"] / max(1, sum(reach.values()))


def main(path: str) -> None:
    """Print both."""
    found = outcomes(curate.open_run(path))
    table = Table("fault", "samples", "what became of them")
    for fault in sorted({fault for fault, _ in found}):
        rules = sorted(((n, rule) for (f, rule), n in found.items() if f == fault), reverse=True)
        table.add_row(fault, str(sum(n for n, _ in rules)), ", ".join(f"{rule} {n}" for n, rule in rules))
    console = Console(width=110)
    console.print(table)
    precision, recall, share = swapped(found)
    console.print(
        f"swapped captions at {SIMILARITY}: precision {precision:.2f}, recall {recall:.2f}; "
        f"they are {share:.2f} of what reaches it"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "workspace/runs/quickstart")
