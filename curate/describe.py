"""Text and JSON for the command line: plans, results, statuses, fates, models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.api import plan as make
from curate.contracts import Signal
from curate.funnel import Funnel
from curate.inspect import open_run
from curate.planner import Fit, Global, Node, Pass, Phase, Plan, describe
from curate.pool import Pool
from curate.storage import Storage, default_root

if TYPE_CHECKING:
    from curate.models import Resolved


def describe_plan(recipe: str, root: str | None, overrides: Sequence[str], plugins: Sequence[str]) -> dict[str, Any]:
    """A plan with what is already computed, as plain data."""
    planned = make(recipe, root, overrides, plugins)
    storage = Storage(root or default_root())
    pool = Pool.open(storage, planned.recipe.pool)
    rows = sum(shard.usable for shard in pool.shards.values())
    phases = [_phase(phase, planned, pool, rows) for phase in planned.phases]
    return {
        "recipe": planned.recipe.header.name,
        "pool": planned.recipe.pool,
        "source": describe(planned.recipe.source),
        "known_rows": sum(shard.rows for shard in pool.shards.values()),
        "known_shards": len(pool.shards),
        "phases": phases,
        "rules": [{"label": r.label, "step": describe(r.step), "needs": list(r.step.inputs())} for r in planned.rules],
        "images_read": sum(any(_reads(step) for step in phase["steps"]) for phase in phases),
        "notes": planned.notes,
        "exports": [describe(exporter) for exporter in planned.recipe.exporters],
    }


def _phase(phase: Phase, planned: Plan, pool: Pool, rows: int) -> dict[str, Any]:
    if isinstance(phase, Pass):
        steps = [_node(node, pool, rows) for node in phase.signals]
        filters = [rule.label for rule in phase.rules] if planned.recipe.header.compute == "needed" else []
        return {"kind": "pass", "steps": steps, "filters_inside": filters}
    if isinstance(phase, Global):
        return {"kind": "fact", "steps": [_node(phase.node, pool, None)]}
    assert isinstance(phase, Fit)
    return {"kind": "selection", "steps": [{"label": phase.rule.label, "needs": list(phase.rule.step.inputs())}]}


def _node(node: Node, pool: Pool, rows: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "label": node.label,
        "step": describe(node.step),
        "needs": list(node.inputs),
        "gives": {name: str(kind) for name, kind in node.step.gives().items()},
    }
    if isinstance(node.step, Signal):
        found |= {"image": node.step.image, "lane": node.step.lane, "models": list(node.step.models())}
    if rows is not None:
        stored = [f for (fp, _), f in pool.facts.items() if fp == node.fingerprint]
        found |= {"computed": sum(f.computed + f.errors for f in stored), "of": rows}
    return found


def _reads(step: Mapping[str, Any]) -> bool:
    """Whether a described step has images to look at that it does not know yet."""
    return bool(step.get("image")) and (step["computed"] < step["of"] or not step["of"])


def plan_text(plan: dict[str, Any]) -> str:
    """A plan for people."""
    lines = [f"recipe {plan['recipe']}: pool {plan['pool']} from {plan['source']}"]
    lines.append(f"known: {plan['known_rows']:,} records in {plan['known_shards']} shards")
    lines[-1] += f"; images to be read at most {plan['images_read']} x"
    for number, phase in enumerate(plan["phases"], 1):
        lines.append(f"{number}. {phase['kind']}")
        for step in phase["steps"]:
            gives = ", ".join(step.get("gives", {}))
            state = f"  [{step['computed']:,} of {step['of']:,} computed]" if "computed" in step else ""
            where = f"  ({step['image'] or 'columns'}, {step['lane']})" if "lane" in step else ""
            needs = f" <- {', '.join(step['needs'])}" if step["needs"] else ""
            lines.append(f"   {step['label']}{where}: {gives}{needs}{state}")
        for rule in phase.get("filters_inside", []):
            lines.append(f"   spares later steps: {rule}")
    lines += ["rules, in order:", *[f"   {rule['step']}" for rule in plan["rules"]]]
    lines += [f"note: {note}" for note in plan["notes"]]
    return "\n".join([*lines, *[f"export {step}" for step in plan["exports"]]])


def run_text(result: dict[str, Any]) -> str:
    """The end of a run: funnel, what was computed, shards, report."""
    funnel = Funnel(result["entered"], result["kept"], result["dropped"], result["failed"], {})
    lines = [str(funnel)]
    lines += [f"  failed {n:>7,}  {error}" for error, n in result["failed"].items()]
    total = sum(result["computed"].values())
    lines.append(
        f"computed {total:,} values now, reused {sum(result['reused'].values()):,}"
        if total
        else "computed nothing: every fact was there already"
    )
    for kind, paths in result["exports"].items():
        folder = paths[0].rsplit("/", 1)[0] if paths else ""
        lines.append(f"{kind:<11} {len(paths)} shards in {folder}")
    lines.append(f"report      {result['report']}")
    return "\n".join([*lines, f"{result['seconds']:.1f} s"])


def status_rows(run: str | None, root: str | None) -> list[dict[str, Any]]:
    """How runs stand."""
    storage = Storage(root or default_root())
    runs = [open_run(run, root)] if run else [open_run(name, storage.root) for name in storage.list("runs")]
    return [
        {
            "run": opened.name,
            "status": opened.manifest["status"],
            "locked": opened.storage.exists(f"{opened.folder}/lock"),
            **{k: opened.manifest[k] for k in ("entered", "kept", "seconds", "cost") if k in opened.manifest},
            "dropped": sum(opened.manifest.get("dropped", {}).values()),
            "failed": sum(opened.manifest.get("failed", {}).values()),
        }
        for opened in runs
    ]


def status_text(rows: Sequence[dict[str, Any]]) -> str:
    """Runs, a line each."""
    lines = []
    for row in rows:
        counts = (
            f"entered {row['entered']:,} = kept {row['kept']:,} + dropped {row['dropped']:,} + failed {row['failed']:,}"
            if "entered" in row
            else "no ledger yet"
        )
        lines.append(f"{row['run']:<32} {row['status']:<11} {'locked ' if row['locked'] else ''}{counts}")
    return "\n".join(lines) or "no runs yet; start one with: curate run manifests/quickstart.yaml"


def fate_text(fate: dict[str, Any]) -> str:
    """One sample's fate."""
    head = f"{fate['uid']}  key {fate['key']}, shard {fate['shard']} row {fate['row']} ({fate['unit']})"
    if fate["fate"] == "dropped":
        rule = f"dropped by {fate['rule']}: it saw {fate.get('value', '')}; the rule is {fate.get('threshold', '')}"
        return f"{head}\n{rule}{_facts_text(fate)}"
    if fate["fate"] == "failed":
        return f"{head}\nfailed: {fate['error']}"
    return f"{head}\nkept, exported {fate['times']} x{_facts_text(fate)}"


