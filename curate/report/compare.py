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
    sets = [_set(comparison, which) for which in SETS]
    sides = []
    for run in comparison.runs:
        sides.append({"name": run.name, "kept": run.manifest["kept"], "pool": run.manifest["pool"]["name"]})
    columns = dict.fromkeys(column for cells in comparison.crosstab.values() for column in cells)
    return template("compare.html.j2").render(
        found=comparison,
        a=sides[0],
        b=sides[1],
        sets=sets,
        either=sum(entry["n"] for entry in sets),
        columns=list(columns),
        shown=CHARTS,
        hidden=max(0, len(comparison.scores) - CHARTS),
    )


def _set(comparison: Comparison, which: Set) -> dict[str, Any]:
    """Title, size and cards of one of the three sets; a card's value is what the other run did."""
    run = comparison.run_of(which)
    other = None if which == "both" else comparison.runs[which == "only_a"].name
    cards = Cards(run, run.decider(run.plan))
    return {
        "id": which,
        "title": "Kept by both" if other is None else f"Kept by {run.name} alone",
        "n": getattr(comparison, which),
        "other": other,
        "cards": [cards.card(place, "" if other is None else fate) for place, fate in places(comparison, which)],
    }


def text(comparison: Comparison) -> str:
    """For the terminal: the sets, the rules that make the difference, and the means of the scores."""
    a, b = (run.name for run in comparison.runs)
    how = "row by row on one pool" if comparison.joined == "rows" else "by uid: the runs have pools of their own"
    sizes = (
        f"kept by both {comparison.both:,} · by {a} alone {comparison.only_a:,} · by {b} alone {comparison.only_b:,}"
    )
    tables = [
        (f"{a} keeps, {b} does not", _counts(comparison.dropped_by("b"))),
        (f"{b} keeps, {a} does not", _counts(comparison.dropped_by("a"))),
        ("how the sets differ", _means(comparison, a, b)),
    ]
    lines = [f"{a} and {b}, compared {how}", f"{sizes} · Jaccard {comparison.jaccard:.4f}"]
    console = Console(width=110, color_system=None)
    for title, table in tables:
        if table.row_count:
            with console.capture() as captured:
                console.print(table)
            lines += ["", title, captured.get().rstrip()]
    return "\n".join(lines)


def _counts(rows: dict[str, int]) -> Table:
    table = Table("outcome there", box=SIMPLE_HEAD)
    table.add_column("records", justify="right")
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
