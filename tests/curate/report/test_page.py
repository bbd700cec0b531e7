"""The page of a real run with hostile captions: safe, true to the ledger, the same each time, readable on a phone."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import curate
from curate.errors import RunError
from curate.inspect import Run
from curate.report import render, svg
from curate.report.cards import Picture
from curate.report.collect import collect

Measure = Callable[..., Any]
TAGS = {"html", "head", "meta", "title", "style", "body", "main", "header", "section", "nav", "p", "h1", "h2", "h3"}
TAGS |= {"b", "em", "small", "code", "br", "span", "dl", "dt", "dd", "div", "a", "ul", "li", "details", "summary"}
TAGS |= {"table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption"}
TAGS |= {"svg", "g", "rect", "line", "text", "image"}


@pytest.fixture(scope="module")
def page(hostile_run: Run) -> str:
    return render(hostile_run)


class Outline(HTMLParser):
    """Every tag and attribute of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_nothing_runs_and_nothing_loads(page: str) -> None:
    outline = Outline(page)
    assert set(outline.tags) <= TAGS
    assert not [name for name, _ in outline.attributes if name.startswith("on") or name in ("style", "src", "srcset")]
    links = [value for name, value in outline.attributes if name.endswith("href")]
    assert all(value.startswith(("#", "data:image/jpeg;base64,")) for value in links)
    policy = next(value for _, value in outline.attributes if value.startswith("default-src"))
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_captions_are_shown_and_cannot_hide(page: str, hostile_run: Run) -> None:
    hidden = {c for c in page if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - set("\n\t\u200d")
    assert hidden == set()
    text = "".join(Outline(page).text)
    for shown in ("⟨202E⟩gnp.exe⟨202C⟩", "Ünïcödé 猫 قطة 👩‍👩‍👧 cat", "{{ 7 * 7 }}", "<script>document.title"):
        assert shown in text
    assert len(page.encode()) < 2_000_000
    assert "Captions that <b>attack</b> the page" in text


def test_in_a_browser_nothing_is_injected_and_the_numbers_are_the_ledgers(
    page: str, hostile_run: Run, measure: Measure
) -> None:
    found = measure(
        page,
        """{title: page.title, url: [...view.performance.getEntriesByType('resource')].map(e => e.name),
        tags: [...new Set([...page.querySelectorAll('*')].map(e => e.localName))],
        styled: getComputedStyle(page.querySelector('main')).maxWidth,
        totals: [...page.querySelectorAll('.sum dd')].map(e => e.textContent),
        rows: [...page.querySelectorAll('table.funnel tbody tr')].map(r =>
          [r.cells[0].childNodes[0].textContent, ...[2, 3, 4].map(i => r.cells[i].textContent.trim())])}""",
    )
    assert found["title"] == "hostile: curation report"
    assert set(found["tags"]) <= TAGS
    assert [url for url in found["url"] if not url.startswith("data:image/jpeg")] == []
    assert found["styled"] != "none"  # the policy admits the page's own style sheet
    ledger = hostile_run.ledger()
    fates = Counter(ledger["fate"].to_pylist())
    totals = [int(text.split()[0]) for text in found["totals"]]
    assert totals == [ledger.num_rows, fates["kept"], fates["dropped"], fates["failed"]]
    rules = Counter(label for label in ledger["rule"].to_pylist() if label)
    gone = {"entered": 0, "failed": fates["failed"], **rules}
    left = ledger.num_rows
    for label, shown_left, shown_dropped, _ in found["rows"]:
        left -= gone.get(label, 0)
        assert (int(shown_left), int(shown_dropped or 0)) == (left, gone.get(label, 0))
    assert left == fates["kept"]


def test_alone_equals_brute_force(page: str, hostile_run: Run) -> None:
    table = hostile_run.table("caption_words", "width", "height", "aspect", "entropy", "fate").to_pylist()
    sound = [row for row in table if row["fate"] != "failed" and row["entropy"] is not None]
    drops = {
        "caption_length": [not 2 <= row["caption_words"] <= 12 for row in sound],
        "resolution": [min(row["width"], row["height"]) < 130 for row in sound],
        "aspect_ratio": [row["aspect"] > 2.5 for row in sound],
        "entropy": [row["entropy"] < 0.1 for row in sound],
    }
    votes = np.array(list(drops.values()))
    expected = {name: int((votes[i] & (votes.sum(axis=0) == 1)).sum()) for i, name in enumerate(drops)}
    found = collect(hostile_run)
    assert {row["label"]: row["alone"] for row in found["funnel"] if row["alone"] is not None} == expected
    assert found["alone_known"] == len(sound)
    assert sum(expected.values()) > 0
    assert f"among the {len(sound)} of {len(table)} samples" in page


def test_failures_are_named_and_can_be_explained(page: str, hostile_run: Run) -> None:
    ledger = hostile_run.ledger()
    failed = ledger.filter(np.array(ledger["fate"].to_pylist()) == "failed").to_pylist()
    assert len(failed) == 4
    for error in {row["error"] for row in failed}:
        uids = [row["uid"].hex() for row in failed if row["error"] == error]
        assert sum(uid[:12] in page for uid in uids) == min(3, len(uids))
        assert hostile_run.explain(uids[0][:12])[0]["error"] == error


def test_the_same_run_gives_the_same_page_apart_from_its_cost(page: str, hostile_run: Run) -> None:
    assert render(hostile_run) == page
    result = curate.run(
        hostile_run.manifest["recipe_file"], root=hostile_run.storage.root, executor="inline", quiet=True
    )
    assert sum(result["computed"].values()) == 0
    again = render(curate.open_run(result["run"]))
    mark = '<section aria-labelledby="cost"'
    assert again[: again.index(mark)] == page[: page.index(mark)]
    assert again != page


@pytest.mark.parametrize("width", [360, 1100])
def test_the_page_never_scrolls_sideways(page: str, measure: Measure, width: int) -> None:
    found = measure(page, "[page.documentElement.scrollWidth, view.innerWidth, page.body.clientHeight]", width)
    assert found[1] == width
    assert found[0] <= width
    assert found[2] > 2000


def test_boxes_lie_where_they_are_in_the_picture(page: str, measure: Measure) -> None:
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    phrases: list[dict[str, Any]] = [
        {"phrase": "<b>boat</b>", "box": [0.25, 0.5, 0.75, 1.0], "score": 0.5, "source": "cam"},
        {"phrase": "lake", "box": [0.0, 0.0, 1.0, 0.1], "score": 0.25, "source": "ocr"},
    ]
    style = page[page.index("<style>") : page.index("</style>") + 8]
    sizes = ((144, 40), (40, 144), (17, 9))
    pictures = [
        f'<li><div class="pic">{svg.photo(Picture(pixel, w, h), "a boat", phrases)}</div></li>' for w, h in sizes
    ]
    found = measure(
        f'<!doctype html>{style}<ul class="grid">{"".join(pictures)}</ul>',
        "[...page.querySelectorAll('svg')].map(s => [...s.querySelectorAll('image, rect.c0, rect.c1')]"
        ".map(e => e.getBoundingClientRect()).map(r => [r.x, r.y, r.width, r.height]))",
    )
    for (w, h), (image, *boxes) in zip(sizes, found, strict=True):
        assert image[2] / image[3] == pytest.approx(w / h, rel=0.01)
        for phrase, (x, y, width, height) in zip(phrases, boxes, strict=True):
            place = ((x - image[0]) / image[2], (y - image[1]) / image[3], width / image[2], height / image[3])
            x1, y1, x2, y2 = phrase["box"]
            assert place == pytest.approx((x1, y1, x2 - x1, y2 - y1), abs=0.02)


def test_a_run_without_a_ledger_or_with_another_pool_says_so(hostile_run: Run) -> None:
    other = Run(hostile_run.storage, hostile_run.name)
    other.manifest["pool"]["shards"][1]["content"] = "0" * 32
    with pytest.raises(RunError, match=r"shard 1 \(00001.tar\).* has changed since run 'hostile'; run it again"):
        render(other)
    tar = hostile_run.pool.tar_url(hostile_run.shards[0])
    original = Path(tar).read_bytes()
    try:
        Path(tar).write_bytes(original[:512] + bytes(len(original) - 512))
        with pytest.raises(RunError, match=r"00000.tar has changed since run 'hostile'; run it again"):
            render(Run(hostile_run.storage, hostile_run.name))
    finally:
        Path(tar).write_bytes(original)
    unfinished = Run(hostile_run.storage, hostile_run.name)
    del unfinished.manifest["entered"]
    with pytest.raises(RunError, match="no ledger yet"):
        render(unfinished)