def _facts_text(fate: dict[str, Any]) -> str:
    facts = fate.get("facts") or {}
    shown = [f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in facts.items()]
    return f"\nits facts: {', '.join(shown)}" if shown else ""


def whatif_text(before: Funnel, after: Funnel) -> str:
    """The new funnel beside the old."""
    lines = [f"{'':<44}{'was':>9}{'would be':>10}", f"{'entered':<44}{before.entered:>9,}{after.entered:>10,}"]
    for rule in dict.fromkeys([*before.dropped, *after.dropped]):
        lines.append(f"{'dropped by ' + rule:<44}{before.dropped.get(rule, 0):>9,}{after.dropped.get(rule, 0):>10,}")
    lines.append(f"{'failed':<44}{sum(before.failed.values()):>9,}{sum(after.failed.values()):>10,}")
    most = after.kept + sum(after.needs.values())
    kept = f"{after.kept:,}" if most == after.kept else f"{after.kept:,} to {most:,}"
    lines.append(f"{'kept':<44}{before.kept:>9,}{kept:>{max(10, len(kept) + 1)}}")
    for signal, n in after.needs.items():
        lines.append(
            f"{n:,} rows need {signal}: kept is between {after.kept:,} and {after.kept + n:,}; run the recipe to know"
        )
    return "\n".join(lines)


def model_rows(spec: str | None) -> list[dict[str, Any]]:
    """Models at hand."""
    from curate.models import catalog, resolve

    found: list[Resolved] = [resolve(spec)] if spec else catalog()
    return [{"spec": m.spec, "kind": m.kind, "licence": m.licence, "bytes": m.bytes, "sha256": m.sha256} for m in found]


def model_text(rows: Sequence[dict[str, Any]]) -> str:
    """Models, a line each."""
    return "\n".join(
        f"{row['spec']:<32}{row['kind']:<14}{row['bytes'] / 1e6:>8.1f} MB  {row['licence']:<28}{row['sha256'][:16]}"
        for row in rows
    )
