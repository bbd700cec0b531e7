"""The caption chain by this project: plain calls of its signals and filters, or a pass of the engine's worker.

    python -m benchmarks.peers.ours_captions calls|worker SOURCE TARGET

Plain calls do what a notebook would: read, compute, filter, write what stays. The worker does what a run does on one
core, and keeps more: the facts of every caption, states and errors, and one fate for each in a ledger.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.peers import six_rules as spec
from curate.columns import to_arrow, to_numpy
from curate.contracts import Batch, Columns, Filter, Signal
from filters.characters import Characters as CharacterRule
from filters.text import CaptionLength
from filters.text import Repetition as RepetitionRule
from stages.signals.characters import Characters
from stages.signals.repetition import Repetition
from stages.signals.text import CaptionStats

ROWS, SHARD = 1024, 10_000
"""Rows of a batch of plain calls, and of a shard that the worker takes as one chunk."""
LENGTH: Final = {
    "min_words": spec.MIN_WORDS,
    "max_words": spec.MAX_WORDS,
    "min_chars": spec.MIN_CHARS,
    "max_chars": spec.MAX_CHARS,
}
CHARACTERS: Final = {"min_alnum": spec.MIN_ALNUM, "max_special": spec.MAX_SPECIAL}
REPETITION: Final = {"max_characters": spec.MAX_REPETITION, "max_words": spec.MAX_REPETITION}
NGRAMS: Final = {"characters": spec.CHARS_NGRAM, "words": spec.WORDS_NGRAM}


def calls(source: Path, target: Path) -> float:
    """Seconds. Each signal sees what the filters before it left."""
    chain: list[tuple[Signal, Filter]] = [
        (CaptionStats(), CaptionLength.model_validate(LENGTH)),
        (Characters(), CharacterRule.model_validate(CHARACTERS)),
        (Repetition.model_validate(NGRAMS), RepetitionRule.model_validate(REPETITION)),
    ]
    begin = time.perf_counter()
    target.mkdir(parents=True)
    for path in sorted(source.glob("*.parquet")):
        table = pq.read_table(path)
        parts = [_filtered(chain, table.slice(at, ROWS)) for at in range(0, table.num_rows, ROWS)]
        pq.write_table(pa.concat_tables(parts), target / path.name)
    return time.perf_counter() - begin


def _filtered(chain: list[tuple[Signal, Filter]], table: pa.Table) -> pa.Table:
    for signal, rule in chain:
        found = signal.compute(Batch({"text": to_numpy(table["text"])}))
        kinds = signal.gives()
        columns: Columns = {
            name: to_numpy(to_arrow(found[name], kinds[name], table.num_rows, name)) for name in rule.inputs()
        }
        table = table.filter(pa.array(rule.keep(columns)))
    return table


def worker(source: Path, target: Path) -> float:
    """Seconds of the pass and of the decisions, on shards that are indexed already."""
    from curate.engine.decide import Decider, ledger_table
    from curate.engine.work import Chunk, PassTask
    from curate.engine.worker import PassWorker
    from curate.planner import Pass, make_plan
    from curate.pool import Facts, Pool, write_index
    from curate.recipe import build_recipe
    from curate.schema import KEPT
    from curate.storage import Storage

    storage = Storage(str(target.absolute()))
    plan = make_plan(build_recipe(_recipe(), "captions.yaml", root=str(target)))
    (phase,) = (phase for phase in plan.phases if isinstance(phase, Pass))
    table = pa.concat_tables(pq.read_table(path) for path in sorted(source.glob("*.parquet")))
    shards = []
    for number, at in enumerate(range(0, table.num_rows, SHARD)):
        rows = _index(table.slice(at, SHARD))
        shards.append(write_index(storage, "captions", number, str(number), "1", "", rows))
    begin = time.perf_counter()
    task = PassTask(storage, "captions", phase.signals, phase.rules, 0, 100.0, 60.0)
    step = PassWorker(task)
    known = {}
    for shard in shards:
        alive = np.packbits(np.ones(shard.rows, bool)).tobytes()
        labels = tuple(node.label for node in phase.signals)
        file = f"facts/{shard.number:08d}.parquet"
        chunk = Chunk(shard, "", 0, shard.rows, labels, {}, alive, file, shard.rows, False, f"attempts/{shard.number}")
        result = step.back(step.front(chunk))
        for node in phase.signals:
            computed = result.totals[node.label][0]
            known[node.fingerprint, shard.number] = Facts(
                node.fingerprint,
                shard.number,
                shard.content,
                file,
                node.label,
                node.columns,
                computed,
                0,
                result.sha256,
            )
    pool = Pool(storage, "captions", {shard.unit: shard for shard in shards}, known)
    decider = Decider(plan, pool, shards, {}, lambda index: [None] * index.num_rows)
    for shard in shards:
        walk = decider.finish(shard)
        assert not walk.unknown
        storage.write_table(f"ledger/{shard.number:08d}.parquet", ledger_table(walk))
    seconds = time.perf_counter() - begin
    for shard in shards:
        ledger = storage.read_table(f"ledger/{shard.number:08d}.parquet")
        kept = ledger.filter(pc.equal(ledger["fate"], KEPT))
        storage.write_table(f"kept/{shard.number:08d}.parquet", pa.table({"uid": kept["key"]}))
    return seconds


def _recipe() -> dict[str, Any]:
    return {
        "name": "captions",
        "pool": {"step": "stages.ingest.webdataset.Webdataset", "path": "captions.tar"},
        "signals": [
            {"step": "stages.signals.text.CaptionStats"},
            {"step": "stages.signals.characters.Characters"},
            {"step": "stages.signals.repetition.Repetition", **NGRAMS},
        ],
        "select": [
            {"step": "filters.text.CaptionLength", **LENGTH},
            {"step": "filters.characters.Characters", **CHARACTERS},
            {"step": "filters.text.Repetition", **REPETITION},
        ],
    }


def _index(table: pa.Table) -> pa.Table:
    """Index rows of captions without images; no step of the chain wants one."""
    from curate.schema import INDEX, make_uid

    keys, texts = table["uid"].to_pylist(), table["text"].to_pylist()
    rows = table.num_rows
    columns: dict[str, Any] = {field.name: pa.nulls(rows, field.type) for field in INDEX}
    columns |= {"uid": [make_uid(key, text, b"") for key, text in zip(keys, texts, strict=True)], "key": keys}
    return pa.table({**columns, "text": texts}, schema=INDEX)


if __name__ == "__main__":
    way = {"calls": calls, "worker": worker}[sys.argv[1]]
    print(json.dumps({"seconds": way(Path(sys.argv[2]), Path(sys.argv[3]))}))
