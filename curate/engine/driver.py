"""The driver of a run: ingest, phases, ledger, export, report; the accounting is checked before anything is published."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import curate
from curate.contracts import Selection, Signal
from curate.deny import read_deny
from curate.engine.context import Context
from curate.engine.decide import INGEST, AliveScan, Decider, Walk, ledger_table
from curate.engine.export import ExportRun
from curate.engine.facts import run_pool_fact
from curate.engine.ingest import ingest
from curate.engine.passes import PassRun
from curate.errors import CurateError, EnvironmentFault, PoolError, Stopped, TooManyFailed
from curate.plan import Fit, Global, Node, Pass, Rule
from curate.pool import Shard
from curate.schema import DROPPED, FAILED, KEPT, uid_words
from stages.export.card import dataset_card

COUNTED_ROWS = 20_000_000
"""Up to here duplicate uids are counted: 320 MB."""


@dataclass
class Counts:
    """The funnel: every record that entered has one fate."""

    entered: int
    kept: int
    dropped: dict[str, int]  # rule -> n, in the recipe's order
    failed: dict[str, int]  # error -> n

    def check(self) -> None:
        """Raise if a sample was lost or counted twice: a defect of this program, which must never pass silently."""
        total = self.kept + sum(self.dropped.values()) + sum(self.failed.values())
        if total != self.entered:
            raise CurateError(f"{self.entered} samples entered but {total} have a fate: please report this defect")


def run_phases(context: Context, limit: int | None) -> tuple[Decider, Counts]:
    """Everything up to the ledger."""
    denied = read_deny(context.storage, context.recipe.header.deny)
    if not context.storage.exists(f"{context.folder}/manifest.json"):
        write_manifest(context, Decider(context.plan, context.pool, [], {}, denied.match), None, "running")
    shards = ingest(context)
    shards, limits = limited(shards, limit, context.recipe.header.chunk_rows)
    decider = Decider(context.plan, context.pool, shards, limits, denied.match)
    write_manifest(context, decider, None, "running")
    for phase in context.plan.phases:
        if isinstance(phase, Pass):
            PassRun(context, decider, phase).run()
        elif isinstance(phase, Global):
            run_pool_fact(context, decider, phase)
        elif isinstance(phase, Fit):
            fit(decider, phase.rule)
    counts = write_ledger(context, decider)
    return decider, counts


def limited(shards: list[Shard], limit: int | None, chunk_rows: int) -> tuple[list[Shard], dict[int, int]]:
    """The first whole chunks that hold at least `limit` rows: (shards, rows per shard number)."""
    if limit is None:
        return shards, {}
    found, limits, total = [], {}, 0
    for shard in shards:
        if total >= limit:
            break
        rows = 0
        while rows < shard.rows and total + rows < limit:
            rows = min(shard.rows, rows + chunk_rows)
        found.append(shard)
        limits[shard.number] = rows
        total += rows
    return found, limits


def fit(decider: Decider, rule: Rule) -> None:
    """A selection learns its threshold from the rows that the rules before it leave."""
    assert isinstance(rule.step, Selection)
    decider.states[rule.number] = rule.step.fit(AliveScan(decider, rule.number), decider.plan.recipe.header.seed)


def count_fates(walks: Mapping[str, int], rules: list[str], entered: int) -> Counts:
    """Counts from (fate, rule or error) tallies."""
    dropped = {rule: walks[f"{DROPPED}\0{rule}"] for rule in ["deny", *rules] if walks.get(f"{DROPPED}\0{rule}")}
    failed = {key.split("\0", 1)[1]: n for key, n in sorted(walks.items()) if key.startswith(f"{FAILED}\0")}
    return Counts(entered, walks.get(KEPT, 0), dropped, failed)


def tally(walk: Walk) -> Counter[str]:
    """How many rows of a shard have which fate."""
    found: Counter[str] = Counter()
    for fate, rule, error in zip(walk.fate.tolist(), walk.rule, walk.error, strict=True):
        found[KEPT if fate == 0 else f"{DROPPED}\0{rule}" if fate == 1 else f"{FAILED}\0{error}"] += 1
    return found


def write_ledger(context: Context, decider: Decider) -> Counts:
    """One fate per record, shard by shard, then the sum is checked."""
    found: Counter[str] = Counter()
    entered = 0
    for shard in decider.shards:
        walk = decider.finish(shard)
        missing = {label: int(rows.sum()) for label, rows in walk.unknown.items() if rows.any()}
        if missing:
            raise EnvironmentFault(
                f"shard {shard.number} lacks facts {missing}: another run changed the pool; run again"
            )
        context.storage.write_table(f"{context.folder}/ledger/{shard.number:08d}.parquet", ledger_table(walk))
        found += tally(walk)
        entered += len(walk.fate)
    if entered == 0:
        raise PoolError("no record entered: the source is empty")
    known = {f"{shard.number:08d}.parquet" for shard in decider.shards}
    stale = [n for n in context.storage.list(f"{context.folder}/ledger") if n not in known]
    context.storage.remove(f"{context.folder}/ledger/{name}" for name in stale)
    counts = count_fates(found, [rule.label for rule in context.plan.rules], entered)
    counts.check()
    check_failed(context, counts)
    return counts


def check_failed(context: Context, counts: Counts) -> None:
    """The run's own check of `max_failed`, over all facts, new and reused; what ingest could not get does not count."""
    errors = Counter({error: n for error, n in counts.failed.items() if not error.startswith(INGEST)})
    limit = context.recipe.header.max_failed
    if errors.total() > limit * counts.entered:
        raise TooManyFailed(
            f"{errors.total()} of {counts.entered} samples failed, more than max_failed = {limit:g} allows; most often: "
            f"{'; '.join(f'{error} ({n})' for error, n in errors.most_common(3))}. Mend the source, or raise max_failed"
        )


