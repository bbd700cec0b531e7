"""What OBELICS' reading of a page loses on real manuals, and to which of its rules, beside the default extraction.

    python -m benchmarks.documents_lost [--archives DIR] [NAME...]

Reads the archives that `make data` writes (ROOT/data/manuals). Each image and each word of a page's tree counts under the
outermost element that OBELICS cuts away around it; what no such element holds and is lost nevertheless counts as `other`
(dates, players) or, of images, by their address. The default extraction keeps navigation, as nodes of such a region, and
leaves the choice to filters. Then the images that are content by the manuals' class names (`benchmarks.documents_truth`),
and the pages of the first manual as if other hosts had served them.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.documents_truth import MANUALS as LABELLERS
from benchmarks.documents_truth import Labeller, page_truth
from stages.html import obelics, page
from stages.html.encoding import decode
from stages.html.markup import VOID, attributes, tokens
from stages.html.media import image_source
from stages.html.node import Node
from stages.html.obelics_dom import BREAK, fate, parse
from stages.ingest.documents import WebPage
from stages.ingest.warc import Warc

MANUALS: Final = (
    "gimp-help-en",
    "gimp-help-ja",
    "debian-handbook-en-US",
    "gnucash-docs",
    "grass-doc",
    "python-skimage-doc",
    "installation-guide-amd64",
    "freedombox-doc-en",
)
HOSTS: Final = ("manuals.example", "manuals.example:8080", "bücher.example", "localhost", "10.0.0.1", "10.0.0.10")
KINDS: Final = {
    "head": "head",
    "figure": "figures",
    "picture": "figures",
    "li": "lists",
    "table": "tables",
    "pre": "listings",
}
"""Element -> column of the table; what stands in others is `elsewhere`, and <head> in no column."""
COLUMNS: Final = ("default", "OBELICS", "figures", "lists", "tables", "listings", "elsewhere", "address")


def pages(archives: Sequence[Path]) -> Iterator[WebPage]:
    """All HTML pages of the archives."""
    source = Warc(path=tuple(str(path) for path in archives))
    for unit in source.units():
        yield from (found for found in source.pages(unit, Counter()) if found.url and found.error is None)


def words(text: str) -> int:
    """Words between white space; of scripts that have none a piece between them is one."""
    return len(text.replace(BREAK, " ").split())


def count(found: WebPage) -> dict[str, Counter[str]]:
    """Of one page: `images` and `words`, each by the columns of the table."""
    counts: dict[str, Counter[str]] = {"images": Counter(), "words": Counter()}
    for extract, name in ((page.extract, "default"), (obelics.extract, "OBELICS")):
        for node in extract(found.html, found.url or "", found.charset).nodes:
            counts["images" if node.kind == "image" else "words"][name] += _weight(node)
    text, _ = decode(found.html, found.charset)
    _blame(parse(text), counts)
    return counts


def _weight(node: Node) -> int:
    return 1 if node.kind == "image" else words(node.text or "")


def _blame(tree: str, counts: dict[str, Counter[str]]) -> None:
    """Adds what OBELICS cuts away, by why."""
    open_: list[str | None] = [None]  # for each open element, which column counts what it holds; None: it stays
    for _, end, tag, markup, text in tokens(tree):
        if end and tag not in VOID:
            open_.pop()
        elif tag and not end:
            said = attributes(markup)
            cut = open_[-1] or (None if fate(tag, said) in {"stays", "unwrapped"} else KINDS.get(tag, "elsewhere"))
            if tag == "img" and (cut or image_source(said) is None):
                counts["images"][cut or "address"] += 1
            if tag not in VOID:
                open_.append(cut)
        if open_[-1]:
            counts["words"][open_[-1]] += words(text)


def line(name: str, counts: Counter[str], total: str) -> str:
    """A row of a Markdown table."""
    return f"| {name} | {total} | " + " | ".join(f"{counts[column]:,}" for column in COLUMNS) + " |"


def content(found: Sequence[WebPage], labeller: Labeller) -> Counter[str]:
    """Content images of pages, and how many of them each extraction has, by the names of their files."""
    counts: Counter[str] = Counter()
    for one in found:
        wanted = [file(truth.url) for truth in page_truth(one.html, one.url or "", labeller) if truth.role == "content"]
        counts["content"] += len(wanted)
        for extract, name in ((page.extract, "default"), (obelics.extract, "OBELICS")):
            nodes = extract(one.html, one.url or "", one.charset).nodes
            there = Counter(file(node.url) for node in nodes if node.kind == "image")
            counts[name] += (Counter(wanted) & there).total()
    return counts


def file(url: str | None) -> str:
    """The last part of an image's path."""
    return (url or "").rpartition("/")[2]


def served_from(host: str, found: Sequence[WebPage]) -> tuple[int, int]:
    """Images of OBELICS' reading and of the default one, had the pages been served from `host`."""
    obelics_images = default_images = 0
    for one in found:
        url = urlsplit(one.url or "")._replace(netloc=host).geturl()
        obelics_images += sum(node.kind == "image" for node in obelics.extract(one.html, url, one.charset).nodes)
        nodes = page.extract(one.html, url, one.charset).nodes
        default_images += sum(node.kind == "image" and node.url is not None for node in nodes)
    return obelics_images, default_images


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser("python -m benchmarks.documents_lost", description=__doc__)
    workspace = Path(os.environ.get("CURATE_ROOT", "workspace"))
    parser.add_argument("--archives", type=Path, default=workspace / "data" / "manuals")
    parser.add_argument("names", nargs="*", default=MANUALS, metavar="NAME")
    asked = parser.parse_args()
    header = f"| of | pages | {' | '.join(COLUMNS)} |\n|---|{'---:|' * (len(COLUMNS) + 1)}"
    rows: dict[str, list[str]] = {"images": [], "words": []}
    contents: list[str] = []
    first: list[WebPage] = []
    for name in asked.names:
        found = list(pages([asked.archives / f"{name}.warc.gz"]))
        first = first or found
        totals: dict[str, Counter[str]] = {"images": Counter(), "words": Counter()}
        for one in found:
            for kind, counts in count(one).items():
                totals[kind] += counts
        labeller = LABELLERS["debian-handbook-*" if name.startswith("debian-handbook") else name]
        told = content(found, labeller)
        contents.append(f"| {name} | {told['content']:,} | {told['default']:,} | {told['OBELICS']:,} |")
        for kind, counts in totals.items():
            rows[kind].append(line(name, counts, f"{len(found):,}"))
    for kind, lines in rows.items():
        print(f"\n{kind}\n\n{header}", *lines, sep="\n")
    print("\ncontent images\n\n| of | content | default | OBELICS |\n|---|---:|---:|---:|", *contents, sep="\n")
    print(f"\n{asked.names[0]} as served from\n\n| host | OBELICS | default |\n|---|---:|---:|")
    for host in HOSTS:
        ours, theirs = served_from(host, first)
        print(f"| {host} | {ours:,} | {theirs:,} |", flush=True)


if __name__ == "__main__":
    main()
