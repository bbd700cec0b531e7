"""Archives that the project writes itself: what others read of them, and the embedded documents as their README has them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from benchmarks.data.manuals import MANUALS, site
from benchmarks.data.sample_documents import ARCHIVES, SITE
from benchmarks.data.warcs import Response, crawl, write_warc

SAMPLE = Path(__file__).parents[2] / "manifests/sample/documents"


def answers(path: Path) -> list[tuple[str, str, str, bytes]]:
    """URL, status, media type and body of each answer, as warcio reads them."""
    found = []
    with path.open("rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type == "response":
                head = record.http_headers
                url = record.rec_headers.get_header("WARC-Target-URI")
                found.append(
                    (url, head.get_statuscode(), head.get_header("Content-Type"), record.content_stream().read())
                )
    return found


def test_a_crawl_fetches_each_image_once_and_nothing_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "site"
    (root / "a").mkdir(parents=True)
    (root / "a/1.html").write_bytes(
        b"<img src='../x.png'><IMG alt=b src=y%20y.png><img\nsrc=\"http://other.example/z.png\">"
    )
    (root / "a/2.html").write_bytes(b"<img src=/x.png><img src='/gone.png?a&amp;b#c'><img src='../../secret.png'>")
    for name in ("x.png", "a/y y.png", "../secret.png"):
        (root / name).write_bytes(name.encode())
    found = list(crawl("http://h.example", root, sorted(root.rglob("*.html"))))
    assert [(one.url.removeprefix("http://h.example"), one.status) for one in found] == [
        ("/a/1.html", 200),
        ("/x.png", 200),
        ("/a/y%20y.png", 200),
        ("/a/2.html", 200),
        ("/gone.png?a&b", 404),
        ("/secret.png", 404),
    ]
    assert [one.media_type for one in found][:3] == ["text/html", "image/png", "image/png"]


@pytest.mark.parametrize("name", ["x.warc", "x.warc.gz"])
def test_others_read_what_is_written_and_twice_is_the_same(tmp_path: Path, name: str) -> None:
    pages = [Response(f"http://h.example/{number}", b"page\0 \xff" * number) for number in range(9)]
    first, second = tmp_path / name, tmp_path / "again" / name
    second.parent.mkdir()
    assert write_warc(pages, first) == write_warc(pages, second) == 9
    assert first.read_bytes() == second.read_bytes()
    assert answers(first) == [(page.url, "200", "text/html", page.body) for page in pages]
    assert list(tmp_path.glob("*.partial")) == []


def test_the_embedded_documents() -> None:
    paths = sorted(SAMPLE.glob("*.warc.gz"))
    assert [path.name for path in paths] == ["00000.warc.gz", "00001.warc.gz", "00002.warc.gz"]
    assert sum(file.stat().st_size for file in SAMPLE.iterdir()) < 4e6
    for path, pages in zip(paths, ARCHIVES, strict=True):
        found = answers(path)
        assert {status for _, status, _, _ in found} == {"200"}
        assert [url for url, _, kind, _ in found if kind == "text/html"] == [f"{SITE}/{page}" for page in pages]
        assert {kind for _, _, kind, _ in found} <= {"text/html", "image/png", "image/jpeg"}
    assert sum(map(len, ARCHIVES)) == 24 and "24 pages" in (SAMPLE / "README.md").read_text()
    assert "BSD-3-Clause" in (SAMPLE / "LICENSE.txt").read_text()


def test_manuals_have_hosts_of_their_own() -> None:
    assert len({manual.name for manual in MANUALS}) == len({site(manual) for manual in MANUALS}) == len(MANUALS)
    assert all(site(manual).endswith(".example") for manual in MANUALS)


def test_the_bytes_of_an_archive_depend_on_nothing_else(tmp_path: Path) -> None:
    write_warc([Response("http://h.example/", b"page", headers=("Server: none",))], tmp_path / "x.warc")
    digest = hashlib.sha256((tmp_path / "x.warc").read_bytes()).hexdigest()
    assert digest == "71dff7a08dcae1e1003b6eee15f72b7870bfb88b63079d1a3cb8c2da8e8e2a94"
