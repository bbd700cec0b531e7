"""Hostile pages and archives, through whole runs: each page is accounted for, and what is harmless stays."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

import curate
from benchmarks.data.warcs import Response, record_of, write_warc
from curate.verify import verify
from stages.ingest.archive import Archive
from stages.ingest.response import parse

SAMPLE = Path(__file__).parents[3] / "manifests/sample/documents"
SITE = "http://hostile.example"
GOOD = (
    b"<html lang=en><title>good</title><p>an ordinary page with some words</p><img src=/ok.png alt='an image'></html>"
)


def png(width: int, height: int) -> bytes:
    """A PNG that claims that size and holds one pixel row of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def plain_png() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((320, 240), 60).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = {
    "ok.png": plain_png(),
    "billion.png": png(40_000, 40_000),
    "most.png": png(2**31 - 1, 2**31 - 1),
    "cut.png": plain_png()[:600],
    "html.png": b"<html>no image</html>",
    "bomb.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 100_000,
    "gif.gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + b"\xff" * 999,
}
URLS = (b"http://[::1", b"http://a:b:c/", b"\\\\x\\y", b"javascript:1", b"//", b"http://" + b"x" * 9000)
SMALL = {
    "nested": b"<div>" * 100_000 + b"deep words in here",
    "nested-lists": b"<ul><li>" * 50_000 + b"deep words in here",
    "nested-tables": b"<table><tr><td>" * 30_000 + b"deep words in here",
    "laughs": b'<!DOCTYPE html [<!ENTITY a0 "ha">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12))
    + b"]><p>some words &a11;</p>",
    "references": b"<p>some words " + b"&amp;&#x41;&nbsp;&bogus;&#1114112;&#xD800;" * 30_000,
    "not-utf-8": b"<p>some words \xff\xfe\xc3\x28 \xf0\x9f</p>" * 100,
    "zero-bytes": b"<p>some\0words\0here</p>\0<\0p\0>" * 1000,
    "utf-16": "<p>some words here</p>".encode("utf-16"),
    "unclosed": b"<p>some words<a href='",
    "base": b"<base href='http://h.example/" + b"x" * 100_000 + b"/'>" + b"<img src=a.jpg>" * 5_000,
    "candidates": b"<p>some words</p><img srcset='" + b",".join(b"/%d.jpg %dw" % (n, n + 1) for n in range(20_000)) + b"'>",
    "misnested": b"<a>" * 20_000 + b"<p>x" * 20_000,
    "foster-parents": b"<table>" + b"<b>x<p>y" * 10_000,
    "frames": b"<frameset>" * 10_000 + b"<noframes>some words here",
    "comment": b"<!--" * 100_000,
    "title": b"<title>" + b"t" * 2_000_000,
    "data": b"<p>some words</p><img src='data:image/png;base64," + b"A" * 2_000_000 + b"'>",
    "urls": b"<p>some words</p>"
    + b"".join(b"<img src='%s'>" % url for url in URLS),
    "images": b"<p>some words</p>" + b"".join(b"<img src=/%s>" % name.encode() for name in IMAGES),
    "empty": b"",
    "surrogates": b"<p>some words &#xD800; \xed\xa0\x80</p>",
}  # fmt: skip
LARGE = {
    "100-megabytes": b"<p>some words in here</p>" * 4_000_000,
    "15-megabytes": b"<p>%s</p>" % (b"word " * 100) * 30_000,
    "attributes": b"<p " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">some words</p>",
    "formatting": b"<div>" + b"".join(b"<b id=%d>" % n for n in range(2000)) + b"</div>" + b"<div>x</div>" * 20_000,
    "paragraphs": b"<p>y</p>" * 1_000_000,
}


def run_over(path: Path, tmp_path: Path, **source: Any) -> curate.Run:
    """A run that decodes every image and exports what is kept."""
    recipe = {
        "name": "hostile",
        "max_failed": 1.0,
        "chunk_rows": 4096,
        "pool": {"step": "stages.ingest.warc.Warc", "path": str(path), **source},
        "signals": [
            {"step": "stages.signals.image.Header"},
            {"step": "stages.signals.hashes.PHash"},
            {"step": "stages.signals.text.CaptionStats", "on": "text"},
        ],
        "select": [{"step": "filters.text.CaptionLength", "on": "text", "min_words": 2}],
        "export": {"formats": [{"step": "stages.export.documents.webdataset.Webdataset"}]},
    }
    file = tmp_path / "hostile.yaml"
    file.write_text(yaml.safe_dump(recipe))
    done = curate.run(file, root=str(tmp_path / "root"), executor="inline", quiet=True)
    run = curate.open_run(done["run"])
    assert verify(run) == []
    return run


def documents(run: curate.Run) -> dict[str, str]:
    """URL of each document -> its fate, or why it failed."""
    rows = run.table("kind", "url", "fate", "error").to_pylist()
    found = [(row["url"], row["error"] or row["fate"]) for row in rows if row["kind"] == "document"]
    assert len(found) == len({url for url, _ in found})
    return dict(found)


def crawl(pages: dict[str, bytes]) -> Iterable[Response]:
    """The pages between good ones, and the images."""
    for name, body in pages.items():
        yield Response(f"{SITE}/{name}", body)
        yield Response(f"{SITE}/after-{name}", GOOD)
    for name, body in IMAGES.items():
        yield Response(f"{SITE}/{name}", body, "image/png")


