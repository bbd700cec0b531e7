"""One tar becomes one table: what is taken up, and what a record that cannot be had looks like."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import PoolError
from curate.schema import INDEX, make_uid
from stages.ingest import tar as subject
from stages.ingest.tar import index_tar

TarOf = Callable[[Sequence[tuple[str, bytes]]], bytes]


def rows_of(data: bytes) -> list[dict[str, Any]]:
    table = index_tar(io.BytesIO(data), "x.tar")
    assert table.schema == INDEX
    rows: list[dict[str, Any]] = table.to_pylist()
    assert all((row["offset"] is None) == (row["error"] is not None) == (row["size"] is None) for row in rows)
    return rows


def test_a_row_points_at_its_image(tar_of: TarOf, images: dict[str, bytes]) -> None:
    meta = json.dumps({"url": "http://example.org/a.jpg", "caption": "from the JSON", "width": 32})
    data = tar_of([("f/a.jpg", images["a.jpg"]), ("f/a.txt", "ein Käse".encode()), ("f/a.json", meta.encode())])
    (row,) = rows_of(data)
    assert data[row["offset"] : row["offset"] + row["size"]] == images["a.jpg"]
    digest = hashlib.sha256(images["a.jpg"]).digest()
    assert row == {
        "uid": make_uid("f/a", "ein Käse", digest),
        "key": "f/a",
        "text": "ein Käse",
        "url": "http://example.org/a.jpg",
        "offset": row["offset"],
        "size": len(images["a.jpg"]),
        "ext": "jpg",
        "sha256": digest,
        "meta": meta,
        "error": None,
    }


@pytest.mark.parametrize(
    ("members", "text", "error"),
    [
        ([("a.jpg", b"1"), ("a.txt", b"")], "", None),
        ([("a.JPG", b"1"), ("a.TXT", b"shout")], "shout", None),
        ([("a.json", b'{"caption": "c", "text": "t"}'), ("a.webp", b"1")], "c", None),
        ([("a.png", b"1"), ("a.json", b'{"text": "t"}')], "t", None),
        ([("a.jpg", b"1"), ("a.txt", b"good"), ("a.json", b"{bad")], "good", None),
        ([("a.jpg", b"1"), ("a.txt", b"\xef\xbb\xbfmarked")], "marked", None),
        ([("a.jpg", b"1")], None, "no caption"),
        ([("a.jpg", b"1"), ("a.json", b"{bad")], None, "no caption: the .json member is no JSON"),
        ([("a.jpg", b"1"), ("a.json", b"[" * 100_000)], None, "no caption: the .json member is no JSON"),
        ([("a.jpg", b"1"), ("a.json", b'{"caption": 3}')], None, "no caption"),
        ([("a.jpg", b"1"), ("a.json", b'["caption"]')], None, "no caption"),
        (
            [("a.jpg", b"1"), ("a.json", b'{"caption": "\\ud800"}')],
            None,
            "the caption in the .json member holds a lone",
        ),
        ([("a.jpg", b"1"), ("a.txt", b"ok \xff")], None, "the .txt member is not UTF-8 at byte 3"),
        ([("a.txt", b"words")], "words", "no image member (found: txt)"),
        ([("a.npy", b"1"), ("a.cls", b"1")], None, "no image member (found: cls, npy)"),
    ],
)
def test_captions_and_errors(
    tar_of: TarOf, members: list[tuple[str, bytes]], text: str | None, error: str | None
) -> None:
    (row,) = rows_of(tar_of(members))
    assert row["text"] == text
    assert (row["error"] or "").startswith(error or "") and (row["error"] is None) == (error is None)


def test_takes_uids_over(tar_of: TarOf) -> None:
    uids = ["0123456789abcdef" * 2, "no uid", 7, None]
    members = []
    for i, uid in enumerate(uids):
        members += [(f"{i}.jpg", b"1"), (f"{i}.txt", b"t"), (f"{i}.json", json.dumps({"uid": uid}).encode())]
    rows = rows_of(tar_of(members))
    made = [make_uid(str(i), "t", hashlib.sha256(b"1").digest()) for i in range(4)]
    assert [row["uid"] for row in rows] == [bytes.fromhex(str(uids[0])), *made[1:]]


def test_groups_as_webdataset_does(tar_of: TarOf, tmp_path: Path) -> None:
    members = [
        ("__meta__/x.jpg", b"0"),
        ("a/b.c/x.jpg", b"1"),
        ("a/b.c/x.txt", b"one"),
        ("README", b"none"),
        ("x.left.jpg", b"2"),
        ("x.jpg", b"3"),
        ("x.txt", b"three"),
        ("y.png", b"4"),
        ("y.txt", b"four"),
    ]
    path = tmp_path / "x.tar"
    path.write_bytes(tar_of(members))
    theirs = list(webdataset.WebDataset(str(path), shardshuffle=False))
    ours = rows_of(path.read_bytes())
    assert [row["key"] for row in ours] == [sample["__key__"] for sample in theirs] == ["a/b.c/x", "x", "y"]
    assert [row["text"].encode() for row in ours] == [sample["txt"] for sample in theirs]


def test_duplicate_keys_stay_apart(tar_of: TarOf) -> None:
    rows = rows_of(tar_of([("a.jpg", b"1"), ("a.txt", b"one"), ("a.jpg", b"2"), ("a.txt", b"two")]))
    assert [(row["key"], row["text"]) for row in rows] == [("a", "one"), ("a", "two")]
    assert rows[0]["uid"] != rows[1]["uid"]


def test_names_are_only_keys(tar_of: TarOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["../../escape", "/etc/passwd", "new\nline", "\x1b[31mred", "\u202eflip", "\udcff"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(f"{name}.jpg")
            tar.addfile(info)
    keys = [row["key"] for row in rows_of(buffer.getvalue())]
    assert keys == ["../../escape", "/etc/passwd", "new\\nline", "\\x1b[31mred", "\\u202eflip", "\\udcff"]
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind in (("a.jpg", tarfile.SYMTYPE), ("b.jpg", tarfile.LNKTYPE), ("c.jpg", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    assert [row["error"] for row in rows_of(buffer.getvalue())] == [
        "the .jpg member is a symbolic link",
        "the .jpg member is a hard link",
        "the .jpg member is a character device",
    ]


def test_large_members_are_refused(tar_of: TarOf, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_IMAGE", "MAX_TEXT", "MAX_JSON"):
        monkeypatch.setattr(subject, name, 1 << 20)
    big = b"1" * ((1 << 20) + 1)
    rows = rows_of(
        tar_of([("a.jpg", big), ("a.txt", b"t"), ("b.jpg", b"1"), ("b.txt", big), ("c.jpg", b"1"), ("c.json", big)])
    )
    assert [row["error"] for row in rows] == [
        "the .jpg member has 1048577 bytes, more than 1 MiB",
        "the .txt member has 1048577 bytes, more than 1 MiB",
        "no caption: the .json member has 1048577 bytes, more than 1 MiB",
    ]


def test_an_empty_archive_has_no_rows(tar_of: TarOf) -> None:
    assert rows_of(tar_of([])) == []


SMALL = st.lists(
    st.tuples(
        st.text(st.sampled_from("ab/._\n\u202e"), min_size=1, max_size=4).filter(lambda s: not s.endswith("/")),
        st.sampled_from([".jpg", ".txt", ".json", ".PNG", "", ".x.jpg"]),
        st.sampled_from([b"", b"{}", b'{"caption": "c"}', b"\xff"]),
    ),
    max_size=8,
)


@given(SMALL)
def test_any_archive_is_read(entries: list[tuple[str, str, bytes]]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, suffix, data in entries:
            info = tarfile.TarInfo(name + suffix)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    rows = rows_of(buffer.getvalue())
    assert rows == rows_of(buffer.getvalue())
    assert all(row["key"].isprintable() for row in rows)


def test_damage_names_the_file(tar_of: TarOf) -> None:
    data = tar_of([("a.jpg", b"1" * 2000)])
    with pytest.raises(PoolError, match=r"x\.tar: damaged tar at byte 0: .*fetch or write this file again"):
        rows_of(data[:1500])
