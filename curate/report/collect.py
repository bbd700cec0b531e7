"""What the report shows, from stored columns: shard by shard, bounded, deterministic.

Images are opened only for the examples, which are the samples with the lowest hash of their uid.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.columns import to_numpy
from curate.contracts import Filter
from curate.engine.boundary import attempt
from curate.engine.decide import Decider, Walk
from curate.plan import Rule
from curate.pool import Shard
from curate.schema import COMPUTED, hash_words

if TYPE_CHECKING:
    from curate.inspect import Run

BINS = 40
THUMB = 128
KEPT_EXAMPLES, DROPPED_EXAMPLES, TOP_CAPTIONS = 16, 6, 12
LANGUAGE, CLUSTER, CAPTION, PHRASES = "lang", "cluster", "synth_caption", "phrases"


def collect(run: Run) -> dict[str, Any]:
    """Everything that the template needs."""
    manifest = run.manifest
    decider = run.decider(run.plan)
    for rule in run.plan.rules:
        if not isinstance(rule.step, Filter):
            decider.states[rule.number] = rule.step.fit(_scan(decider, rule), run.plan.recipe.header.seed)
    walks = _Walks(decider)
    return {
        "m": manifest,
        "kinds": _kinds(manifest),
        "funnel": _funnel(manifest, walks.alone()),
        "failures": [{"error": e, "n": n} for e, n in sorted(manifest["failed"].items(), key=lambda x: (-x[1], x[0]))],
        "charts": [walks.chart(column, low, high) for column, low, high in _charted(manifest, decider)],
        "kept": _cards(run, decider, walks.examples(None, KEPT_EXAMPLES)),
        "dropped": [
            {"label": label, "cards": _cards(run, decider, walks.examples(label, DROPPED_EXAMPLES))}
            for label in manifest["dropped"]
        ],
        "captions": walks.captions(),
        "languages": walks.mix(LANGUAGE),
        "clusters": walks.clusters(),
        "cost": _cost(manifest),
    }


def _scan(decider: Decider, rule: Rule) -> Any:
    from curate.engine.decide import AliveScan

    return AliveScan(decider, rule.number)


def _kinds(manifest: dict[str, Any]) -> dict[str, int]:
    return {
        "kept": manifest["kept"],
        "dropped": sum(manifest["dropped"].values()),
        "failed": sum(manifest["failed"].values()),
    }


def _funnel(manifest: dict[str, Any], alone: dict[str, int | None]) -> list[dict[str, Any]]:
    """A row per rule: how many are left after it, what it dropped, what it alone drops."""
    left = manifest["entered"]
    rows = [{"label": "entered", "left": left, "dropped": None, "alone": None, "threshold": ""}]
    for label, n in (
        ("ingest and decoding", sum(manifest["failed"].values())),
        ("deny", manifest["dropped"].get("deny")),
    ):
        if n:
            left -= n
            text = "failed samples, listed below" if label != "deny" else "the deny list"
            rows.append({"label": label, "left": left, "dropped": n, "alone": None, "threshold": text})
    for rule in manifest["rules"]:
        left -= rule["dropped"]
        row = {"label": rule["label"], "left": left, "dropped": rule["dropped"], "threshold": rule["threshold"]}
        rows.append({**row, "alone": alone.get(rule["label"])})
    return rows


def _charted(manifest: dict[str, Any], decider: Decider) -> Iterable[tuple[str, float | None, float | None]]:
    """Numeric columns that a rule bounds, with the bounds of the strictest rule, in the recipe's order."""
    found: dict[str, tuple[float | None, float | None]] = {}
    for rule in manifest["rules"]:
        for column, (low, high) in rule["bounds"].items():
            if column in decider.plan.giver:
                old = found.get(column, (None, None))
                lows, highs = [v for v in (old[0], low) if v is not None], [v for v in (old[1], high) if v is not None]
                found[column] = (max(lows, default=None), min(highs, default=None))
    return [(column, low, high) for column, (low, high) in found.items()]


