"""Peak memory and rows per second of whole runs over pools of growing size, each in a process of its own.

    python -m benchmarks.scale text 100000 1000000 3000000
    python -m benchmarks.scale vectors 100000 1000000
    python -m benchmarks.scale documents 100000 1000000

`text`: captions through statistics, near duplicates, entry matching and every kind of selection. `vectors`: 512-wide
embeddings through clusters, semantic duplicates and caps. `documents`: pages, nine rows each, through frequencies over
domains, node rules, facts about what is left, near-duplicate pages and repeated paragraphs. The pools are made on the way
(benchmarks/data/endless.py, endless_pages.py).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TEXT: dict[str, Any] = {
    "signals": [
        {"step": "stages.signals.text.CaptionStats"},
        {"step": "stages.signals.entries.Entries"},
    ],
    "facts": [
        {"step": "stages.select.frequency.CaptionFrequency"},
        {"step": "stages.select.neartext.NearDuplicateText"},
        {"step": "stages.select.dedup.Duplicates", "by": "bytes"},
    ],
    "select": [
        {"step": "filters.text.CaptionLength", "min_words": 4},
        {"step": "stages.select.dedup.OnePerGroup"},
        {"step": "stages.select.dedup.OnePerGroup", "groups": "text"},
        {"step": "stages.select.metaclip.EntryBalance", "t": 1000},
        {"step": "stages.select.top.TopFraction", "column": "caption_chars", "fraction": 0.8},
    ],
}
VECTORS: dict[str, Any] = {
    "signals": [{"step": "benchmarks.data.endless.Vectors"}],
    "facts": [
        {"step": "stages.select.balance.Clusters", "k": 1000},
        {"step": "stages.select.semantic.SemanticDuplicates", "k": 1000},
    ],
    "select": [
        {"step": "stages.select.dedup.OnePerGroup", "groups": "semantic"},
        {"step": "stages.select.balance.ClusterCap", "alpha": 0.5, "fraction": 0.5},
    ],
}
DOCUMENTS: dict[str, Any] = {
    "signals": [{"step": "stages.signals.obelics.TextRatios", "on": "text"}],
    "facts": [
        {"step": "stages.documents.captions.Captions"},
        {"step": "stages.documents.position.Position"},
        {"step": "stages.select.image_frequency.ImageFrequency"},
        {"step": "stages.select.image_frequency.TextFrequency"},
        {"step": "stages.documents.counts.Counts"},
        {"step": "stages.documents.text.WholeText"},
        {
            "step": "stages.select.neartext.NearDuplicateText",
            "column": "document_text",
            "words": 5,
            "similarity": 0.8,
            "candidates": "minhash",
        },
    ],
    "select": [
        {"step": "filters.thresholds.Within", "column": "text_char_repetition", "max": 0.3, "missing": True},
        {"step": "filters.roles.NotRepeated", "on": "image"},
        {"step": "filters.roles.NotRepeated", "on": "text", "of": "text"},
        {"step": "stages.select.paragraphs.OncePerDomain"},
        {"step": "filters.thresholds.Within", "column": "document_images", "min": 1},
        {"step": "filters.thresholds.Within", "column": "document_words", "min": 30},
        {"step": "stages.select.dedup.OnePerGroup", "groups": "text"},
    ],
}
RECIPES = {"text": TEXT, "vectors": VECTORS, "documents": DOCUMENTS}


def recipe(kind: str, rows: int) -> dict[str, Any]:
    """A recipe over `rows` samples that are made on the way."""
    source = "endless_pages.Pages" if kind == "documents" else "endless.Captions"
    pool = {"step": f"benchmarks.data.{source}", "rows": rows}
    return {"name": kind, "compute": "all", "chunk_rows": 10_000, "pool": pool, **RECIPES[kind]}


def child(kind: str, rows: int, executor: str) -> None:
    """One run; prints one line of JSON."""
    import yaml

    import curate

    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe(kind, rows), sort_keys=False))
        root = f"{folder}/root"
        begin = time.perf_counter()
        result = curate.run(path, root=root, executor=executor, plugins=["benchmarks"], quiet=True)
        seconds = time.perf_counter() - begin
        kept, cost = result["kept"], curate.open_run(result["run"]).manifest["cost"]
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"rows": rows, "kept": kept, "seconds": seconds, "peak_mb": peak / 1024, "cost": cost}))


def main() -> None:
    """Print a row per size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("kind", choices=sorted(RECIPES))
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--executor", choices=["inline", "ray"], default="inline")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.kind, asked.rows[0], asked.executor)
        return
    print(f"{'rows':>12}{'kept':>12}{'seconds':>10}{'rows/s':>10}{'peak MB':>10}  seconds per step")
    for rows in asked.rows:
        line = [
            sys.executable,
            "-m",
            "benchmarks.scale",
            asked.kind,
            str(rows),
            "--executor",
            asked.executor,
            "--child",
        ]
        done = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
        cost = ", ".join(f"{label.rsplit('.', 1)[-1]} {seconds:.0f}" for label, seconds in done["cost"].items())
        print(
            f"{rows:12,}{done['kept']:12,}{done['seconds']:10.0f}{rows / done['seconds']:10,.0f}"
            f"{done['peak_mb']:10,.0f}  {cost}",
            flush=True,
        )


if __name__ == "__main__":
    main()
