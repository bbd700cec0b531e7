"""What the report shows: one walk over the shards, bounded memory, equal pages for equal runs.

Images are opened only for the examples, which are the samples with the lowest hashes of their uids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from curate.engine.decide import DENY, Decider
from curate.planner import Plan
from curate.report.cards import Cards
from curate.report.charts import Histogram, histograms
from curate.report.documents import DocumentTallies, document_tallies, family
from curate.report.part import KINDS, PAIRS, Part, Tally, column_of, parts
from curate.report.tallies import Alone, Clusters, Examples, Filled, Groups, Texts, effective
from curate.schema import IMAGE

if TYPE_CHECKING:
    from curate.inspect import Run

KEPT_EXAMPLES, DROPPED_EXAMPLES, FAILED_EXAMPLES, GROUNDED_EXAMPLES = 12, 6, 3, 6
RULES_SHOWN: Final = 30
"""Rules with a grid of what they dropped: bounds the page."""
ERRORS_SHOWN, TEXTS_SHOWN, GROUPS_SHOWN, MEMBERS_SHOWN = 30, 12, 6, 8
IN_LANGUAGE, IN_CLUSTER, DUPLICATES = "lang", "cluster", ("dup_group", "dup_size")
SYNTHETIC, PHRASES = "synth_caption", "phrases"
"""The names under which steps give what the report has sections for; a recipe may rename the columns."""


@dataclass(frozen=True)
class Tallies:
    """Everything that is counted; None where the recipe has no such column."""

    alone: Alone
    examples: Examples
    charts: list[Histogram]
    captions: Texts | None
    documents: DocumentTallies | None
    languages: Texts | None
    clusters: Clusters | None
    groups: Groups | None
    synthetic: Filled | None
    phrases: Filled | None

    def add(self, part: Part) -> None:
        """Count a shard."""
        whole: list[Tally | None] = [self.alone, self.examples, *self.charts]
        some: list[Tally | None] = [self.captions, self.documents, self.languages, self.clusters, self.groups]
        for tally in [*whole, *some, self.synthetic, self.phrases]:
            if tally is not None:
                tally.add(part)


def collect(run: Run) -> dict[str, Any]:
    """Everything that the template needs. Raises RunError for a run without a ledger."""
    funnel = run.funnel()
    errors = sorted(funnel.failed.items(), key=lambda item: (-item[1], item[0]))
    decider = run.decider(run.plan)
    tallies = _tallies(run, decider, [error for error, _ in errors[:ERRORS_SHOWN]])
    for part in parts(run, decider):
        tallies.add(part)
    captions, rules = tallies.captions, list(funnel.dropped)[:RULES_SHOWN]
    cards = Cards(run, decider)
    return {
        "m": run.manifest,
        "fates": {"kept": funnel.kept, "dropped": sum(funnel.dropped.values()), "failed": sum(funnel.failed.values())},
        "funnel": _funnel(run.manifest, tallies.alone),
        "alone_known": tallies.alone.known,
        "charts": tallies.charts,
        "captions": captions.top(TEXTS_SHOWN, least=2) if captions else [],
        "missed": captions.missed if captions else 0,
        "languages": tallies.languages.top(TEXTS_SHOWN) if tallies.languages else [],
        "languages_of": _kinds_of(run.plan, tallies.languages),
        "clusters": _clusters(tallies.clusters) if tallies.clusters else None,
        "synthetic": tallies.synthetic.count if tallies.synthetic else None,
        "phrases": tallies.phrases.count if tallies.phrases else None,
        "more_failures": [n for _, n in errors[ERRORS_SHOWN:]],
        "cost": _cost(run.manifest),
        "family": family(run, tallies.documents, tallies.examples, tallies.alone, cards, rules)
        if tallies.documents
        else None,
        **_samples(tallies, cards, errors[:ERRORS_SHOWN], {} if tallies.documents else funnel.dropped),
    }


def _kinds_of(plan: Plan, found: Texts | None) -> str:
    """What the rows of a column are called."""
    kinds = plan.giver[found.column].kinds if found else ()
    return " and ".join(f"{kind}s" for kind in kinds) or "captions"


def _tallies(run: Run, decider: Decider, errors: Sequence[str]) -> Tallies:
    plan = run.plan
    language, cluster = column_of(plan, IN_LANGUAGE), column_of(plan, IN_CLUSTER)
    group, size = (column_of(plan, given, IMAGE) for given in DUPLICATES)
    caption, phrases = column_of(plan, SYNTHETIC), column_of(plan, PHRASES)
    return Tallies(
        alone=Alone(plan.rules, KINDS if plan.documents else (PAIRS,)),
        examples=Examples(KEPT_EXAMPLES, DROPPED_EXAMPLES, FAILED_EXAMPLES, errors),
        charts=histograms(run.manifest["rules"], decider),
        captions=None if plan.documents else Texts("text"),
        documents=document_tallies() if plan.documents else None,
        languages=Texts(language) if language else None,
        clusters=Clusters(cluster) if cluster else None,
        groups=Groups(group, size, GROUPS_SHOWN, MEMBERS_SHOWN) if group and size else None,
        synthetic=Filled(caption, 0) if caption else None,
        phrases=Filled(phrases, GROUNDED_EXAMPLES) if phrases else None,
    )


def _samples(
    tallies: Tallies, cards: Cards, errors: Sequence[tuple[str, int]], dropped: dict[str, int]
) -> dict[str, Any]:
    """What shows single samples: the only part that opens images."""
    examples, groups = tallies.examples, tallies.groups
    return {
        "failures": [
            {"error": error, "n": n, "samples": [cards.named(place) for place, _ in examples.of("error", error)]}
            for error, n in errors
        ],
        "kept": [cards.card(*example) for example in examples.of("kept", group=IMAGE if tallies.documents else PAIRS)],
        "grounded": [cards.card(place) for *_, place in tallies.phrases.found] if tallies.phrases else [],
        "dropped": [
            {"label": label, "n": n, "cards": [cards.card(*example) for example in examples.of("rule", label)]}
            for label, n in list(dropped.items())[:RULES_SHOWN]
        ],
        "groups": _groups(groups, cards) if groups else None,
    }


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