def test_hostile_pages(tmp_path: Path) -> None:
    write_warc(crawl(SMALL), tmp_path / "x.warc.gz")
    run = run_over(tmp_path / "x.warc.gz", tmp_path)
    fates = documents(run)
    assert list(fates) == [f"{SITE}/{prefix}{name}" for name in SMALL for prefix in ("", "after-")]
    assert set(fates.values()) == {"kept"}  # every one can be read, if not always usefully
    rows = run.table("kind", "url", "fate", "error", "text").to_pylist()
    images = {row["url"]: row["error"] or row["fate"] for row in rows if row["kind"] == "image" and row["url"]}
    assert images[f"{SITE}/ok.png"] == "kept"
    assert "Mpx" in images[f"{SITE}/billion.png"] and "Mpx" in images[f"{SITE}/most.png"]
    assert all(images[f"{SITE}/{name}"] != "kept" for name in IMAGES if name != "ok.png")
    assert all("\0" not in (row["text"] or "") for row in rows)


@pytest.mark.slow
def test_large_pages(tmp_path: Path) -> None:
    write_warc(crawl(LARGE), tmp_path / "x.warc.gz")
    fates = documents(run_over(tmp_path / "x.warc.gz", tmp_path))
    assert list(fates) == [f"{SITE}/{prefix}{name}" for name in LARGE for prefix in ("", "after-")]
    assert all(fates[f"{SITE}/after-{name}"] == "kept" for name in LARGE)
    assert fates[f"{SITE}/100-megabytes"] == "ingest: larger than 16 MB"
    assert fates[f"{SITE}/15-megabytes"] == "kept"
    assert "HTML:" in fates[f"{SITE}/formatting"] and "HTML:" in fates[f"{SITE}/paragraphs"]


def sample_pages() -> list[bytes]:
    found = []
    for path in sorted(SAMPLE.glob("*.warc.gz")):
        with path.open("rb") as file:
            answers = [parse(one.block) for one in Archive(file, str(path)).records(0, 1 << 40, lambda _: 1 << 30)]
        found += [one.body for one in answers if one is not None and one.media_type == "text/html"]
    return found


SPLICES = (
    b"<",
    b">",
    b"</",
    b"<!--",
    b"\0",
    b"\xff",
    b"&#",
    b"<table>",
    b"</p>",
    b"<img src='",
    b"<base href=//x>",
    b"<script>",
)


def mutated(page: bytes, draw: random.Random) -> bytes:
    """The page with one to eight things done to it that crawls, editors and attackers do."""
    data = bytearray(page)
    for _ in range(draw.randint(1, 8)):
        start = draw.randrange(len(data) + 1)
        end = min(len(data), start + draw.randint(1, 400))
        kind = draw.randrange(6)
        if kind == 0:
            data[start:end] = b""
        elif kind == 1:
            data[start:start] = draw.choice(SPLICES) * draw.randint(1, 50)
        elif kind == 2:
            data[start:start] = data[start:end] * draw.randint(1, 20)
        elif kind == 3:
            data[start:end] = draw.randbytes(end - start)
        elif kind == 4:
            del data[start:]
        else:
            data[start:end] = data[start:end][::-1]
    return bytes(data)


def mutations(count: int, seed: int) -> Iterable[Response]:
    draw, pages = random.Random(seed), sample_pages()
    for number in range(count):
        yield Response(f"{SITE}/{number}", mutated(draw.choice(pages), draw))


def test_mutated_pages(tmp_path: Path) -> None:
    write_warc(mutations(60, 1), tmp_path / "x.warc.gz")
    fates = documents(run_over(tmp_path / "x.warc.gz", tmp_path))
    assert list(fates) == [f"{SITE}/{number}" for number in range(60)]
    assert set(fates.values()) == {"kept"}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["default", "obelics"])
def test_a_thousand_mutated_pages(tmp_path: Path, mode: str) -> None:
    write_warc(mutations(1000, 2), tmp_path / "x.warc.gz")
    fates = documents(run_over(tmp_path / "x.warc.gz", tmp_path, mode=mode, megabytes_per_shard=2))
    assert list(fates) == [f"{SITE}/{number}" for number in range(1000)]
    assert set(fates.values()) == {"kept"}


@pytest.mark.parametrize("suffix", ["warc", "warc.gz"])
def test_mutated_archives(tmp_path: Path, suffix: str) -> None:
    """What was not touched is there, what was is there or accounted for, and nothing else is."""
    draw, pages = random.Random(3), [Response(f"{SITE}/{number}", GOOD + b"%d" % number) for number in range(300)]
    parts = [record_of(page) for page in pages]
    stored = [gzip.compress(part, mtime=0) if suffix == "warc.gz" else part for part in parts]
    touched = set(draw.sample(range(0, 300, 3), 30))  # not side by side
    for number in touched:
        data = bytearray(stored[number])
        at = draw.randrange(len(data) - 40)
        data[at : at + draw.randint(1, 40)] = draw.randbytes(draw.randint(1, 30))
        stored[number] = bytes(data)
    (tmp_path / f"x.{suffix}").write_bytes(b"".join(stored))
    run = run_over(tmp_path / f"x.{suffix}", tmp_path, megabytes_per_shard=0.02)
    rows = [row for row in run.table("kind", "url", "error", "meta").to_pylist() if row["kind"] == "document"]
    whole = Counter(row["url"] for row in rows if not row["error"])
    neighbours = {number + 1 for number in touched} if suffix == "warc" else set()
    assert {f"{SITE}/{number}" for number in range(300) if number not in touched | neighbours} <= whole.keys()
    assert set(whole.values()) == {1}
    failed = [json.loads(row["meta"])["byte"] for row in rows if row["error"]]
    assert len(failed) == len(set(failed))
    if suffix == "warc.gz":
        assert len(whole) + len(failed) == 300
