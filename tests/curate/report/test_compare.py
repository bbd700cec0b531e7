"""The page of a comparison: as safe as the report, true to the ledgers, readable on a phone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

import curate
from curate.comparison import Comparison
from curate.inspect import Run
from curate.report.compare import render, text, write_page

Measure = Callable[..., Any]


@pytest.fixture(scope="module")
def found(hostile_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The hostile run beside one of another recipe on its pool, whose rule has a hostile name."""
    recipe = dict(hostile_run.manifest["recipe"])
    recipe |= {
        "name": "other",
        "pool": {**recipe["pool"], "name": hostile_run.manifest["pool"]["name"]},
        "select": [{"step": "filters.image.AspectRatio", "name": "<b>narrow</b>[/]", "max": 1.6}],
    }
    path = tmp_path_factory.mktemp("other") / "other.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    done = curate.run(path, root=str(hostile_run.storage.root), executor="inline", quiet=True)
    return curate.compare(hostile_run, curate.open_run(done["run"]))


class Links(HTMLParser):
    """Every attribute of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_nothing_runs_and_nothing_loads(found: Comparison) -> None:
    links = Links(render(found))
    assert not links.tags & {"script", "img", "iframe", "object", "embed", "link", "form", "base"}
    assert not [name for name, _ in links.attributes if name.startswith("on") or name in ("style", "src", "srcset")]
    targets = [value for name, value in links.attributes if name.endswith("href")]
    assert all(value.startswith(("#", "data:image/jpeg;base64,")) for value in targets)


def test_in_a_browser_the_numbers_are_the_comparisons(found: Comparison, measure: Measure) -> None:
    seen = measure(
        render(found),
        """{totals: [...page.querySelectorAll('.sum dd')].map(e => e.textContent.split(' ')[0]),
        cross: [...page.querySelectorAll('table.cross tbody tr')].map(r => [...r.cells].map(c => c.textContent)),
        columns: [...page.querySelectorAll('table.cross thead th')].slice(1).map(e => e.textContent),
        cards: [...page.querySelectorAll('.grid')].map(e => e.children.length),
        lines: [...new Set([...page.querySelectorAll('polyline')].map(e => getComputedStyle(e).stroke))].length,
        bold: page.querySelectorAll('th b').length}""",
    )
    assert seen["totals"] == [f"{found.both}", f"{found.only_a}", f"{found.only_b}", f"{found.jaccard:.3f}"]
    for label, *cells in seen["cross"]:
        shown = {c: int(n) for c, n in zip(seen["columns"], cells, strict=True) if n != "–"}
        assert shown == found.crosstab[label]
    assert seen["cards"] == [len(examples) for examples in found.main.examples.values() if examples]
    assert seen["lines"] == 3  # a colour for each set
    assert seen["bold"] == 0


@pytest.mark.parametrize("width", [360, 1100])
def test_the_page_never_scrolls_sideways(found: Comparison, measure: Measure, width: int) -> None:
    scroll = measure(render(found), "page.documentElement.scrollWidth - view.innerWidth", width)
    assert scroll <= 0


def test_equal_runs_give_equal_pages(found: Comparison) -> None:
    again = curate.compare(*found.runs)
    assert render(again) == render(found)


def test_in_the_terminal_names_are_shown_as_they_are(found: Comparison) -> None:
    shown = text(found)
    assert "<b>narrow</b>[/]" in shown
    assert f"Jaccard {found.jaccard:.4f}" in shown


def test_each_pair_of_runs_has_a_page_of_its_own(found: Comparison, tmp_path: Path) -> None:
    """Also where underscores, or two roots, make equal names."""

    def at(folder: str, name: str) -> Run:
        """A finished run, copied to another root and name."""
        run = found.runs[0]
        root = tmp_path / folder
        shutil.copytree(run.storage.path("pool"), root / "pool", dirs_exist_ok=True)
        shutil.copytree(run.storage.path(run.folder), root / "runs" / name, dirs_exist_ok=True)
        return curate.open_run(name, str(root))

    pairs = [
        (at("x", "a_b"), at("x", "c")),
        (at("x", "a"), at("x", "b_c")),
        (at("y", "a"), at("x", "b_c")),
        (at("z", "a"), at("x", "b_c")),
    ]
    pages = [Path(write_page(replace(found, runs=pair))) for pair in pairs]
    assert len({*pages}) == 4
    assert all(page.is_file() and page.is_relative_to(tmp_path / "x" / "compare") for page in pages)
    assert pages[1] == tmp_path / "x" / "compare" / "a~b_c" / "compare.html"
