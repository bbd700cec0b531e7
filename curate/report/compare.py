"""A comparison of two runs for people: as text, and as one self-contained page like the report."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curate.comparison import SETS, Comparison, Set, places
from curate.report import template
from curate.report.cards import Cards
from curate.report.part import PAIRS
from curate.report.visible import visible

CHARTS: Final = 24
"""Columns drawn on the page; all are in the JSON."""


def write_page(comparison: Comparison) -> str:
    """Write `compare/<a>~<b>/compare.html` under the root of the second run, atomically; returns its path or URL.

    No name of a run holds a `~` or an `@`, so each pair has a folder of its own. A first run from another root is
    `<a>@<digest>` there, by the first eight digits of the sha256 of its root: the second root may have a run of its name.
    """
    one, two = comparison.runs
    first = one.name
    if one.storage.root != two.storage.root:
        first += f"@{hashlib.sha256(one.storage.root.encode()).hexdigest()[:8]}"
    path = f"compare/{first}~{two.name}/compare.html"
    two.storage.write(path, render(comparison).encode())
    return two.storage.url(path)


def render(comparison: Comparison) -> str:
    """The page. Equal runs give equal pages; of images only the examples are opened."""
    sides = [
        {
            "name": run.name,
            "kinds": run.manifest.get("kinds") or {PAIRS: run.manifest},
            "pool": run.manifest["pool"]["name"],
        }
        for run in comparison.runs
    ]
    return template("compare.html.j2").render(
        found=comparison,
        a=sides[0],
        b=sides[1],
        kinds=[_kind(comparison, kind) for kind in comparison.kinds],
        titles=[_title(comparison, which) for which in SETS],
        shown=CHARTS,
        hidden=max(0, len(comparison.scores) - CHARTS),
    )


def _title(comparison: Comparison, which: Set) -> str:
    return "Kept by both" if which == "both" else f"Kept by {comparison.run_of(which).name} alone"


def _kind(comparison: Comparison, kind: str) -> dict[str, Any]:
    """The sets of one kind of row, and the columns of its table of fates."""
    overlap = comparison.kinds[kind]
    sets = [_set(comparison, kind, which) for which in SETS]
    columns = dict.fromkeys(column for cells in overlap.crosstab.values() for column in cells)
    return {
        "name": kind,
        "found": overlap,
        "sets": sets,
        "either": sum(entry["n"] for entry in sets),
        "columns": list(columns),
    }


def _set(comparison: Comparison, kind: str, which: Set) -> dict[str, Any]:
    """Title, size and cards of one of the three sets; a card's value is what the other run did."""
    run = comparison.run_of(which)
    other = None if which == "both" else comparison.runs[which == "only_a"].name
    cards = Cards(run, run.decider(run.plan))
    return {
        "id": f"{which}-{kind}" if kind else which,
        "title": _title(comparison, which) + (f": {kind}s" if kind else ""),
        "n": getattr(comparison.kinds[kind], which),
        "other": other,
        "cards": [cards.card(place, "" if other is None else fate) for place, fate in places(comparison, kind, which)],
    }


def text(comparison: Comparison) -> str:
    """For the terminal: the sets, the rules that make the difference, and the means of the scores; of documents the sets
    and the rules for each kind of row."""
    a, b = (run.name for run in comparison.runs)
    how = "row by row on one pool" if comparison.joined == "rows" else "by uid: the runs have pools of their own"
    lines, tables = [f"{a} and {b}, compared {how}"], []
    for kind, found in comparison.kinds.items():
        head, of = (f"{kind}s: ", f": {kind}s") if kind else ("", "")
        sizes = f"kept by both {found.both:,} · by {a} alone {found.only_a:,} · by {b} alone {found.only_b:,}"
        lines.append(f"{head}{sizes} · Jaccard {found.jaccard:.4f}")
        tables.append((f"{a} keeps, {b} does not{of}", _counts(found.dropped_by("b"), f"{kind or 'record'}s")))
        tables.append((f"{b} keeps, {a} does not{of}", _counts(found.dropped_by("a"), f"{kind or 'record'}s")))
    tables.append(("how the sets differ", _means(comparison, a, b)))
    console = Console(width=110, color_system=None)
    for title, table in tables:
        if table.row_count:
            with console.capture() as captured:
                console.print(table)
            lines += ["", title, captured.get().rstrip()]
    return "\n".join(lines)


def _counts(rows: dict[str, int], unit: str) -> Table:
    table = Table("outcome there", box=SIMPLE_HEAD)
    table.add_column(unit, justify="right")
    for label, n in rows.items():
        table.add_row(_plain(label), f"{n:,}")
    return table


def _means(comparison: Comparison, a: str, b: str) -> Table:
    table = Table("mean of", box=SIMPLE_HEAD)
    for heading in ("both", f"{a} alone", f"{b} alone"):
        table.add_column(heading, justify="right")
    for score in comparison.scores:
        means = [score.mean[which] for which in SETS]
        table.add_row(_plain(score.column), *("–" if mean is None else f"{mean:.4g}" for mean in means))
    return table


def _plain(label: str) -> str:
    """A recipe names its rules: what looks like markup is shown, not obeyed."""
    return escape(visible(label))
