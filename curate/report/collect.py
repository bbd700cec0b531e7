"""What the report shows: one walk over the shards, bounded memory, equal pages for equal runs.

Images are opened only for the examples, which are the samples with the lowest hashes of their uids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from curate.engine.decide import DENY
from curate.plan import Plan
from curate.report.cards import Cards
from curate.report.charts import histograms
from curate.report.part import column_of, parts
from curate.report.tallies import Alone, Clusters, Examples, Filled, Groups, Tally, Texts, effective

if TYPE_CHECKING:
    from curate.inspect import Run

KEPT_EXAMPLES, DROPPED_EXAMPLES, FAILED_EXAMPLES, GROUNDED_EXAMPLES = 12, 6, 3, 6
RULES_SHOWN: Final = 30
"""Rules with a grid of what they dropped: bounds the page."""
ERRORS_SHOWN, TEXTS_SHOWN, GROUPS_SHOWN, MEMBERS_SHOWN = 30, 12, 6, 8
IN_LANGUAGE, IN_CLUSTER, DUPLICATES = "lang", "cluster", ("dup_group", "dup_size")
SYNTHETIC, PHRASES = "synth_caption", "phrases"
"""The names under which steps give what the report has sections for; a recipe may rename the columns."""


def collect(run: Run) -> dict[str, Any]:
    """Everything that the template needs. Raises RunError for a run without a ledger."""
    funnel = run.funnel()
    decider = run.decider(run.plan)
    alone = Alone(run.plan.rules)
    examples = Examples(KEPT_EXAMPLES, DROPPED_EXAMPLES, FAILED_EXAMPLES)
    charts = histograms(run.manifest["rules"], decider)
    texts, languages, clusters, groups = _columns(run.plan)
    synthetic, phrases = _synthetic(run.plan)
    tallies: list[Tally] = [alone, examples, *charts, texts]
    tallies += [tally for tally in (languages, clusters, groups, synthetic, phrases) if tally is not None]
    for part in parts(run, decider):
        for tally in tallies:
            tally.add(part)
    cards = Cards(run, decider)
    return {
        "m": run.manifest,
        "kinds": {"kept": funnel.kept, "dropped": sum(funnel.dropped.values()), "failed": sum(funnel.failed.values())},
        "funnel": _funnel(run.manifest, alone),
        "alone_known": alone.known,
        "failures": _failures(funnel.failed, examples, cards),
        "more_failures": sorted(funnel.failed.values(), reverse=True)[ERRORS_SHOWN:],
        "charts": charts,
        "kept": [cards.card(*example) for example in examples.of("kept")],
        "dropped": [
            {"label": label, "n": n, "cards": [cards.card(*example) for example in examples.of("rule", label)]}
            for label, n in list(funnel.dropped.items())[:RULES_SHOWN]
        ],
        "synthetic": synthetic.count if synthetic else None,
        "phrases": phrases.count if phrases else None,
        "grounded": [cards.card(place) for *_, place in phrases.found] if phrases else [],
        "captions": texts.top(TEXTS_SHOWN, least=2),
        "missed": texts.missed,
        "languages": languages.top(TEXTS_SHOWN) if languages else [],
        "clusters": _clusters(clusters) if clusters else None,
        "groups": _groups(groups, cards) if groups else None,
        "cost": _cost(run.manifest),
    }


def _columns(plan: Plan) -> tuple[Texts, Texts | None, Clusters | None, Groups | None]:
    """Tallies of captions and, where the recipe has such columns, of languages, clusters and duplicates."""
    language, cluster = column_of(plan, IN_LANGUAGE), column_of(plan, IN_CLUSTER)
    group, size = (column_of(plan, given) for given in DUPLICATES)
    return (
        Texts("text"),
        Texts(language) if language else None,
        Clusters(cluster) if cluster else None,
        Groups(group, size, GROUPS_SHOWN, MEMBERS_SHOWN) if group and size else None,
    )


def _synthetic(plan: Plan) -> tuple[Filled | None, Filled | None]:
    """Tallies of synthetic captions and of grounded phrases, where the recipe writes them."""
    caption, phrases = column_of(plan, SYNTHETIC), column_of(plan, PHRASES)
    return Filled(caption, 0) if caption else None, Filled(phrases, GROUNDED_EXAMPLES) if phrases else None


def _funnel(manifest: dict[str, Any], alone: Alone) -> list[dict[str, Any]]:
    """A row per rule: how many are left after it, what it dropped, what it alone drops (None: no such figure)."""
    left = manifest["entered"]
    rows = [{"label": "entered", "left": left, "dropped": None, "alone": None, "threshold": ""}]
    failed, denied = sum(manifest["failed"].values()), manifest["dropped"].get(DENY, 0)
    for label, n, text in (("failed", failed, "ingest or a signal"), (DENY, denied, "the deny list")):
        if n:
            left -= n
            rows.append({"label": label, "left": left, "dropped": n, "alone": None, "threshold": text})
    for rule in manifest["rules"]:
        left -= rule["dropped"]
        row = {"label": rule["label"], "left": left, "dropped": rule["dropped"], "threshold": rule["threshold"]}
        rows.append({**row, "alone": alone.drops.get(rule["label"])})
    return rows


def _failures(failed: dict[str, int], examples: Examples, cards: Cards) -> list[dict[str, Any]]:
    """Errors, frequent ones first, with the names of some of their samples."""
    ordered = sorted(failed.items(), key=lambda item: (-item[1], item[0]))[:ERRORS_SHOWN]
    return [
        {"error": error, "n": n, "samples": [cards.named(place) for place, _ in examples.of("error", error)]}
        for error, n in ordered
    ]


def _clusters(clusters: Clusters) -> dict[str, Any]:
    before, after = clusters.sizes()
    return {"before": before, "after": after, "even_before": effective(before), "even_after": effective(after)}


def _groups(groups: Groups, cards: Cards) -> dict[str, Any]:
    top = [entry | {"members": [cards.member(*member) for member in entry["members"]]} for entry in groups.top()]
    return {"groups": groups.groups, "rows": groups.rows, "top": top}


def _cost(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Core-seconds and rows per core-second of each step, costly ones first."""
    rows = []
    for label, seconds in manifest["cost"].items():
        computed = manifest["computed"].get(label, 0)
        rate = computed / seconds if seconds > 0 else 0.0
        reused = manifest["reused"].get(label, 0)
        rows.append({"label": label, "seconds": seconds, "computed": computed, "reused": reused, "rate": rate})
    return sorted(rows, key=lambda row: (-row["seconds"], row["label"]))
