"""What the report shows of a pool of documents: counts by kind, by host, what stands on many pages, pages to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import numpy as np

from curate.engine.decide import DENY
from curate.planner import Rule
from curate.reading import Document, read_documents
from curate.report.cards import Cards
from curate.report.part import INTERLEAVED, KINDS, Part, Place
from curate.report.reader import view
from curate.report.tallies import Alone, Examples, Frequent, Texts
from curate.schema import DOCUMENT, IMAGE, TEXT

if TYPE_CHECKING:
    from curate.inspect import Run

DOCUMENTS_SHOWN, DROPPED_DOCUMENTS, DROPPED_PICTURES = 6, 2, 4
HOSTS_SHOWN, COPIES_SHOWN, PARAGRAPHS_SHOWN = 20, 12, 12
LONGEST: Final = 300
"""Longer paragraphs are not counted among those that repeat: boilerplate is short, and memory is bounded."""


class Hosts(Frequent):
    """Per host of the page's URL: documents, texts and images, each before and after the rules."""

    def add(self, part: Part) -> None:
        """Count a shard."""
        documents = np.flatnonzero(part.kind == DOCUMENT)
        counts = np.zeros((len(part.kind), 2 * len(KINDS)), np.int64)
        for i, kind in enumerate(KINDS):
            of_kind = part.kind == kind
            np.add.at(counts[:, 2 * i], part.owner[of_kind], 1)
            np.add.at(counts[:, 2 * i + 1], part.owner[of_kind & part.kept], 1)
        urls = part.cells("url")
        for row in documents.tolist():
            self.count(host(urls[row]), counts[row].tolist())
        self.trim()

    def top(self, count: int) -> list[dict[str, Any]]:
        """Hosts with the most documents: kind -> (before, after)."""
        return [
            {"host": name, "kinds": dict(zip(KINDS, zip(numbers[::2], numbers[1::2], strict=True), strict=True))}
            for name, numbers in self.ranked()[:count]
        ]


class Copies(Frequent):
    """How often the same image file stands in the pool and among the kept, and where first."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, Place] = {}

    def add(self, part: Part) -> None:
        """Count a shard."""
        digests = part.cells("sha256")
        for row in np.flatnonzero(part.kind == IMAGE).tolist():
            if digests[row] is not None:
                name = digests[row].hex()
                self.places.setdefault(name, Place(part.shard, row))
                self.count(name, (1, int(part.kept[row])))
        self.trim()
        self.places = {name: self.places[name] for name in self.counts}

    def top(self, count: int) -> list[tuple[Place, int, int]]:
        """Of those that stand more than once the most frequent: where first, before, after."""
        return [(self.places[name], n, kept) for name, (n, kept) in self.ranked()[:count] if n > 1]


@dataclass(frozen=True)
class DocumentTallies:
    """What is counted of documents alone."""

    hosts: Hosts
    copies: Copies
    paragraphs: Texts

    def add(self, part: Part) -> None:
        """Count a shard."""
        self.hosts.add(part)
        self.copies.add(part)
        self.paragraphs.add(part)


def document_tallies() -> DocumentTallies:
    """With nothing counted yet."""
    return DocumentTallies(Hosts(), Copies(), Texts("text", kind=TEXT, longest=LONGEST))


def host(url: str | None) -> str:
    """The host that a URL names, in small letters; empty if it names none."""
    try:
        return urlsplit(url or "").hostname or ""
    except ValueError:  # brackets that hold no address
        return ""


def kinds_of(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The manifest's counts of documents, texts and images; zeros where nothing of a kind entered."""
    nothing: dict[str, Any] = {"entered": 0, "kept": 0, "dropped": {}, "failed": {}}
    return {kind: manifest["kinds"].get(kind, nothing) for kind in KINDS}


