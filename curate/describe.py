"""Text and JSON for the command line: plans, results, statuses, fates, models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.api import plan as make
from curate.contracts import Signal
from curate.funnel import Funnel
from curate.inspect import Run, open_run, run_names
from curate.lock import RunLock
from curate.planner import Fit, Global, Node, Pass, Phase, Plan, Rule, describe
from curate.pool import Pool
from curate.report.visible import shorten, visible
from curate.storage import Storage, default_root
from curate.words import counted

if TYPE_CHECKING:
    from curate.models import Resolved


def describe_plan(recipe: str, root: str | None, overrides: Sequence[str], plugins: Sequence[str]) -> dict[str, Any]:
    """A plan with what is already computed, as plain data."""
    planned = make(recipe, root, overrides, plugins)
    storage = Storage(root or default_root())
    pool = Pool.open(storage, planned.recipe.pool)
    phases = [_phase(phase, planned, pool) for phase in planned.phases]
    return {
        "recipe": planned.recipe.header.name,
        "pool": planned.recipe.pool,
        "source": describe(planned.recipe.source),
        "known_rows": sum(shard.rows for shard in pool.shards.values()),
        "known_shards": len(pool.shards),
        "phases": phases,
        "rules": [_rule(rule) for rule in planned.rules],
        "images_read": sum(any(_reads(step) for step in phase["steps"]) for phase in phases),
        "notes": planned.notes,
        "exports": [describe(exporter) for exporter in planned.recipe.exporters],
    }


def _phase(phase: Phase, planned: Plan, pool: Pool) -> dict[str, Any]:
    if isinstance(phase, Pass):
        steps = [_node(node, planned, pool) for node in phase.signals]
        filters = [rule.label for rule in phase.rules] if planned.recipe.header.compute == "needed" else []
        return {"kind": "pass", "steps": steps, "filters_inside": filters}
    if isinstance(phase, Global):
        return {"kind": "fact", "steps": [_node(phase.node, planned, pool)]}
    assert isinstance(phase, Fit)
    return {"kind": "selection", "steps": [{"label": phase.rule.label, "needs": list(phase.rule.step.inputs())}]}


def _rule(rule: Rule) -> dict[str, Any]:
    found = {"label": rule.label, "step": describe(rule.step), "needs": list(rule.step.inputs())}
    return found | ({"on": list(rule.kinds)} if rule.kinds else {})


def _node(node: Node, planned: Plan, pool: Pool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "label": node.label,
        "step": describe(node.step),
        "needs": list(node.inputs),
        "gives": {name: str(kind) for name, kind in node.step.gives().items()},
    }
    found |= {"on": list(node.kinds)} if node.kinds else {}
    if isinstance(node.step, Signal):
        found |= {"image": node.step.image, "lane": node.step.lane, "models": list(node.step.models())}
    if isinstance(node.step, Signal) and not planned.late(node):  # else it is known only as it runs
        stored = [facts for (fingerprint, _), facts in pool.facts.items() if fingerprint == node.fingerprint]
        found["computed"] = sum(facts.computed + facts.errors for facts in stored)
        found["of"] = sum(shard.usable_of(node.kinds) for shard in pool.shards.values())
    return found


def _reads(step: Mapping[str, Any]) -> bool:
    """Whether a described step has images to look at that it does not know yet."""
    known = "computed" in step and step["computed"] >= step["of"] > 0
    return bool(step.get("image")) and not known


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
            lines.append(f"   {step['label']}{where}{_on(step)}: {gives}{needs}{state}")
        for rule in phase.get("filters_inside", []):
            lines.append(f"   spares later steps: {rule}")
    lines += ["rules, in order:", *[f"   {rule['step']}{_on(rule)}" for rule in plan["rules"]]]
    lines += [f"note: {note}" for note in plan["notes"]]
    return "\n".join([*lines, *[f"export {step}" for step in plan["exports"]]])


def _on(step: Mapping[str, Any]) -> str:
    """In a pool of documents: which rows a step is about."""
    return f" on {', '.join(f'{kind}s' for kind in step['on'])}" if "on" in step else ""


def run_text(result: dict[str, Any]) -> str:
    """The end of a run: funnel, what was computed, shards, report."""
    lines = [str(open_run(result["run"]).funnel())]
    lines += [f"  failed {n:>7,}  {error}" for error, n in result["failed"].items()]
    total = sum(result["computed"].values())
    lines.append(
        f"computed {total:,} values now, reused {sum(result['reused'].values()):,}"
        if total
        else "computed nothing: every fact was there already"
    )
    for kind, paths in result["exports"].items():
        where = (
            f"{counted(len(paths), 'shard')} in {paths[0].rsplit('/', 1)[0]}"
            if paths
            else "nothing, since none is kept"
        )
        lines.append(f"{kind:<11} {where}")
    lines.append(f"report      {result['report']}")
    return "\n".join([*lines, f"{result['seconds']:.1f} s"])


def entered_text(manifest: Mapping[str, Any]) -> str:
    """How much a run was about: `956 records`; of documents `32 documents, 700 texts, 224 images`."""
    kinds = manifest.get("kinds") or {}
    return ", ".join(counted(n["entered"], kind) for kind, n in kinds.items()) or counted(manifest["entered"], "record")


def status_rows(run: str | None, root: str | None) -> list[dict[str, Any]]:
    """How runs stand. A folder without a manifest is no run: its start failed. `locked`: a live driver holds it; a run that
    says it is running, and that none holds, was `interrupted`."""
    storage = Storage(root or default_root())
    runs = [open_run(run, root)] if run else [open_run(name, storage.root) for name in run_names(storage)]
    return [_status(opened) for opened in runs]


def _status(run: Run) -> dict[str, Any]:
    manifest, held = run.manifest, RunLock(run.storage, f"{run.folder}/lock").held()
    dead = manifest["status"] == "running" and not held
    row = {"run": run.name, "status": "interrupted" if dead else manifest["status"], "locked": held}
    row |= {name: manifest[name] for name in ("entered", "kept", "seconds", "cost") if name in manifest}
    row |= _gone(manifest)
    kinds = {
        kind: {"entered": n["entered"], "kept": n["kept"], **_gone(n)}
        for kind, n in (manifest.get("kinds") or {}).items()
    }
    return row | ({"kinds": kinds} if kinds else {})


def _gone(counts: Mapping[str, Any]) -> dict[str, int]:
    return {fate: sum(counts.get(fate, {}).values()) for fate in ("dropped", "failed")}


def status_text(rows: Sequence[dict[str, Any]]) -> str:
    """Runs, a line each; of documents a line for each kind of row."""
    lines = []
    for row in rows:
        counts = [f"{_sum(n)}  ({kind}s)" for kind, n in row.get("kinds", {}).items()]
        counts = counts or [_sum(row) if "entered" in row else "no ledger yet"]
        head = f"{row['run']:<32} {row['status']:<11} {'locked ' if row['locked'] else ''}"
        lines += [f"{head if i == 0 else ' ' * len(head)}{text}" for i, text in enumerate(counts)]
    return "\n".join(lines) or "no runs yet; start one with: curate run manifests/quickstart.yaml"


def _sum(n: Mapping[str, Any]) -> str:
    return f"entered {n['entered']:,} = kept {n['kept']:,} + dropped {n['dropped']:,} + failed {n['failed']:,}"


def fate_text(fate: dict[str, Any]) -> str:
    """One sample's fate; of a document also its nodes, a line each, of a node also its document's fate."""
    head = f"{fate['uid']}  key {fate['key']}, shard {fate['shard']} row {fate['row']} ({fate['unit']})"
    lines = [head, *_place_lines(fate), f"{_fate_line(fate)}{_facts_text(fate)}"]
    return "\n".join([*lines, *map(_node_line, fate.get("nodes", ()))])


def _fate_line(fate: Mapping[str, Any]) -> str:
    if fate.get("along"):
        return f"{fate['fate']} with its document"
    if fate["fate"] == "dropped":
        return f"dropped by {fate['rule']}: it saw {fate.get('value', '')}; the rule is {fate.get('threshold', '')}"
    if fate["fate"] == "failed":
        return f"failed: {fate['error']}"
    return f"kept, exported {fate['times']} x"


def _place_lines(fate: Mapping[str, Any]) -> list[str]:
    """What and where a row of a pool of documents is, and what became of a node's document."""
    if "kind" not in fate:
        return []
    lines = [f"{fate['kind']}: {_line(fate['text'], 100) or '(no text)'}"]
    if "document" in fate:
        document = fate["document"]
        lines.append(f"{fate['place']} of document {document['uid']}: {_line(document['text'] or document['url'], 60)}")
        lines.append(f"its document is {document['fate']}{_reason(document)}")
    if fate["url"]:
        lines.insert(1, f"at {_line(fate['url'], 120)}")
    return lines