def _cost(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Core-seconds and rows per core-second of each step, costly ones first."""
    rows = []
    for label, seconds in manifest["cost"].items():
        computed = manifest["computed"].get(label, 0)
        rate = computed / seconds if seconds > 0 else 0.0
        reused = manifest["reused"].get(label, 0)
        rows.append({"label": label, "seconds": seconds, "computed": computed, "reused": reused, "rate": rate})
    return sorted(rows, key=lambda row: (-row["seconds"], row["label"]))


class _Walks:
    """Reads the pool shard by shard for each table and chart; holds counts and a few rows, never the pool."""

    def __init__(self, decider: Decider) -> None:
        self.decider = decider

    def _each(self) -> Iterable[tuple[Shard, Walk]]:
        return ((shard, self.decider.finish(shard)) for shard in self.decider.shards)

    def alone(self) -> dict[str, int | None]:
        """Per filter: samples that it drops and every other filter would keep, among rows with all facts computed.

        Selections depend on what came before them, so they have no such figure (None).
        """
        filters = [rule for rule in self.decider.plan.rules if isinstance(rule.step, Filter)]
        found: dict[str, int | None] = {rule.label: None for rule in self.decider.plan.rules}
        found |= {rule.label: 0 for rule in filters}
        for shard in self.decider.shards:
            columns = sorted({column for rule in filters for column in rule.step.inputs()})
            states = [self.decider.column(shard, column)[1] == COMPUTED for column in columns]
            usable = self.decider.index(shard)["error"].is_null().to_numpy()
            rows = np.flatnonzero(np.logical_and.reduce([usable, *states]))
            if not filters or not len(rows):
                continue
            votes = [self._drops(shard, rule, rows) for rule in filters]
            single = np.sum(votes, axis=0) == 1
            for rule, drops in zip(filters, votes, strict=True):
                found[rule.label] = (found[rule.label] or 0) + int((drops & single).sum())
        return found

    def _drops(self, shard: Shard, rule: Rule, rows: np.ndarray) -> np.ndarray:
        assert isinstance(rule.step, Filter)
        return ~np.asarray(rule.step.keep(self.decider.columns(shard, rule.step.inputs(), rows)), bool)

    def chart(self, column: str, low: float | None, high: float | None) -> dict[str, Any]:
        """A histogram between the 0.5th and 99.5th percentile of a first look; what lies outside is in the end bins."""
        edges = self._edges(column, low, high)
        kept, dropped = np.zeros(BINS, int), np.zeros(BINS, int)
        for shard, walk in self._each():
            values = self._numbers(shard, column)
            known = np.isfinite(values)
            bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)
            kept += np.bincount(bins[known & walk.alive], minlength=BINS)
            dropped += np.bincount(bins[known & ~walk.alive], minlength=BINS)
        lists = {"edges": edges.tolist(), "kept": kept.tolist(), "dropped": dropped.tolist()}
        return {**lists, "low": low, "high": high, "title": column}

    def _numbers(self, shard: Shard, column: str) -> np.ndarray:
        array, states, _ = self.decider.column(shard, column)
        values = np.asarray(to_numpy(array), float)
        return np.where(states == COMPUTED, values, np.nan)

    def _edges(self, column: str, low: float | None, high: float | None) -> np.ndarray:
        """From up to 2,000 values of each of the first 50 shards; thresholds are always inside."""
        looks = [self._numbers(shard, column)[:2000] for shard in self.decider.shards[:50]]
        values = np.concatenate(looks) if looks else np.zeros(0)
        values = values[np.isfinite(values)]
        ends = list(np.quantile(values, [0.005, 0.995])) if len(values) else [0.0, 1.0]
        ends += [bound for bound in (low, high) if bound is not None]
        start, end = min(ends), max(ends)
        return np.linspace(start, end if end > start else start + 1, BINS + 1)

    def examples(self, label: str | None, count: int) -> list[tuple[Shard, int, str]]:
        """(shard, row, value seen) of kept samples, or of those that a rule dropped; by the lowest hash of the uid."""
        found: list[tuple[int, Shard, int, str]] = []
        for shard, walk in self._each():
            rows = np.flatnonzero(walk.alive if label is None else walk.rule == label)
            words = self.decider.columns(shard, (), rows)["uid"]
            draws = hash_words(0, words, "report")
            best = np.argsort(draws, kind="stable")[:count]
            found += [(int(draws[i]), shard, int(rows[i]), str(walk.value[rows[i]] or "")) for i in best]
            found = sorted(found, key=lambda item: (item[0], item[1].number, item[2]))[:count]
        return [(shard, row, value) for _, shard, row, value in found]

    def captions(self) -> list[dict[str, Any]]:
        """Captions that stand more than once: how often in the pool, how often among the kept.

        A bounded count: whenever 100,000 captions are held, those seen once are let go.
        """
        before: Counter[str] = Counter()
        after: Counter[str] = Counter()
        for shard, walk in self._each():
            texts = self.decider.index(shard)["text"].to_pylist()
            before.update(text for text in texts if text)
            after.update(text for text, alive in zip(texts, walk.alive, strict=True) if text and alive)
            if len(before) > 100_000:
                before = Counter({text: n for text, n in before.items() if n > 1})
        top = sorted(before.items(), key=lambda item: (-item[1], item[0]))[:TOP_CAPTIONS]
        return [{"text": text, "before": n, "after": after[text]} for text, n in top if n > 1]

    def mix(self, column: str) -> list[dict[str, Any]]:
        """Values of a text column before and after, most frequent first."""
        if column not in self.decider.plan.giver:
            return []
        before: Counter[str] = Counter()
        after: Counter[str] = Counter()
        for shard, walk in self._each():
            values = self.decider.column(shard, column)[0].to_pylist()
            before.update(str(v) for v in values if v is not None)
            after.update(str(v) for v, alive in zip(values, walk.alive, strict=True) if v is not None and alive)
        top = sorted(before.items(), key=lambda item: (-item[1], item[0]))[:TOP_CAPTIONS]
        return [{"name": name, "before": n, "after": after[name]} for name, n in top]

    def clusters(self) -> dict[str, list[int]] | None:
        """Cluster sizes before and after, by size before."""
        if CLUSTER not in self.decider.plan.giver:
            return None
        before: Counter[int] = Counter()
        after: Counter[int] = Counter()
        for shard, walk in self._each():
            values = self._numbers(shard, CLUSTER)
            before.update(values[np.isfinite(values)].astype(int).tolist())
            after.update(values[np.isfinite(values) & walk.alive].astype(int).tolist())
        order = sorted(before, key=lambda cluster: (-before[cluster], cluster))
        return {"before": [before[c] for c in order], "after": [after[c] for c in order]}


def _cards(run: Run, decider: Decider, examples: list[tuple[Shard, int, str]]) -> list[dict[str, Any]]:
    """Examples with thumbnail, caption and what was synthesised."""
    cards = []
    for shard, row, value in examples:
        index = decider.index(shard)
        card = {
            "uid": index["uid"][row].as_py().hex(),
            "text": index["text"][row].as_py() or "",
            "value": value,
            "image": _thumbnail(run, shard, row),
            "caption": _cell(decider, shard, row, CAPTION),
            "phrases": _cell(decider, shard, row, PHRASES) or [],
            "similarity": _cell(decider, shard, row, "similarity"),
        }
        cards.append(card)
    return cards


def _cell(decider: Decider, shard: Shard, row: int, column: str) -> Any:
    if column not in decider.plan.giver:
        return None
    array: pa.Array = decider.column(shard, column)[0]
    return array[row].as_py()


def _thumbnail(run: Run, shard: Shard, row: int) -> str | None:
    """A small JPEG as a data URL; None for an image that does not open."""
    image, _ = attempt(lambda: run.image(shard.number, row, THUMB), "drawing the report")
    if image is None:
        return None
    out = io.BytesIO()
    image.save(out, "JPEG", quality=72)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
