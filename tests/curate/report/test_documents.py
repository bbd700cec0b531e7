"""The page of a run over hostile documents: safe, true to the ledger, documents in order with what is gone marked."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import curate
from curate.gallery import page as reading_page
from curate.inspect import Run
from curate.reading import read_document
from curate.report import render
from curate.report.collect import collect
from curate.report.documents import LONGEST, host
from curate.report.part import parts
from curate.report.tallies import Examples
from curate.schema import IMAGE

Measure = Callable[..., Any]
NUMBER = 14


def hostile_page(number: int, text: str) -> str:
    """A page whose title, paragraphs, alt text, caption and links are hostile; every fourth has no figure."""
    bad = html.escape(text, quote=True)
    menu = "".join(f"<li><a href='{i}.html'>Chapter {i}</a></li>" for i in range(5))
    figure = (
        f"<figure><a href='javascript:alert({number})'><img src='{number}.png' alt='{bad}'></a>"
        f"<figcaption>{bad}, seen from the north side of the harbour</figcaption></figure>"
    )
    return (
        f"<!doctype html><html lang=en><head><title>{bad} {number}</title></head><body><ul>{menu}</ul>"
        f"<p>{bad} and then some more words, so that it is a paragraph that stays where it is, page {number}.</p>"
        f"{figure if number % 4 else ''}"
        f"<p><img src=icon.png alt='home'></p><p>buy now</p><p><img src=missing.png alt='{bad}'></p>"
        f"<p>The end of page {number} says: {bad} once more, with enough words to be kept by the rule.</p></body></html>"
    )


def write_site(folder: Path, texts: Sequence[str]) -> None:
    """The pages, a picture for each, and an icon that all show."""
    for number in range(NUMBER):
        (folder / f"{number}.html").write_text(hostile_page(number, texts[number % len(texts)]), encoding="utf-8")
        noise = np.random.default_rng(number).integers(0, 255, (8, 10, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((500, 400)).save(folder / f"{number}.png")
    Image.new("RGB", (16, 16), "navy").save(folder / "icon.png")


RECIPE: dict[str, Any] = {
    "name": "pages",
    "description": "Pages that <b>attack</b> the page",
    "compute": "all",
    "max_failed": 0.5,
    "signals": [
        {"step": "stages.signals.text.CaptionStats", "on": "text"},
        {"step": "stages.signals.image.Header"},
    ],
    "facts": [{"step": "stages.documents.counts.Counts"}],
    "select": [
        {"step": "filters.text.CaptionLength", "name": "short <i>text</i>", "min_words": 4},
        {"step": "filters.image.Resolution", "name": "icon", "min_side": 60},
        {"step": "filters.thresholds.Within", "name": "no image", "column": "document_images", "min": 1},
    ],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, hostile_texts: Sequence[str]) -> Run:
    """Fourteen pages; four lose their only image and go."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "site").mkdir()
    write_site(folder / "site", hostile_texts)
    pool = {"step": "stages.ingest.pages.Pages", "path": str(folder / "site")}
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({**RECIPE, "pool": pool}, sort_keys=False))
    return curate.open_run(curate.run(recipe, root=str(folder / "root"), executor="inline", quiet=True)["run"])


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    return render(run)