def family(
    run: Run, found: DocumentTallies, examples: Examples, alone: Alone, cards: Cards, rules: Sequence[str]
) -> dict[str, Any]:
    """What the template shows of documents, beside what it shows of all pools. `rules`: whose drops are shown."""
    about = {rule.label: rule.kinds for rule in run.plan.rules}
    kept = _chosen(examples)
    gone = {rule: [place for place, _ in examples.of("rule", rule, DOCUMENT)][:DROPPED_DOCUMENTS] for rule in rules}
    read = _read(run, [*kept, *chain.from_iterable(gone.values())])
    copies = found.copies.top(COPIES_SHOWN)
    return {
        "kinds": kinds_of(run.manifest),
        "funnel": funnel(run.manifest, run.plan.rules, alone),
        "documents": [view(run, read[place]) for place in kept],
        "dropped": [
            _dropped(run, examples, cards, rule, about.get(rule, KINDS))
            | {"documents": [view(run, read[place], pictures=DROPPED_PICTURES) for place in gone[rule]]}
            for rule in rules
        ],
        "hosts": found.hosts.top(HOSTS_SHOWN),
        "hosts_missed": found.hosts.missed,
        "more_hosts": max(0, len(found.hosts.counts) - HOSTS_SHOWN),
        "copies": [cards.card(place, f"{before:,} in the pool, {after:,} kept") for place, before, after in copies],
        "paragraphs": found.paragraphs.top(PARAGRAPHS_SHOWN, least=2),
        "paragraphs_missed": found.paragraphs.missed,
    }


def _chosen(examples: Examples) -> list[Place]:
    """Kept documents, those with an image first: what interleaving is about."""
    places = [place for group in (INTERLEAVED, DOCUMENT) for place, _ in examples.of("kept", group=group)]
    return list(dict.fromkeys(places))[:DOCUMENTS_SHOWN]


def _read(run: Run, places: Sequence[Place]) -> dict[Place, Document]:
    found = read_documents(run, [(place.shard.number, place.row) for place in places])
    return dict(zip(places, found, strict=True))


def _dropped(run: Run, examples: Examples, cards: Cards, label: str, kinds: Sequence[str]) -> dict[str, Any]:
    """What a rule dropped, and nodes that it dropped; nodes that went with their document are counted apart."""
    drops = {kind: counts["dropped"].get(label, 0) for kind, counts in kinds_of(run.manifest).items()}
    return {
        "label": label,
        "own": {kind: drops[kind] for kind in kinds if drops[kind]},
        "along": {kind: n for kind, n in drops.items() if n and kind not in kinds},
        "texts": [cards.named(place) | {"value": value} for place, value in examples.of("rule", label, TEXT)],
        "images": [cards.card(place, value) for place, value in examples.of("rule", label, IMAGE)],
    }


def funnel(manifest: Mapping[str, Any], rules: Sequence[Rule], alone: Alone) -> list[dict[str, Any]]:
    """A row per rule, with a cell per kind: left, gone (None: nothing is said), entered, and `along`: whether those that
    are gone went with their documents."""
    kinds = kinds_of(manifest)
    about = {rule.label: rule.kinds for rule in rules}
    steps: list[tuple[str, str, dict[str, int]]] = [("entered", "", {})]
    for label, text, gone in (
        ("failed", "ingest or a signal", {kind: sum(counts["failed"].values()) for kind, counts in kinds.items()}),
        (DENY, "the deny list", {kind: counts["dropped"].get(DENY, 0) for kind, counts in kinds.items()}),
    ):
        steps += [(label, text, gone)] if any(gone.values()) else []
    for rule in manifest["rules"]:
        gone = {kind: counts["dropped"].get(rule["label"], 0) for kind, counts in kinds.items()}
        steps.append((rule["label"], rule["threshold"], gone))
    left = {kind: counts["entered"] for kind, counts in kinds.items()}
    rows = []
    for label, threshold, gone in steps:
        left = {kind: n - gone.get(kind, 0) for kind, n in left.items()}
        cells = {
            kind: {"left": n, "gone": gone.get(kind), "along": kind not in about.get(label, KINDS)}
            for kind, n in left.items()
        }
        rows.append({"label": label, "threshold": threshold, "cells": cells, "alone": alone.drops.get(label)})
    return rows
