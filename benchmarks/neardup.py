"""Near-duplicate captions: ours, exact and by MinHash, beside rensa, datasketch, Daft and datatrove, in one run.

    python -m benchmarks.neardup [--captions FILE.parquet] [--rows N] [--cache DIR]

Word 2-grams, Jaccard similarity of at least 0.7, chains of pairs joined, one of each group kept; MinHash with 128
permutations in 16 bands of 8. The truth compares all pairs that share a 2-gram. Everyone reads the same Parquet file in
a process of its own on one core; seconds are those of the work, without imports, the best of three runs. No peer
verifies its candidates.
"""

from __future__ import annotations

import argparse
import json as jsonlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data.captions_planted import groups
from benchmarks.data.captions_planted import main as write_captions
from benchmarks.peers.environment import Peer, Unavailable, default_cache, measure, run_program

PROGRAMS: Final = Path(__file__).with_name("peers") / "programs"
ROWS: Final = 20_000
SHARD_ROWS: Final = 10_000
RUNS: Final = 3
LONG_SECONDS: Final = 15
"""A peer that takes longer runs once."""
PEERS: Final = (
    Peer("rensa", ("rensa==0.5.0", "pyarrow"), "rensa"),
    Peer("daft", ("daft==0.7.26", "numpy", "pyarrow"), "daft"),
    Peer("datasketch", ("datasketch==2.0.0", "pyarrow"), "datasketch"),
    Peer("datatrove", ("datatrove[io,processing]==0.10.1", "spacy"), "datatrove"),
)
Generator = Literal["exact", "minhash"]


def ours(path: Path, candidates: Generator) -> dict[str, float]:
    """Seconds and number kept, in this process."""
    from curate.columns import to_numpy
    from curate.scan import MemoryScan
    from stages.select.neartext import NearDuplicateText

    pa.array(np.zeros(1))  # pyarrow imports pandas with its first array, where that is installed
    begin = time.perf_counter()
    texts = to_numpy(pq.ParquetFile(path).read(["text"])["text"])
    scan = MemoryScan({"text": texts}, shards=-(-len(texts) // SHARD_ROWS))
    step = NearDuplicateText(candidates=candidates)
    found = step.compute(scan.columns, scan.fit(step))
    kept = sum(rank == 0 for rank in found["text_rank"])
    return {"seconds": time.perf_counter() - begin, "kept": int(kept)}


def rows(path: Path, cache: Path, scratch: Path) -> Iterator[dict[str, Any]]:
    """A row per way, as it is done: the best of some runs; one that is not to be had says why."""
    for candidates in ("exact", "minhash"):
        name = f"ours, {candidates}"
        command = [sys.executable, "-m", "benchmarks.neardup", "--ours", candidates, "--captions", str(path)]
        runs = [_said(*run_program(command, name, scratch=Path.cwd())) for _ in range(RUNS)]
        yield {"way": name, "version": "", **min(runs, key=lambda run: run["seconds"])}
    for peer in PEERS:
        program = PROGRAMS / f"neardup_{peer.name}.py"
        try:
            found = [measure(peer, program, [str(path)], cache, scratch=scratch)]
            while len(found) < RUNS and found[0].total < LONG_SECONDS:
                found.append(measure(peer, program, [str(path)], cache, scratch=scratch))
        except Unavailable as reason:
            yield {"way": peer.name, "missing": str(reason)}
            continue
        best = min(found, key=lambda outcome: outcome.seconds)
        yield {"way": peer.name, "version": best.version, "total": best.total, **best.said}


def _said(said: dict[str, Any], total: float) -> dict[str, Any]:
    return {**said, "total": total}


def main(json: bool = False, captions_file: Path | None = None, count: int = ROWS, cache: Path | None = None) -> None:
    """Print how many each keeps, of how many that should stay, and its time as a multiple of ours."""
    with tempfile.TemporaryDirectory(prefix="neardup-") as folder:
        path = captions_file or Path(folder) / "captions.parquet"
        if captions_file is None:
            write_captions(count, str(path))
        texts = pq.read_table(path, columns=["text"])["text"].to_pylist()
        truth = len(set(groups(texts)))
        if not json:
            print(f"{len(texts):,} captions, of which {truth:,} stay when all pairs are compared")
            print(f"{'':28}{'kept':>10}{'error':>8}{'seconds':>10}{'ratio':>8}{'process':>10}")
        found = []
        for row in rows(path.absolute(), cache or default_cache(), Path(folder)):
            found.append(row)
            if not json:
                print(line(row, truth, found[0]["seconds"]), flush=True)
    if json:
        print(jsonlib.dumps({"benchmark": "neardup", "captions": len(texts), "truth": truth, "rows": found}))


def line(row: dict[str, Any], truth: int, first: float) -> str:
    """A row in words: kept, more or fewer than the truth, seconds, as a multiple of ours, and of the whole process."""
    if "missing" in row:
        return f"{row['way']:28}not measured: {row['missing']}"
    kept, seconds, total = row["kept"], row["seconds"], row["total"]
    name = f"{row['way']} {row['version']}"
    return f"{name:28}{kept:10,}{kept - truth:+8}{seconds:10.2f}{seconds / first:8.1f}{total:10.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neardup", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--captions", type=Path, help="Parquet file with a column `text`; default: made on the way")
    parser.add_argument("--rows", type=int, default=ROWS, help="captions to make")
    parser.add_argument("--cache", type=Path, help="where the environments of peers lie")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ours", choices=["exact", "minhash"], help="measure only this, in this process")
    asked = parser.parse_args()
    if asked.ours:
        print(jsonlib.dumps(ours(asked.captions, asked.ours)))
    else:
        main(asked.json, asked.captions, asked.rows, asked.cache)
