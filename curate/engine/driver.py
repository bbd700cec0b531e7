"""The driver of a run: ingest, phases, ledger, export, report; the accounting is checked before anything is published."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import curate
from curate.contracts import DocumentFact, PoolFact, Selection, Signal, Unit
from curate.deny import read_deny
from curate.engine.context import Context
from curate.engine.decide import Decider
from curate.engine.export import ExportRun
from curate.engine.facts import run_fact
from curate.engine.ingest import ingest
from curate.engine.ledger import Counts, write_ledger
from curate.engine.passes import PassRun
from curate.engine.regroup import shared
from curate.engine.scan import fit, settled
from curate.errors import CurateError, PoolError, Stopped
from curate.planner import Fit, Global, Node, Pass, Rule
from curate.pool import Pool, Shard
from stages.export.card import dataset_card


def run_phases(context: Context, units: list[Unit], limit: int | None) -> tuple[Decider, Counts]:
    """Everything up to the ledger."""
    for note in context.plan.notes:
        context.reporter.say(f"note: {note}")
    denied = read_deny(context.storage, context.recipe.header.deny)
    if not context.storage.exists(f"{context.folder}/manifest.json"):
        write_manifest(context, Decider(context.plan, context.pool, [], {}, denied.match), None, "running")
    context.storage.remove([f"{context.folder}/scratch"])  # of a run that was killed
    shards = ingest(context, units, limit)
    shards, limits = limited(context.pool, shards, limit, context.recipe.header.chunk_rows)
    decider = Decider(context.plan, context.pool, shards, limits, denied.match)
    write_manifest(context, decider, None, "running")
    for phase in context.plan.phases:
        if isinstance(phase, Pass):
            PassRun(context, decider, phase).run()
        elif isinstance(phase, Global):
            run_fact(context, decider, phase)
        elif isinstance(phase, Fit):
            fit(decider, phase.rule, context.exchange(decider))
    return decider, write_ledger(context, decider)


def limited(pool: Pool, shards: list[Shard], limit: int | None, chunk_rows: int) -> tuple[list[Shard], dict[int, int]]:
    """The first whole chunks that hold at least `limit` rows, and whole documents: (shards, rows per shard number)."""
    if limit is None:
        return shards, {}
    found, limits, total = [], {}, 0
    for shard in shards:
        if total >= limit:
            break
        rows = 0
        while rows < shard.rows and total + rows < limit:
            rows = min(shard.rows, rows + chunk_rows)
        if shard.kinds and rows < shard.rows:
            starts = np.flatnonzero(pool.read_index(shard, ["parent"])["parent"].is_null().to_numpy())
            rows = int(min(starts[starts >= rows], default=shard.rows))
        found.append(shard)
        limits[shard.number] = rows
        total += rows
    return found, limits


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
        "notes": context.plan.notes,
    }
    if counts is not None:
        manifest |= {
            "entered": counts.entered,
            "kept": counts.kept,
            "dropped": counts.dropped,
            "failed": counts.failed,
            "duplicate_uids": counts.duplicate_uids,
            "kinds": {kind: _counted(one) for kind, one in counts.kinds.items()},
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
        "fingerprint": _fingerprints(decider, node),
    }


def _counted(counts: Counts) -> dict[str, Any]:
    return {"entered": counts.entered, "kept": counts.kept, "dropped": counts.dropped, "failed": counts.failed}


def _fingerprints(decider: Decider, node: Node) -> str | dict[str, str]:
    """One fingerprint, or one per shard where it depends on what a shard holds. Empty before it is known."""
    by_shard = isinstance(node.step, DocumentFact) or (decider.plan.late(node) and not isinstance(node.step, PoolFact))
    if not by_shard:
        return decider.fact_fingerprints.get(node.label, node.fingerprint)
    if not settled(decider, node):
        return {}
    return {str(shard.number): decider.fingerprint(node, shard) for shard in decider.shards}


def _describe_rule(decider: Decider, rule: Rule, counts: Counts | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "label": rule.label,
        "step": f"{type(rule.step).__module__}.{type(rule.step).__qualname__}",
    }
    if isinstance(rule.step, Selection):
        state = decider.states.get(rule.number)
        found["threshold"] = rule.step.threshold(shared(state)) if state is not None else ""
        found["bounds"] = rule.step.bounds(shared(state)) if state is not None else {}
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
    for exporter in context.recipe.exporters:
        exporter.files()  # what an exporter reads has to be there before hours of work, not after
    units = context.recipe.source.units()  # a source that cannot be read must not spoil what an earlier run left
    if not units:
        raise PoolError(f"the source of pool {context.pool.name!r} is empty")
    try:
        decider, counts = run_phases(context, units, limit)
        exports = export(context, decider)
        context.pool.compact_log()
        seconds = time.perf_counter() - started
        manifest = write_manifest(context, decider, counts, "complete", exports, seconds)
        for kind in (kind for kind, shards in exports.items() if shards):
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
                context.storage.remove([f"{context.folder}/scratch"])
    return manifest