class Marks(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def pages_of(run: Run) -> Iterator[str]:
    """The report, and each document as a page of its own."""
    yield render(run)
    table = run.table("uid", "kind").to_pylist()
    for row in table:
        if row["kind"] == "document":
            yield reading_page(run, row["uid"].hex()).html


def test_nothing_runs_and_nothing_loads(run: Run) -> None:
    for shown in pages_of(run):
        marks = Marks(shown)
        assert not marks.tags & {"script", "img", "iframe", "object", "embed", "link", "form", "base", "i"}
        assert not [name for name, _ in marks.attributes if name.startswith("on") or name in ("style", "src", "srcset")]
        links = [value for name, value in marks.attributes if name.endswith("href")]
        assert all(value.startswith(("#", "data:image/jpeg;base64,")) for value in links)
        assert next(value for _, value in marks.attributes if value.startswith("default-src")).startswith(
            "default-src 'none';"
        )
        assert not set("\u202e\u2066\u200b\x07\x1b") & set("".join(marks.text))
        assert len(shown) < 1_500_000


def test_hostile_texts_are_shown_as_they_are(page: str) -> None:
    text = "".join(Marks(page).text)
    for shown in ("<script>document.title", "short <i>text</i>", "{{ 7 * 7 }}", "Pages that <b>attack</b> the page"):
        assert shown in text


def test_in_a_browser_the_counts_of_each_kind_are_the_ledgers(page: str, run: Run, measure: Measure) -> None:
    found = measure(
        page,
        """{title: page.title, url: [...view.performance.getEntriesByType('resource')].map(e => e.name),
        totals: [...page.querySelectorAll('.sum dd')].map(e => e.textContent.split(' ')[0]),
        rows: [...page.querySelectorAll('table.funnel tbody tr')].map(r => [r.cells[0].childNodes[0].textContent,
          ...[1, 2, 3].map(i => [r.cells[i].querySelector('b'), r.cells[i].querySelector('.step .soft')]
            .map(e => e ? e.textContent : ''))])}""",
    )
    assert found["title"] == "pages: curation report"
    assert [url for url in found["url"] if not url.startswith("data:image/jpeg")] == []
    rows = run.table("kind", "fate", "rule").to_pylist()
    kinds = ("document", "text", "image")
    kept = Counter(row["kind"] for row in rows if row["fate"] == "kept")
    assert [int(n) for n in found["totals"]] == [kept[kind] for kind in kinds]
    left = Counter(row["kind"] for row in rows)
    gone = Counter((row["rule"] or row["fate"], row["kind"]) for row in rows if row["fate"] != "kept")
    for label, *cells in found["rows"]:
        for kind, (shown, dropped) in zip(kinds, cells, strict=True):
            left[kind] -= gone[label, kind]
            assert int(shown) == left[kind]
            assert int(dropped.strip("(−)") or 0) == gone[label, kind]
            assert dropped.startswith("(") == (label == "no image" and kind == "text" and gone[label, kind] > 0)
    assert left == kept


def test_a_document_is_shown_in_order_with_what_is_gone_marked(run: Run, measure: Measure) -> None:
    table = run.table("uid", "kind", "fate").to_pylist()
    uid = next(row["uid"].hex() for row in table if row["kind"] == "document" and row["fate"] == "kept")
    document = read_document(run, uid)
    shown = measure(
        reading_page(run, uid).html,
        """[...page.querySelectorAll('.node')].map(e => [e.localName, e.classList.contains('gone'),
        (e.querySelector('.why') || {textContent: ''}).textContent, e.querySelectorAll('image').length])""",
    )
    assert len(shown) == len(document.nodes)
    for node, (tag, gone, why, pictures) in zip(document.nodes, shown, strict=True):
        assert tag == ("figure" if node.kind == "image" else "p")
        assert gone == (node.fate != "kept")
        assert why == (f"{node.rule}: {node.value}" if node.fate == "dropped" else node.error or "")
        assert pictures == int(node.pictured)
    assert {node.fate for node in document.nodes} == {"kept", "dropped", "failed"}


@pytest.mark.parametrize("width", [390, 1100])
def test_the_page_never_scrolls_sideways(page: str, measure: Measure, width: int) -> None:
    opened = page.replace("<details", "<details open")
    found = measure(opened, "[page.documentElement.scrollWidth, view.innerWidth, page.body.clientHeight]", width)
    assert found[0] <= found[1] == width
    assert found[2] > 2000


def test_in_a_notebook_a_page_stands_in_a_frame_in_which_nothing_runs(run: Run, measure: Measure) -> None:
    uid = next(row["uid"].hex() for row in run.table("uid", "kind").to_pylist() if row["kind"] == "document")
    cell = reading_page(run, uid)
    found = measure(
        f"<!doctype html><title>notebook</title>{cell._repr_html_()}",
        "[page.title, ...[...page.querySelectorAll('*')].map(e => e.localName), page.querySelector('iframe').sandbox.value]",
    )
    assert found == ["notebook", "html", "head", "title", "body", "iframe", ""]
    assert len(repr(cell)) < 100


def test_examples_of_a_rule_are_its_own(run: Run) -> None:
    family = collect(run)["family"]
    groups = {group["label"]: group for group in family["dropped"]}
    assert groups["no image"]["own"] == {"document": 4}
    assert groups["no image"]["along"]["text"] > 0
    assert not groups["no image"]["texts"] and not groups["no image"]["images"]
    assert all(found["entry"].rule == "no image" for found in groups["no image"]["documents"])
    assert all("caption_words=" in found["value"] for found in groups["short <i>text</i>"]["texts"])
    icon = next(row["sha256"] for row in run.table("text", "sha256").to_pylist() if row["text"] == "home")
    files = {row["uid"].hex(): row["sha256"] for row in run.table("uid", "sha256").to_pylist()}
    assert [files[found["uid"]] for found in groups["icon"]["images"]] == [icon]  # on every page, shown once


@pytest.mark.parametrize("count", [1, 4, 100])
def test_a_file_is_shown_once_however_often_it_is_met(run: Run, count: int) -> None:
    (part,) = parts(run, run.decider(run.plan))
    images = np.flatnonzero(part.kind == IMAGE)
    expected: list[int] = []
    for row in images[np.argsort(part.draws[images], kind="stable")].tolist():
        if part.digest(row) is None or part.digest(row) not in [part.digest(other) for other in expected]:
            expected.append(row)
    assert part.files(images, count).tolist() == expected[:count]
    once, thrice = Examples(count, count, 0, ()), Examples(count, count, 0, ())
    for examples in (once, thrice, thrice, thrice):  # a further shard brings no file that is not there
        examples.add(part)
    assert once.of("rule", "icon", IMAGE) == thrice.of("rule", "icon", IMAGE)
    assert len(once.of("rule", "icon", IMAGE)) == 1


def test_on_a_phone_a_rule_stands_above_its_bars(page: str, measure: Measure) -> None:
    look = """[...page.querySelectorAll('table.funnel tbody tr')].map(row => {
        const [rule, ...cells] = [...row.cells].map(e => e.getBoundingClientRect());
        return [row.getBoundingClientRect().height, rule.width, Math.min(...cells.map(c => c.top)) - rule.bottom,
            Math.max(...[...row.querySelectorAll('.step')].map(e => e.getBoundingClientRect().height))]})"""
    for height, width, below, step in measure(page, look, 390):
        assert height < 110
        assert width > 300
        assert below >= 0
        assert step < 40  # numbers are whole: one line, or what is gone above what is left
    assert all(below < 0 for _, _, below, _ in measure(page, look, 1100))


def test_hosts_copies_and_repeated_texts_are_counted(run: Run) -> None:
    family = collect(run)["family"]
    rows = run.table("kind", "fate", "text", "sha256", "url").to_pylist()
    (only,) = family["hosts"]
    assert only["host"] == host(rows[0]["url"])
    for kind, (came, kept) in only["kinds"].items():
        of_kind = [row for row in rows if row["kind"] == kind]
        assert (came, kept) == (len(of_kind), sum(row["fate"] == "kept" for row in of_kind))
    copies = Counter(row["sha256"] for row in rows if row["kind"] == "image" and row["sha256"])
    assert [card["value"] for card in family["copies"]] == [
        f"{n} in the pool, 0 kept" for n in sorted(copies.values(), reverse=True) if n > 1
    ]
    texts = Counter(row["text"] for row in rows if row["kind"] == "text" and len(row["text"]) <= LONGEST)
    assert all(found["before"] == texts[found["text"]] > 1 for found in family["paragraphs"])
    assert {"buy now", "- Chapter 0"} <= {found["text"] for found in family["paragraphs"]}


def test_histograms_are_of_rows_of_their_kinds(run: Run) -> None:
    rows = Counter(run.table("kind")["kind"].to_pylist())
    for chart in collect(run)["charts"]:
        assert chart.entered == rows[chart.kinds[0]]
        assert chart.computed <= chart.entered
        assert chart.kept.sum() + chart.dropped.sum() == chart.computed


@pytest.mark.parametrize(
    "url", [None, "", "http://[", "no url", "http://Example.ORG:80/a", "//x/y", "http://ü.example/"]
)
def test_any_url_has_a_host_or_none(url: str | None) -> None:
    assert host(url) in ("", "example.org", "x", "ü.example")