def _node_line(node: Mapping[str, Any]) -> str:
    said = _line(node["text"] or (node["url"] or "").rsplit("/", 1)[-1], 56)
    reason = ", with the document" if node["along"] else _reason(node)
    return (
        f"  {node['fate']:<8}{node['key'].rsplit('/', 1)[-1]:<6}{node['kind']:<6}{node['tag'] or '':<11}{said}{reason}"
    )


def _reason(entry: Mapping[str, Any]) -> str:
    """By which rule or error it is gone; empty if it is kept."""
    found = [entry["rule"], entry["value"]] if entry["fate"] == "dropped" else [entry["error"]]
    return f"  [{_line(': '.join(filter(None, found)), 100)}]" if any(found) else ""


def _line(text: str | None, limit: int) -> str:
    """Text from the web on one line of a terminal: nothing in it controls the terminal or hides."""
    return visible(shorten(" ".join((text or "").split()), limit))


def _facts_text(fate: dict[str, Any]) -> str:
    facts = fate.get("facts") or {}
    shown = [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={_line(str(value), 120)}"
        for name, value in facts.items()
    ]
    return f"\nits facts: {', '.join(shown)}" if shown else ""


def whatif_text(before: Funnel, after: Funnel) -> str:
    """The new funnel beside the old; of documents, for each kind of row."""
    kinds = list(after.kinds) or [""]
    was, now = ({kind: funnel.kinds.get(kind, funnel) for kind in kinds} for funnel in (before, after))
    rules = list(dict.fromkeys([*before.dropped, *after.dropped]))
    rows: list[tuple[str, list[str]]] = [
        ("entered", [f"{n.entered:,}" for kind in kinds for n in (was[kind], now[kind])])
    ]
    for rule in rules:
        counts = [f"{n.dropped.get(rule, 0):,}" for kind in kinds for n in (was[kind], now[kind])]
        rows.append((f"dropped by {rule}", counts))
    rows.append(("failed", [f"{sum(n.failed.values()):,}" for kind in kinds for n in (was[kind], now[kind])]))
    if after.open:
        rows.append(("open", [f"{n.open:,}" for kind in kinds for n in (was[kind], now[kind])]))
    rows.append(("kept", [_kept(n) for kind in kinds for n in (was[kind], now[kind])]))
    width = max(44, *(len(label) + 1 for label, _ in rows))
    wide = max(10, *(len(cell) + 1 for _, cells in rows for cell in cells))
    lines = [" " * width + "".join(f"{kind + 's':>{2 * wide}}" for kind in kinds)] if after.kinds else []
    lines.append(" " * width + "".join(f"{word:>{wide}}" for word in ("was", "would be") * len(kinds)))
    lines += [f"{label:<{width}}" + "".join(f"{cell:>{wide}}" for cell in cells) for label, cells in rows]
    return "\n".join([*lines, *_open_lines(now)])


def _kept(funnel: Funnel) -> str:
    """What is kept: a number, or its range where rows are open."""
    return f"{funnel.kept:,} to {funnel.kept + funnel.open:,}" if funnel.open else f"{funnel.kept:,}"


def _open_lines(kinds: Mapping[str, Funnel]) -> list[str]:
    """What open rows lack, each fact by the kind of row that lacks it."""
    lines = []
    for label in dict.fromkeys(label for funnel in kinds.values() for label in funnel.needs):
        lack = [counted(n.needs[label], kind or "row") for kind, n in kinds.items() if n.needs.get(label)]
        lines.append(f"open for want of {label}: {', '.join(lack)}")
    if lines:
        lines.append("run the recipe to know" + ("; an open document leaves its nodes open" if "" not in kinds else ""))
    return lines


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
