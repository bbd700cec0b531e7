"""Documents from HTML files: a folder and a tar of it give the same documents; nothing outside is ever read."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import PoolError
from stages.ingest.pages import Pages, inside

TarOf = Callable[[Sequence[tuple[str, bytes]]], bytes]


def page(*sources: str) -> bytes:
    shown = "".join(f'<p>some words</p><img src="{source}" alt="{number}">' for number, source in enumerate(sources))
    return f"<title>of {len(sources)}</title>{shown}".encode()


@pytest.fixture
def files(images: dict[str, bytes]) -> dict[str, bytes]:
    return {
        "a/deep page.HTM": page("../pictures/a.jpg", "/pictures/b%20b.jpg", "none.jpg"),
        "index.html": page(
            "pictures/a.jpg", "http://folder.example/pictures/a.jpg", "http://other.example/pictures/a.jpg"
        ),
        "notes.txt": b"no page",
        "pictures/a.jpg": images["a.jpg"],
        "pictures/b b.jpg": images["b.jpg"],
        "z.xhtml": page("pictures/", "index.html", "../../../pictures/a.jpg?size=1"),
    }


@pytest.fixture
def folder(tmp_path: Path, files: dict[str, bytes]) -> Path:
    root = tmp_path / "site"
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def rows(source: Pages, target: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for unit in source.units():
        done = source.ingest(unit, target).rows.to_pylist()
        data = target.read_bytes()
        for row in done:
            image = None if row["offset"] is None else data[row["offset"] : row["offset"] + row["size"]]
            found.append(row | {"image": image})
    return found


def told(found: list[dict[str, Any]]) -> list[Any]:
    return [(row["uid"], row["kind"], row["text"], row["url"], row["image"], row["error"]) for row in found]


def test_a_folder(folder: Path, tmp_path: Path, images: dict[str, bytes]) -> None:
    found = rows(Pages(path=str(folder)), tmp_path / "x.tar")
    site = "http://folder.example"
    documents = [row for row in found if row["kind"] == "document"]
    assert [row["url"] for row in documents] == [f"{site}/a/deep%20page.HTM", f"{site}/index.html", f"{site}/z.xhtml"]
    assert json.loads(documents[0]["meta"])["archive"] == "site"
    pictures = [(row["url"], row["image"] or row["error"]) for row in found if row["kind"] == "image"]
    assert pictures == [
        (f"{site}/pictures/a.jpg", images["a.jpg"]),
        (f"{site}/pictures/b%20b.jpg", images["b.jpg"]),
        (f"{site}/a/none.jpg", "missing image: a/none.jpg"),
        (f"{site}/pictures/a.jpg", images["a.jpg"]),
        (f"{site}/pictures/a.jpg", images["a.jpg"]),
        ("http://other.example/pictures/a.jpg", "missing image: other.example is another host"),
        (f"{site}/pictures/", "refused: pictures/ is no regular file"),
        (f"{site}/index.html", "no image that is decoded: it begins with b'<title>of 3</tit'"),
        (f"{site}/pictures/a.jpg?size=1", images["a.jpg"]),
    ]


def test_a_tar_of_the_folder_gives_the_same(
    folder: Path, files: dict[str, bytes], tmp_path: Path, tar_of: TarOf
) -> None:
    tar = tmp_path / "site.tar"
    tar.write_bytes(tar_of([(f"./{name}", data) for name, data in reversed(files.items())]))
    ours, theirs = (rows(Pages(path=str(path)), tmp_path / "x.tar") for path in (folder, tar))
    assert [one for one in told(ours) if not one[-1]] == [one for one in told(theirs) if not one[-1]]
    assert [row["error"] for row in theirs if row["error"]] == [
        "missing image: a/none.jpg",
        "missing image: other.example is another host",
        "missing image: pictures/",
        "no image that is decoded: it begins with b'<title>of 3</tit'",
    ]


def test_nothing_outside_of_the_folder_is_read(tmp_path: Path, images: dict[str, bytes]) -> None:
    root = tmp_path / "site"
    root.mkdir()
    (tmp_path / "secret.jpg").write_bytes(images["a.jpg"])
    (tmp_path / "secret.html").write_bytes(page())
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "link.html").symlink_to(tmp_path / "secret.html")
    os.mkfifo(root / "pipe.jpg")
    sources = ["../secret.jpg", "%2e%2e/secret.jpg", "..%2fsecret.jpg", "link.jpg", "pipe.jpg", "%00", "/" + "x" * 5000]
    (root / "p.html").write_bytes(page(*sources, f"file://{tmp_path}/secret.jpg", str(tmp_path / "secret.jpg")))
    found = rows(Pages(path=str(root)), tmp_path / "x.tar")
    assert all(row["image"] is None for row in found)
    assert [row["error"] for row in found if row["url"] and row["url"].endswith(("link.html", "link.jpg"))] == [
        "refused: link.html leads out of the folder",
        "refused: link.jpg leads out of the folder",
    ]
    assert sum(row["kind"] == "image" and bool(row["error"]) for row in found) == len(sources) + 2


def test_links_of_a_tar_hold_nothing(tmp_path: Path, tar_of: TarOf, images: dict[str, bytes]) -> None:
    tar = tmp_path / "x.tar"
    tar.write_bytes(tar_of([("p.html", page("link.jpg", "a.jpg")), ("../../a.jpg", images["a.jpg"])]))
    with tarfile.open(tar, "a") as archive:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link, io.BytesIO())
    found = rows(Pages(path=str(tar)), tmp_path / "y.tar")
    assert [row["error"] for row in found if row["kind"] == "image"] == ["missing image: link.jpg", None]


@given(st.text(alphabet="ab./\\%\0", max_size=20))
def test_a_path_in_one_spelling_stays_inside(path: str) -> None:
    assert not inside(path).startswith(("/", "../")) and inside(path) != ".."
    assert inside(inside(path)) == inside(path)


def test_shards(folder: Path, files: dict[str, bytes], tmp_path: Path, tar_of: TarOf) -> None:
    whole = rows(Pages(path=str(folder)), tmp_path / "x.tar")
    parts = Pages(path=str(folder), documents_per_shard=2)
    assert [unit.name for unit in parts.units()] == ["00000000", "00000001"]
    assert told(rows(parts, tmp_path / "y.tar")) == told(whole)
    for name in ("1.tar", "2.tar"):
        (tmp_path / name).write_bytes(tar_of(list(files.items())))
    units = Pages(path=str(tmp_path / "*.tar"), documents_per_shard=2).units()
    assert [unit.name for unit in units] == [
        f"{name}/0000000{number}" for name in ("1.tar", "2.tar") for number in (0, 1)
    ]


def test_stamps_follow_pages_images_and_fields(folder: Path, images: dict[str, bytes]) -> None:
    source = Pages(path=str(folder))
    stamps = [source.units()[0].stamp]
    assert source.units()[0].stamp == stamps[0]
    (folder / "pictures/a.jpg").write_bytes(images["c.jpg"] + b"longer")
    stamps.append(source.units()[0].stamp)
    (folder / "index.html").write_bytes(page())
    stamps.append(source.units()[0].stamp)
    stamps += [Pages(path=str(folder), mode="obelics").units()[0].stamp]
    stamps += [Pages(path=str(folder), site="http://a.b").units()[0].stamp]
    assert len(set(stamps)) == 5


def test_hidden_and_too_large(folder: Path, tmp_path: Path) -> None:
    (folder / ".git").mkdir()
    shutil.copy(folder / "index.html", folder / ".git/x.html")
    (folder / ".hidden.html").write_bytes(page())
    (folder / "large.html").write_bytes(b" " * 200_000)
    found = rows(Pages(path=str(folder), max_page_megabytes=0.1), tmp_path / "x.tar")
    errors = {row["url"]: row["error"] for row in found if row["kind"] == "document"}
    assert errors == {
        "http://folder.example/a/deep%20page.HTM": None,
        "http://folder.example/index.html": None,
        "http://folder.example/large.html": "refused: large.html has 200000 bytes, more than 0.1 MB",
        "http://folder.example/z.xhtml": None,
    }


def test_nothing_there(tmp_path: Path, tar_of: TarOf) -> None:
    with pytest.raises(PoolError, match="there is no page here"):
        Pages(path=str(tmp_path)).units()
    (tmp_path / "x.tar").write_bytes(tar_of([("a.txt", b"")]))
    with pytest.raises(PoolError, match="there is no page here"):
        Pages(path=str(tmp_path / "x.tar")).units()
    with pytest.raises(PoolError, match="there is no such file"):
        Pages(path=str(tmp_path / "none.tar")).units()
