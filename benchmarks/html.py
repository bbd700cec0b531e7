"""Pages per second and core of the default extraction, beside BeautifulSoup and trafilatura on the same pages.

    python -m benchmarks html

Pages are the embedded ones (scikit-image's gallery) and, where `make data` has built it, 200 of GIMP's English manual.
Everyone runs in a process of its own, on one core, in turns; seconds are CPU time, of child processes too, without
imports. BeautifulSoup does it in plain loops (`programs/html_soup.py`): `nodes` are paragraphs and images in order and
nothing else, `fields` what ours says of them too. Their images must agree in number with ours on every page. trafilatura
does what it is made for, main text with images. Both fast parsers are timed alone: parse and serialise, parse and visit.
"""

from __future__ import annotations

import json as jsonlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.environment import PROJECT, Peer, Unavailable, default_cache, measure, run_program

EMBEDDED: Final = PROJECT / "manifests" / "sample" / "documents"
MANUAL: Final = "gimp-help-en.warc.gz"
MANUAL_PAGES: Final = 200
TURNS: Final = 3
PROGRAMS: Final = Path(__file__).parent / "peers" / "programs"
SOUP: Final = Peer("beautifulsoup4", ("beautifulsoup4==4.15.0", "lxml==6.1.3"), "beautifulsoup4")
TRAFILATURA: Final = Peer("trafilatura", ("trafilatura==2.3.1",), "trafilatura")
WAYS: Final = {
    "BeautifulSoup, html.parser, nodes": (SOUP, "html_soup.py", ("html.parser", "nodes")),
    "BeautifulSoup, lxml, nodes": (SOUP, "html_soup.py", ("lxml", "nodes")),
    "BeautifulSoup, html.parser, fields": (SOUP, "html_soup.py", ("html.parser", "fields")),
    "BeautifulSoup, lxml, fields": (SOUP, "html_soup.py", ("lxml", "fields")),
    "trafilatura, fast": (TRAFILATURA, "html_trafilatura.py", ("fast",)),
    "trafilatura": (TRAFILATURA, "html_trafilatura.py", ("full",)),
}
"""What is printed -> whose environment, which program, its arguments."""


def pages(archive: Path) -> Iterator[tuple[str, bytes]]:
    """(URL, body) of each HTML page of a WARC archive, in its order."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    with archive.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
            if (record.http_content_type or "").startswith("text/html"):
                yield record.headers["WARC-Target-URI"], record.reader.read()


def sets() -> dict[str, list[tuple[str, bytes]]]:
    """The pages by where they are from."""
    found = {"embedded": [page for archive in sorted(EMBEDDED.glob("*.warc.gz")) for page in pages(archive)]}
    manual = Path(os.environ.get("CURATE_ROOT", "workspace")) / "data" / "manuals" / MANUAL
    if manual.exists():
        every = list(pages(manual))
        found["GIMP manual"] = every[:: max(1, len(every) // MANUAL_PAGES)][:MANUAL_PAGES]
    return found


def write(found: list[tuple[str, bytes]], folder: Path) -> None:
    """A file per page, and their URLs in `urls.txt`."""
    folder.mkdir()
    for number, (_, html) in enumerate(found):
        (folder / f"{number:05d}.html").write_bytes(html)
    (folder / "urls.txt").write_text("\n".join(url for url, _ in found))


def outcomes(folder: Path, cache: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(way, what it said, with its version) of one turn, or with `unavailable`, why it cannot be had."""
    said, _ = run_program([sys.executable, "-m", "benchmarks.peers.ours_html", str(folder)], "ours", 1, PROJECT)
    yield "ours", said
    for way, (peer, program, how) in WAYS.items():
        try:
            outcome = measure(peer, PROGRAMS / program, [str(folder), *how], cache)
        except Unavailable as error:
            yield way, {"unavailable": str(error)}
        else:
            yield way, {**outcome.said, "version": outcome.version}


def parsers(found: list[tuple[str, bytes]]) -> dict[str, float]:
    """Milliseconds of CPU per page: what each parser takes for a tree, written out or visited node by node."""
    from resiliparse.parse.html import HTMLTree
    from selectolax.lexbor import LexborHTMLParser

    texts = [html.decode("utf-8", "replace") for _, html in found]
    ways: dict[str, Callable[[str], object]] = {
        "resiliparse, written": lambda text: str(HTMLTree.parse(text)),
        "selectolax, written": lambda text: LexborHTMLParser(text).html,
        "resiliparse, visited": lambda text: [node.tag for node in HTMLTree.parse(text).document or ()],
        "selectolax, visited": lambda text: [
            node.tag
            for node in LexborHTMLParser(text).root.traverse(include_text=True)  # type: ignore[union-attr]
        ],
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(TURNS):
        for way, parse in ways.items():
            begin = time.process_time()
            for text in texts:
                parse(text)
            best[way] = min(best[way], (time.process_time() - begin) / len(texts) * 1e3)
    return best


def compare(found: list[tuple[str, bytes]], cache: Path) -> dict[str, dict[str, Any]]:
    """Per way its best turn: pages/s, how many times as fast ours is, and what it found."""
    best: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="html-") as scratch:
        write(found, Path(scratch) / "pages")
        for _ in range(TURNS):
            for way, said in outcomes(Path(scratch) / "pages", cache):
                if way not in best or said.get("seconds", 0.0) < best[way].get("seconds", 0.0):
                    best[way] = said
    for said in best.values():
        if "seconds" in said:
            said["pages/s"] = len(found) / said["seconds"]
            said["ours is"] = said["seconds"] / best["ours"]["seconds"]
    return best


def main(json: bool) -> None:
    """Print a table per set of pages. Exits with a message if an image is missed or invented."""
    for name, found in sets().items():
        best, trees = compare(found, default_cache()), parsers(found)
        if json:
            told = {way: {key: value for key, value in said.items() if key != "images"} for way, said in best.items()}
            print(jsonlib.dumps({"benchmark": "html", "set": name, "pages": len(found), "ways": told, "trees": trees}))
        else:
            print(f"{name}: {len(found)} pages, {sum(len(html) for _, html in found) / 1e6:.1f} MB")
            print("\n".join(_line(way, said) for way, said in best.items()))
            print("; ".join(f"{way} {milliseconds:.3f} ms" for way, milliseconds in trees.items()))
        apart = [
            url
            for place, (url, _) in enumerate(found)
            for way, said in best.items()
            if "images" in said and said["images"][place] != best["ours"]["images"][place]
        ]
        if apart:
            raise SystemExit(f"images differ in number on {len(apart)} pages, first {apart[0]}")


def _line(way: str, said: dict[str, Any]) -> str:
    if "unavailable" in said:
        return f"unavailable: {said['unavailable']}"
    name = f"{way} {said.get('version', '')}".strip()
    return f"{name:42}{said['pages/s']:9,.0f} pages/s{said['ours is']:7.1f} times ours{said['words']:10,} words"