def duplicate_uids(decider: Decider) -> int | None:
    """Records whose uid an earlier record has; None for pools too large to count in memory."""
    if sum(decider.rows(shard) for shard in decider.shards) > COUNTED_ROWS:
        return None
    words = np.concatenate([uid_words(decider.index(shard)["uid"]) for shard in decider.shards])
    return len(words) - len(np.unique(words, axis=0))


def export(context: Context, decider: Decider) -> dict[str, list[dict[str, Any]]]:
    """Shards in every format of the recipe: format -> [{name, samples, bytes, sha256}]."""
    return ExportRun(context, decider).run() if context.recipe.exporters else {}


def write_manifest(
    context: Context,
    decider: Decider,
    counts: Counts | None,
    status: str,
    exports: Mapping[str, Any] | None = None,
    seconds: float = 0.0,
) -> dict[str, Any]:
    """`runs/<run>/manifest.json`: recipe, versions, fingerprints, counts, cost."""
    recipe = context.recipe
    path = f"{context.folder}/manifest.json"
    before = context.storage.read_json(path) if counts is None and context.storage.exists(path) else {}
    manifest: dict[str, Any] = before | {
        "run": context.run,
        "status": status,
        "version": curate.__version__,
        "python": sys.version.split()[0],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "executor": context.executor.name,
        "recipe": recipe.data,
        "recipe_file": str(Path(recipe.file).resolve()),
        "pool": {
            "name": context.pool.name,
            "shards": [
                {"number": s.number, "unit": s.unit, "content": s.content, "rows": decider.rows(s)}
                for s in decider.shards
            ],
            "rows": sum(decider.rows(s) for s in decider.shards),
        },
        "limit": {str(number): rows for number, rows in decider.limit.items()},
        "signals": [_describe_node(decider, node) for node in context.plan.nodes],
        "rules": [_describe_rule(decider, rule, counts) for rule in context.plan.rules],
        "models": _models(context),
    }
    if counts is not None:
        manifest |= {
            "entered": counts.entered,
            "kept": counts.kept,
            "dropped": counts.dropped,
            "failed": counts.failed,
            "duplicate_uids": duplicate_uids(decider),
            "computed": context.computed,
            "reused": context.reused,
            "cost": {label: round(seconds, 3) for label, seconds in context.seconds.items()},
            "exports": dict(exports or {}),
            "seconds": round(seconds, 2),
        }
    context.storage.write_json(path, manifest)
    return manifest


def _describe_node(decider: Decider, node: Node) -> dict[str, Any]:
    return {
        "label": node.label,
        "step": f"{type(node.step).__module__}.{type(node.step).__qualname__}",
        "columns": list(node.columns.values()),
        "fingerprint": decider.fingerprint(node),
    }


def _describe_rule(decider: Decider, rule: Rule, counts: Counts | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "label": rule.label,
        "step": f"{type(rule.step).__module__}.{type(rule.step).__qualname__}",
    }
    if isinstance(rule.step, Selection):
        state = decider.states.get(rule.number)
        found["threshold"] = rule.step.threshold(state) if state is not None else ""
        found["bounds"] = rule.step.bounds(state) if state is not None else {}
    else:
        found["threshold"] = rule.text
        found["bounds"] = rule.step.bounds()
    if counts is not None:
        found["dropped"] = counts.dropped.get(rule.label, 0)
    return found


def _models(context: Context) -> list[dict[str, Any]]:
    specs = {spec for node in context.plan.nodes if isinstance(node.step, Signal) for spec in node.step.models()}
    if not specs:
        return []
    from curate.models import resolve

    found = [resolve(spec) for spec in sorted(specs)]
    return [{"spec": m.spec, "licence": m.licence, "sha256": m.sha256} for m in found]


def stamp_status(context: Context, status: str) -> None:
    """Note in the manifest how the run ended, keeping everything else."""
    path = f"{context.folder}/manifest.json"
    if context.storage.exists(path):
        context.storage.write_json(path, context.storage.read_json(path) | {"status": status})


def drive(context: Context, limit: int | None = None) -> dict[str, Any]:
    """The whole run, under its lock; returns the manifest."""
    started = time.perf_counter()
    try:
        decider, counts = run_phases(context, limit)
        exports = export(context, decider)
        context.pool.compact_log()
        seconds = time.perf_counter() - started
        manifest = write_manifest(context, decider, counts, "complete", exports, seconds)
        for kind in exports:
            card = dataset_card(manifest, kind)
            context.storage.write(f"{context.folder}/export/{kind}/README.md", card.encode())
    except BaseException as error:  # whatever ends the run is noted, then goes its way
        ends = {KeyboardInterrupt: "interrupted", Stopped: "stopped"}
        with suppress(CurateError, OSError):  # a full disk must not hide its own cause
            if not context.lock.lost.is_set():
                stamp_status(context, ends.get(type(error), "failed"))
        raise
    finally:
        with suppress(CurateError, OSError):
            if not context.lock.lost.is_set():
                context.write_events()
    return manifest
