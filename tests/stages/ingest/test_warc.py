"""Documents from WARC archives: which records are pages, where their images come from, and what becomes of the rest."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pydantic import ValidationError

from benchmarks.data.warcs import Response, record, record_of, write_warc
from curate.contracts import Unit
from curate.errors import PoolError
from curate.schema import DOCUMENT_INDEX
from stages.ingest import documents, warc
from stages.ingest.archive import Archive
from stages.ingest.files import Refused
from stages.ingest.pages import FolderTree, SiteImages
from stages.ingest.warc import Warc, index_of
from stages.ingest.web import Mirror

SAMPLE = Path(__file__).parents[3] / "manifests/sample/documents"
SITE = "http://h.example"


def page(*body: str, title: str = "a title") -> bytes:
    return f"<html lang=en><title>{title}</title><body>{''.join(body)}</body></html>".encode()


def write(path: Path, *parts: Response | bytes) -> Path:
    """An archive of answers and of records given as bytes."""
    data = [record_of(part) if isinstance(part, Response) else part for part in parts]
    path.write_bytes(b"".join(gzip.compress(one, mtime=0) if path.suffix == ".gz" else one for one in data))
    return path


def ingest(source: Warc, target: Path, units: Iterable[Unit] | None = None) -> list[dict[str, Any]]:
    """Rows of all units, with the bytes that they point at."""
    found: list[dict[str, Any]] = []
    for unit in source.units() if units is None else units:
        done = source.ingest(unit, target)
        assert done.tar is None and done.rows.schema == DOCUMENT_INDEX
        data = target.read_bytes()
        for row in done.rows.to_pylist():
            image = None if row["offset"] is None else data[row["offset"] : row["offset"] + row["size"]]
            assert (image is None) == (row["sha256"] is None)
            assert image is None or (row["error"] is None and hashlib.sha256(image).digest() == row["sha256"])
            found.append(row | {"image": image})
    return found


def of_kind(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


def pages_and_errors(path: Path, target: Path, **fields: Any) -> list[tuple[str | None, str | None]]:
    rows = ingest(Warc(path=str(path), **fields), target)
    return [(row["url"], row["error"]) for row in of_kind(rows, "document")]


def other(kind: str, url: str, media_type: str, block: bytes, *fields: str) -> bytes:
    """A record that is no answer."""
    return record([f"WARC-Type: {kind}", f"WARC-Target-URI: {url}", f"Content-Type: {media_type}", *fields], block)


def shown(*sources: str) -> bytes:
    """A page that shows these images."""
    return page(*(f'<p>words</p><img src="{source}">' for source in sources))


def test_a_page_becomes_a_document_and_its_nodes(tmp_path: Path, images: dict[str, bytes]) -> None:
    figure = "<figure><img src=b.jpg><figcaption>Blue</figcaption></figure>"
    body = page("<h1>Head</h1><p>Two words</p><img src=/a.jpg alt=red>", figure)
    archive = write(
        tmp_path / "x.warc.gz",
        Response(f"{SITE}/d/p.html", body, "text/html; charset=utf-8"),
        Response(f"{SITE}/a.jpg", images["a.jpg"], "image/jpeg"),
        Response(f"{SITE}/d/b.jpg", images["b.jpg"], "image/jpeg"),
    )
    document, *nodes = ingest(Warc(path=str(archive)), tmp_path / "x.tar")
    assert (document["kind"], document["key"], document["text"]) == ("document", "00000000", "a title")
    assert (document["url"], document["parent"], document["error"]) == (f"{SITE}/d/p.html", None, None)
    meta = json.loads(document["meta"])
    assert (meta["archive"], meta["byte"], meta["language"], meta["charset"]) == ("x.warc.gz", 0, "en", "utf-8")
    assert meta["date"] == "2026-01-01T00:00:00Z"
    assert [row["parent"] for row in nodes] == [0] * len(nodes)
    assert [row["key"] for row in nodes] == [f"00000000/{number:04d}" for number in range(len(nodes))]
    red, blue = of_kind(nodes, "image")
    assert (red["text"], red["url"], red["ext"], red["image"]) == ("red", f"{SITE}/a.jpg", "jpg", images["a.jpg"])
    assert (blue["caption"], blue["image"]) == ("Blue", images["b.jpg"])
    assert [row["text"] for row in of_kind(nodes, "text")][:2] == ["Head", "Two words"]
    assert len({row["uid"] for row in [document, *nodes]}) == 1 + len(nodes)


def test_which_records_are_pages(tmp_path: Path) -> None:
    html, http = page("<p>words</p>"), "application/http"
    parts: list[Response | bytes] = [
        Response(f"{SITE}/html", html),
        Response(f"{SITE}/xhtml", html, "application/xhtml+xml;charset=utf-8"),
        Response(f"{SITE}/untyped", b"\n <!DOCTYPE HTML>" + html, ""),
        other("resource", f"{SITE}/resource", "text/html", html),
        Response(f"{SITE}/text", html, "text/plain"),
        Response(f"{SITE}/untyped-text", b"words", ""),
        Response(f"{SITE}/gone", html, status=404),
        Response(f"{SITE}/moved", html, status=301, headers=("Location: /html",)),
        Response(f"{SITE}/part", html, status=206),
        other("request", f"{SITE}/html", http, b"GET / HTTP/1.1\r\n\r\n"),
        other("revisit", f"{SITE}/again", http, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"),
        other("response", "dns:h.example", "text/dns", b"127.0.0.1"),
        other("metadata", f"{SITE}/html", "text/html", html),
        other("resource", "urn:view:x", "text/html", html),
    ]
    archive = write(tmp_path / "x.warc", *parts)
    found = pages_and_errors(archive, tmp_path / "x.tar")
    assert found == [(f"{SITE}/{name}", None) for name in ("html", "xhtml", "untyped", "resource")]
    source = Warc(path=str(archive))
    assert source.ingest(source.units()[0], tmp_path / "x.tar").passed == {
        "metadata": 1,
        "request": 1,
        "resource text": 1,
        "response": 1,
        "response 206": 1,
        "response 301": 1,
        "response 404": 1,
        "response text": 1,
        "response other": 1,
        "revisit": 1,
    }


def test_bodies_as_crawlers_leave_them(tmp_path: Path) -> None:
    html = page("<p>some words here</p>")
    pieces = b"".join(b"%x\r\n%s\r\n" % (1, html[at : at + 1]) for at in range(len(html))) + b"0\r\n\r\n"
    coded = ("Content-Encoding: gzip",)
    archive = write(
        tmp_path / "x.warc.gz",
        Response(f"{SITE}/chunked", pieces, headers=("Transfer-Encoding: chunked",)),
        Response(f"{SITE}/gzip", gzip.compress(html), headers=coded),
        Response(f"{SITE}/cut", gzip.compress(html)[:50], headers=coded),
        Response(f"{SITE}/bomb", gzip.compress(b"<p>" * 5_000_000), headers=coded),
        Response(f"{SITE}/large", html + b" " * 1_000_000),
        Response(f"{SITE}/after", html),
    )
    found = pages_and_errors(archive, tmp_path / "x.tar", max_page_megabytes=0.5)
    assert found == [
        (f"{SITE}/chunked", None),
        (f"{SITE}/gzip", None),
        (f"{SITE}/cut", "gzip content is cut off"),
        (f"{SITE}/bomb", "larger than 0.5 MB"),
        (f"{SITE}/large", "larger than 0.5 MB"),
        (f"{SITE}/after", None),
    ]


def test_where_images_come_from(tmp_path: Path, images: dict[str, bytes]) -> None:
    sources = {
        "/a.jpg": None,
        "/a.jpg#part": None,
        "//h.example/%61.jpg": None,
        "https://H.example//a.jpg": None,  # a scheme names no other bytes
        "/moved": None,
        "/again": None,
        "/gone.jpg": "missing image: the archive has it with status 404",
        "/none.jpg": "missing image: not in the archive",
        "/round": "missing image: more than 5 redirects",
        "/elsewhere": "missing image: the archive has it as a revisit only",
        "/nowhere": "missing image: its redirect is malformed: Invalid IPv6 URL",
        "/drawing.svg": "no image that is decoded: it begins with b'<svg'",
        "/page.png": "no image that is decoded: it begins with b'<html><p>no imag'",
        "/empty.png": "empty image: no bytes",
    }
    jpeg = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n"
    archive = write(
        tmp_path / "x.warc.gz",
        Response(f"{SITE}/", shown(*sources)),
        Response(f"{SITE}/a.jpg", images["a.jpg"], "image/jpeg"),
        Response(f"{SITE}/moved", b"", status=302, headers=("Location: hop",)),
        Response(f"{SITE}/hop", b"", status=307, headers=(f"Location: {SITE}/a.jpg",)),
        Response(f"{SITE}/round", b"", status=302, headers=("Location: /trip",)),
        Response(f"{SITE}/trip", b"", status=302, headers=("Location: /round",)),
        Response(f"{SITE}/nowhere", b"", status=301, headers=("Location: http://[oops/",)),
        Response(f"{SITE}/gone.jpg", b"", status=404),
        Response(f"{SITE}/drawing.svg", b"<svg", "image/svg+xml"),
        Response(f"{SITE}/page.png", b"<html><p>no image</p>", "image/png"),
        Response(f"{SITE}/empty.png", b"", "image/png"),
        other("revisit", f"{SITE}/again", "application/http", jpeg, f"WARC-Refers-To-Target-URI: {SITE}/a.jpg"),
        other("revisit", f"{SITE}/elsewhere", "application/http", jpeg),
    )
    found = of_kind(ingest(Warc(path=str(archive)), tmp_path / "x.tar"), "image")
    assert [row["error"] for row in found] == list(sources.values())
    assert [row["image"] for row in found[:6]] == [images["a.jpg"]] * 6
    assert len({row["offset"] for row in found[:6]}) == 1  # equal bytes are kept once


def test_the_first_record_of_a_url_that_has_a_body_counts(tmp_path: Path, images: dict[str, bytes]) -> None:
    archive = write(
        tmp_path / "x.warc",
        Response(f"{SITE}/", shown("a.jpg")),
        Response(f"{SITE}/a.jpg", b"", status=503),
        Response(f"{SITE}/a.jpg", images["b.jpg"], "image/jpeg"),
        Response(f"{SITE}/a.jpg", images["a.jpg"], "image/jpeg"),
    )
    (found,) = of_kind(ingest(Warc(path=str(archive)), tmp_path / "x.tar"), "image")
    assert found["image"] == images["b.jpg"]


def test_the_format_is_that_of_the_bytes(tmp_path: Path, images: dict[str, bytes]) -> None:
    archive = write(
        tmp_path / "x.warc",
        Response(f"{SITE}/", shown("a.png")),
        Response(f"{SITE}/a.png", images["a.jpg"], "image/png"),
    )
    assert of_kind(ingest(Warc(path=str(archive)), tmp_path / "x.tar"), "image")[0]["ext"] == "jpg"


def test_images_of_data_uris_and_of_other_candidates(tmp_path: Path, images: dict[str, bytes]) -> None:
    data = base64.b64encode(images["a.jpg"]).decode()
    candidates = "<p>words</p><img srcset='/none.jpg 900w, /b.jpg 300w' src=/b.jpg>"
    archive = write(
        tmp_path / "x.warc",
        Response(f"{SITE}/", page(f"<p>words</p><img src='data:image/jpeg;base64,{data}'>", candidates)),
        Response(f"{SITE}/b.jpg", images["b.jpg"], "image/jpeg"),
    )
    found = of_kind(ingest(Warc(path=str(archive)), tmp_path / "x.tar"), "image")
    assert [(row["url"], row["image"]) for row in found] == [
        (None, images["a.jpg"]),
        (f"{SITE}/b.jpg", images["b.jpg"]),
    ]


def test_a_mirrored_folder_of_images(tmp_path: Path, images: dict[str, bytes]) -> None:
    mirror = tmp_path / "mirror"
    (mirror / "h.example/d").mkdir(parents=True)
    (mirror / "h.example/d/a b.jpg").write_bytes(images["a.jpg"])
    (tmp_path / "secret.jpg").write_bytes(images["b.jpg"])
    (mirror / "h.example/link.jpg").symlink_to(tmp_path / "secret.jpg")
    sources = ["d/a%20b.jpg", "none.jpg", "%2e%2e/%2e%2e/secret.jpg", "link.jpg", "//../secret.jpg", "d"]
    body = shown(*sources)
    archive = write(tmp_path / "x.warc", Response(f"{SITE}/p.html", body))
    found = of_kind(ingest(Warc(path=str(archive), images="folder", folder=str(mirror)), tmp_path / "x.tar"), "image")
    assert [row["image"] for row in found] == [images["a.jpg"], *[None] * 5]
    assert all(row["error"] for row in found[1:])
    assert found[3]["error"] == "refused: h.example/link.jpg leads out of the folder"
    with pytest.raises(ValidationError, match="belong together"):
        Warc(path=str(archive), images="folder")
    with pytest.raises(ValidationError, match="belong together"):
        Warc(path=str(archive), folder=str(mirror))


@pytest.mark.parametrize("mode", ["default", "obelics"])
def test_malformed_urls_end_no_ingest(tmp_path: Path, mode: str) -> None:
    """Wherever images come from, and whatever an extraction lets through."""
    bad = ["http://[1]/a.png", "http://[oops", "http://[::1]x/", "//["]
    archive = write(tmp_path / "x.warc", Response(f"{SITE}/", shown(*bad)))
    source = Warc.model_validate({"path": str(archive), "mode": mode})
    with source.archived(source.units()[0]) as archived:
        for images in (Mirror(str(tmp_path)), SiteImages(SITE, FolderTree(str(tmp_path))), archived):
            for url in bad:
                with pytest.raises(Refused, match="missing image: "):
                    images.read(url)
    for fields in ({}, {"images": "folder", "folder": str(tmp_path)}, {"images": "download"}):
        found = ingest(Warc.model_validate({"path": str(archive), "mode": mode, **fields}), tmp_path / "x.tar")
        assert found[0]["error"] is None and all(row["error"] for row in of_kind(found, "image"))


@pytest.mark.slow
def test_images_from_the_web(tmp_path: Path, site: tuple[int, list[str]], images: dict[str, bytes]) -> None:
    base = f"http://localhost:{site[0]}"
    sources = {
        f"{base}/ok/a.jpg": None,
        f"{base}/none": "download: HTTP Error 404: Not Found",
        f"{base}/optout": "download: Use of image disallowed by X-Robots-Tag directive",
        f"{base}/html": "no image that is decoded: it begins with b'<html>not an ima'",
        f"http://127.0.0.1:{site[0]}/ok/a.jpg": "download: refused: 127.0.0.1 is at 127.0.0.1, which is no public address",
    }
    archive = write(tmp_path / "x.warc", Response(f"{SITE}/", shown(*sources)))
    download = {"allow_private": ("localhost",), "retries": 0, "timeout": 5}
    source = Warc.model_validate({"path": str(archive), "images": "download", "download": download})
    found = of_kind(ingest(source, tmp_path / "x.tar"), "image")
    assert {row["url"]: row["error"] for row in found} == sources
    assert found[0]["image"] == images["a.jpg"]


@pytest.mark.parametrize("suffix", ["warc", "warc.gz"])
def test_a_damaged_record_is_a_document_that_failed(tmp_path: Path, images: dict[str, bytes], suffix: str) -> None:
    html = [page(f"<p>page {number} {'words ' * 200}</p><img src=/{number}.jpg>") for number in range(4)]
    parts: list[Response] = []
    for number, body in enumerate(html):
        parts += [Response(f"{SITE}/{number}", body), Response(f"{SITE}/{number}.jpg", images["a.jpg"], "image/jpeg")]
    archive = write(tmp_path / f"x.{suffix}", *parts)
    data = bytearray(archive.read_bytes())
    with archive.open("rb") as file:
        places = [*(row.at for row in Archive(file, str(archive)).records(0, 1 << 40)), len(data)]
    for hit in (2, 7):  # the second page, the last image
        if suffix == "warc":
            data[places[hit]] ^= 1
        else:
            data[places[hit + 1] - 6] ^= 1  # the checksum
    archive.write_bytes(data)
    found = ingest(Warc(path=str(archive)), tmp_path / "x.tar")
    documents_, pictures = of_kind(found, "document"), of_kind(found, "image")
    failed = [row for row in documents_ if row["error"]]
    assert [row["url"] for row in documents_ if not row["error"]] == [f"{SITE}/0", f"{SITE}/2", f"{SITE}/3"]
    assert all("damaged archive" in row["error"] for row in failed)
    if suffix == "warc.gz":  # there it can be told that the second is an image
        assert [row["url"] for row in failed] == [f"{SITE}/1"]
        assert "damaged" in pictures[-1]["error"]
    else:
        assert len(failed) == 2
    assert pictures[-1]["image"] is None and [row["image"] for row in pictures[:-1]] == [images["a.jpg"]] * 2


def test_an_archive_is_many_shards_and_no_page_is_lost_or_twice(tmp_path: Path) -> None:
    path = str(SAMPLE / "*.warc.gz")
    whole = ingest(Warc(path=path), tmp_path / "x.tar")
    cut = Warc(path=path, megabytes_per_shard=0.2)
    units = cut.units()
    assert len(units) == sum(-(-file.stat().st_size // 200_000) for file in SAMPLE.glob("*.warc.gz"))
    assert [unit.name for unit in units][:6] == [
        *(f"00000.warc.gz/0000{number}" for number in range(5)),
        "00001.warc.gz/00000",
    ]
    assert cut.units() == units

    def told(rows: list[dict[str, Any]]) -> list[Any]:
        return [(row["uid"], row["text"], row["url"], row["image"], row["error"]) for row in rows]

    assert told(ingest(cut, tmp_path / "y.tar")) == told(whole)
    assert len(of_kind(whole, "document")) == 24 and not any(row["error"] for row in whole)


def test_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    source, first, second = Warc(path=str(SAMPLE)), tmp_path / "1.tar", tmp_path / "2.tar"
    unit = source.units()[1]
    assert source.ingest(unit, first).rows.equals(source.ingest(unit, second).rows)
    assert first.read_bytes() == second.read_bytes()


def test_stamps_follow_the_archive_and_the_fields_that_matter(tmp_path: Path) -> None:
    archive = write(tmp_path / "x.warc", Response(f"{SITE}/", page("<p>words</p>")))
    (unit,) = Warc(path=str(archive)).units()
    others: list[dict[str, Any]] = [
        {"mode": "obelics"},
        {"max_page_megabytes": 1},
        {"images": "download"},
        {"megabytes_per_shard": 1},
    ]
    stamps = {Warc(path=str(archive), **fields).units()[0].stamp for fields in others}
    write(archive, Response(f"{SITE}/", page("<p>other words</p>")))
    stamps.add(Warc(path=str(archive)).units()[0].stamp)
    assert len(stamps) == 5 and unit.stamp not in stamps


def test_archives_in_a_store(tmp_path: Path) -> None:
    with fsspec.open("memory://crawl/00000.warc.gz", "wb") as file:
        file.write((SAMPLE / "00001.warc.gz").read_bytes())
    remote = ingest(Warc(path="memory://crawl/*.warc.gz"), tmp_path / "x.tar")
    local = ingest(Warc(path=str(SAMPLE / "00001.warc.gz")), tmp_path / "x.tar")
    assert [row["uid"] for row in remote] == [row["uid"] for row in local]
    assert [row["image"] for row in remote] == [row["image"] for row in local]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match=r"there is no \.warc\* file here"):
        Warc(path=str(tmp_path)).units()
    (tmp_path / "x.warc").write_bytes(b"")
    with pytest.raises(PoolError, match="these archives are empty"):
        Warc(path=str(tmp_path / "x.warc")).units()


def test_a_shard_of_bombs_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = page(*(f"<p>paragraph {number} of words</p>" for number in range(30)))
    archive = write(tmp_path / "x.warc", *(Response(f"{SITE}/{number}", body) for number in range(6)))
    for limit, value, fate in (("MAX_ROWS", 60, "the shard is full"), ("MAX_CHARACTERS", 1000, "the shard is full")):
        with monkeypatch.context() as patch:
            patch.setattr(documents, limit, value)
            found = of_kind(ingest(Warc(path=str(archive)), tmp_path / "x.tar"), "document")
            assert [bool(row["error"]) for row in found] == [False, False, True, True, True, True]
            assert fate in found[-1]["error"]
    with monkeypatch.context() as patch:
        patch.setattr(documents, "PAGE_CHARACTERS", 500)
        found = of_kind(ingest(Warc(path=str(archive)), tmp_path / "x.tar"), "document")
        assert {row["error"] for row in found} == {"HTML: rows of 670 characters, more than 500"}
    monkeypatch.setattr(documents, "MAX_NODES", 29)
    found = of_kind(ingest(Warc(path=str(archive)), tmp_path / "x.tar"), "document")
    assert {row["error"] for row in found} == {"HTML: 30 nodes, more than 29"}


def test_the_index_of_an_archive_is_bounded(
    tmp_path: Path, images: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warc, "MAX_INDEXED", 2)
    pictures = [Response(f"{SITE}/{name}", data, "image/jpeg") for name, data in images.items()]
    archive = tmp_path / "x.warc.gz"
    write_warc([Response(f"{SITE}/", shown(*images)), *pictures], archive)
    assert len(index_of(str(archive), "a stamp").hashes) == 2
    found = of_kind(ingest(Warc(path=str(archive)), tmp_path / "x.tar"), "image")
    assert [row["error"] for row in found] == [None, *["missing image: not in the archive"] * 2]
