"""OBELICS' recipe on the embedded pages, against its rules written down once more, document by document."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import curate
from curate.verify import verify
from stages.signals.obelics import END_OF_DOCUMENT

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = (
    *("shard", "row", "kind", "parent", "text", "url", "meta", "fate", "format", "width", "height"),
    *("shown_width", "shown_height", "nsfw", "lang", "lang_score", "perplexity"),
    *(f"text_{name}" for name in ("words", "char_repetition", "word_repetition", "special", "stop_words")),
    *(f"text_{name}" for name in ("flagged", "punctuation", "spam")),
    *(f"document_text_{name}" for name in ("words", "char_repetition", "word_repetition", "special", "stop_words")),
    *(f"document_text_{name}" for name in ("flagged", "punctuation")),
)

BANNED = ("logo", "button", "icon", "plugin", "widget", "porn", "xxx", "sex")

Row = dict[str, Any]


@dataclass
class Page:
    """A document and what is left of it."""

    row: Row
    nodes: list[Row]

    @property
    def images(self) -> list[Row]:
        return [node for node in self.nodes if node["kind"] == "image"]

    @property
    def texts(self) -> list[Row]:
        return [node for node in self.nodes if node["kind"] == "text"]

    @property
    def archive(self) -> str:
        return str(json.loads(self.row["meta"])["archive"])

    def keep(self, stays: Callable[[Row], bool]) -> None:
        self.nodes = [node for node in self.nodes if stays(node)]


def good_image(node: Row) -> bool:
    """The sizes are stored for those whose URL is good."""
    if any(word in (node["url"] or "") for word in BANNED):
        return False
    sides = [node["width"], node["height"], node["shown_width"], node["shown_height"]]
    ratio = node["width"] / node["height"]
    in_size = all(150 <= side <= 20_000 for side in sides if side is not None)
    return node["format"] in ("JPEG", "PNG", "WEBP") and in_size and 0.5 <= ratio <= 2


def good_paragraph(node: Row) -> bool:
    return node["text"] == END_OF_DOCUMENT or (
        4 <= node["text_words"] <= 1000
        and node["text_char_repetition"] <= 0.1
        and node["text_word_repetition"] <= 0.1
        and node["text_special"] <= 0.3
        and node["text_stop_words"] >= 0.3
        and node["text_flagged"] <= 0.01
        and node["text_punctuation"] >= 0.001
    )


def good_document(page: Page) -> bool:
    """The facts about its text are stored for those that have enough images."""
    facts = {name.removeprefix("document_text_"): value for name, value in page.row.items()}
    return (
        1 <= len(page.images) <= 30
        and 10 <= facts["words"] <= 2000
        and facts["char_repetition"] <= 0.1
        and facts["word_repetition"] <= 0.2
        and facts["special"] <= 0.275
        and facts["stop_words"] >= 0.35
        and facts["flagged"] <= 0.01
        and facts["punctuation"] >= 0.03
        and facts["lang"] == "en"
        and facts["lang_score"] >= 0.8
        and facts["perplexity"] <= 15_000
    )


def over_the_corpus(pages: list[Page]) -> list[Page]:
    """Images in many places, bad images, pages crawled twice, paragraphs of a domain."""
    places = Counter(node["url"] for page in pages for node in page.images)
    for page in pages:
        page.keep(lambda node: node["kind"] != "image" or places[node["url"]] <= 10)
    pages = [page for page in pages if all(node["nsfw"] <= 0.85 for node in page.images)]
    last = {page.row["url"]: page.archive for page in sorted(pages, key=lambda page: page.archive)}
    pages = [page for page in pages if page.archive == last[page.row["url"]] and page.images]

    def said(page: Page, node: Row) -> tuple[str, str]:
        return urlsplit(page.row["url"]).netloc, node["text"]

    times = Counter(said(page, node) for page in pages for node in page.texts)
    for page in pages:
        page.keep(lambda node, page=page: node["kind"] != "text" or times[said(page, node)] == 1)  # type: ignore[misc]
    return [page for page in pages if page.texts and page.images]


def at_the_end(pages: list[Page]) -> list[Page]:
    """One page per set of images; images again, spam, and pages without either."""
    shown = {"".join(sorted({node["url"] for node in page.images})): page for page in sorted(pages, key=place)}
    pages = sorted(shown.values(), key=lambda page: (page.row["shard"], page.row["row"]))
    for page in pages:
        seen: set[str] = set()
        page.keep(lambda node, seen=seen: node["kind"] == "text" or not (node["url"] in seen or seen.add(node["url"])))  # type: ignore[misc]
        page.keep(lambda node: node["kind"] == "image" or not (node["text_spam"] or 0) >= 0.12)
    return [page for page in pages if page.texts and page.images]


def place(page: Page) -> tuple[str, int, int]:
    return page.archive, page.row["shard"], page.row["row"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["obelics", "default"])
def test_the_recipe_does_what_the_rules_say(mode: str, tmp_path: Path) -> None:
    """The embedded pages, one archive of them crawled a second time. Texts of the default reading, too: it finds more
    nodes, among them headings, cells and icons for the rules to drop."""
    archives = tmp_path / "archives"
    shutil.copytree(ROOT / "manifests/sample/documents", archives)
    shutil.copy(archives / "00001.warc.gz", archives / "again.warc.gz")
    recipe = ROOT / "manifests/documents/obelics.yaml"
    overrides = [f"pool.path={archives}/*.warc.gz", f"pool.mode={mode}"]
    result = curate.run(recipe, overrides=overrides, root=str(tmp_path / "root"), executor="inline", quiet=True)
    run = curate.open_run(result["run"])
    assert verify(run) == []
    pages: list[Page] = []
    for row in run.table(*COLUMNS).to_pylist():
        if row["kind"] == "document":
            pages.append(Page(row, []))
        elif row["fate"] != "failed":
            pages[-1].nodes.append(row)
    for page in pages:
        page.keep(lambda node: good_image(node) if node["kind"] == "image" else good_paragraph(node))
    left = at_the_end(over_the_corpus([page for page in pages if good_document(page)]))
    expected = {(row["shard"], row["row"]) for page in left for row in (page.row, *page.nodes)}
    kept = run.table("shard", "row", "fate").to_pylist()
    assert {(row["shard"], row["row"]) for row in kept if row["fate"] == "kept"} == expected
    assert len(left) >= 10
    node = next(page.nodes[0] for page in left)
    (uid,) = {
        row["uid"].hex()
        for row in run.ledger().to_pylist()
        if (row["shard"], row["row"]) == (node["shard"], node["row"])
    }
    assert run.explain(uid)[0]["fate"] == "kept"


@pytest.mark.slow
def test_a_document_may_begin_in_a_chunk_that_no_image_signal_needs(tmp_path: Path) -> None:
    recipe = ROOT / "manifests/documents/obelics.yaml"
    kept = [
        curate.run(
            recipe, overrides=[f"chunk_rows={rows}"], root=str(tmp_path / str(rows)), executor="inline", quiet=True
        )
        for rows in (5, 1024)
    ]
    assert kept[0]["kept"] == kept[1]["kept"]
