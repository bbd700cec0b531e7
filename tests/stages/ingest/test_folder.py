"""A folder of images, with its dirt: every image and every row of the table enters, and says why if it cannot."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import EnvironmentFault, PoolError
from stages.ingest.folder import Folder


@pytest.fixture
def folder(tmp_path: Path, images: dict[str, bytes]) -> Path:
    root = tmp_path / "pictures"
    (root / "sub.d").mkdir(parents=True)
    for name in ("a.jpg", "b.JPG", "sub.d/c.v2.jpeg"):
        (root / name).write_bytes(images["a.jpg"])
    (root / "a.txt").write_text("an a\n")
    (root / "b.txt").write_text("")
    (root / "sub.d/c.v2.json").write_text(json.dumps({"caption": "see", "uid": "ab" * 16, "url": "http://h/c"}))
    return root


def rows(source: Folder, target: Path) -> list[dict[str, Any]]:
    """Rows of all units; the images they point at are the ones that were packed."""
    found: list[dict[str, Any]] = []
    for unit in source.units():
        done = source.ingest(unit, target)
        assert done.tar is None
        data = target.read_bytes()
        for row in done.rows.to_pylist():
            image = b"" if row["offset"] is None else data[row["offset"] : row["offset"] + row["size"]]
            found.append(row | {"image": image})
    return found


def brief(source: Folder, target: Path) -> dict[str, str | None]:
    return {row["key"]: row["error"] or row["text"] for row in rows(source, target)}


def test_sidecars(folder: Path, tmp_path: Path, images: dict[str, bytes]) -> None:
    found = rows(Folder(path=str(folder)), tmp_path / "x.tar")
    assert [(row["key"], row["text"], row["ext"]) for row in found] == [
        ("a", "an a", "jpg"),
        ("b", "", "jpg"),
        ("sub.d/c%2Ev2", "see", "jpeg"),
    ]
    assert all(row["image"] == images["a.jpg"] for row in found)
    assert found[2]["uid"] == bytes.fromhex("ab" * 16) and found[2]["url"] == "http://h/c"


def test_its_tars_are_webdatasets(folder: Path, tmp_path: Path) -> None:
    source, target = Folder(path=str(folder)), tmp_path / "x.tar"
    index = rows(source, target)
    samples = list(webdataset.WebDataset(str(target), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [row["key"] for row in index]


def test_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    source, first, second = Folder(path=str(folder)), tmp_path / "1.tar", tmp_path / "2.tar"
    (unit,) = source.units()
    assert source.ingest(unit, first).rows.equals(source.ingest(unit, second).rows)
    os.utime(folder / "a.jpg", (1, 1))
    source.ingest(unit, second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_of_captions(folder: Path, tmp_path: Path, form: str) -> None:
    table = [
        {"file_name": "b.JPG", "caption": "first, of b", "n": "1"},
        {"file_name": "./b.JPG", "caption": "second of b", "n": "2"},
        {"file_name": str(folder / "a.jpg"), "caption": "by its full path", "n": "3"},
        {"file_name": "gone.jpg", "caption": "gone", "n": "4"},
        {"file_name": "", "caption": "nothing named", "n": "5"},
        {"file_name": "../../etc/passwd", "caption": "outside", "n": "6"},
        {"file_name": "a.txt", "caption": "no image", "n": "7"},
    ]
    path = tmp_path / f"captions.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(table), path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table))
    else:
        comma = "," if form == "csv" else "\t"
        lines = [[f'"{value}"' for value in row.values()] for row in table]
        path.write_text("\n".join(comma.join(line) for line in [list(table[0]), *lines]))
    found = rows(Folder(path=str(folder), captions=str(path)), tmp_path / "x.tar")
    assert {row["key"]: row["error"] or row["text"] for row in found} == {
        "../../etc/passwd": "missing image: ../../etc/passwd",
        "a": "by its full path",
        "a%n2": "no image by its name: a.txt; known are bmp, gif, jpeg, jpg, png, tif, tiff, webp",
        "b": "first, of b",
        "b%n2": "second of b",
        "gone": "missing image: gone.jpg",
        "row 4": f"missing image: row 4 of {path} names no file",
        "sub.d/c%2Ev2": "see",
    }
    assert json.loads(found[3]["meta"]) == table[0]
    assert len({row["uid"] for row in found}) == len(found)


def test_a_wrong_column_is_answered_with_the_nearest(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_text("file,captoin\na.jpg,x\n")
    with pytest.raises(PoolError, match=r"no column 'text' or 'caption'; it has 'file', 'captoin'.*`text_column`"):
        Folder(path=str(folder), captions=str(path)).units()
    source = Folder(path=str(folder), captions=str(path), text_column="captoin")
    assert brief(source, tmp_path / "x.tar")["a"] == "x"


def test_what_cannot_be_had_says_why(folder: Path, tmp_path: Path, images: dict[str, bytes]) -> None:
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(images["b.jpg"])
    (folder / "alone.jpg").write_bytes(images["b.jpg"])
    (folder / "broken.jpg").symlink_to("nowhere")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "inside.jpg").symlink_to("a.jpg")
    (folder / "inside.txt").write_text("a link that stays inside")
    (folder / "leak.jpg").symlink_to(outside)
    (folder / "leaky.jpg").write_bytes(images["b.jpg"])
    (folder / "leaky.txt").symlink_to("/etc/passwd")
    (folder / "no_text.jpg").write_bytes(images["b.jpg"])
    (folder / "no_text.txt").write_bytes(b"\xff")
    os.mkfifo(folder / "pipe.jpg")
    (folder / ".hidden.jpg").write_bytes(images["b.jpg"])
    found = brief(Folder(path=str(folder)), tmp_path / "x.tar")
    assert found == {
        "a": "an a",
        "alone": "no caption (looked for alone.txt, alone.json)",
        "b": "",
        "broken": "missing image: broken.jpg",
        "folder": "refused: folder is a link to a folder, which is not followed",
        "inside": "a link that stays inside",
        "leak": "refused: leak.jpg leads out of the folder",
        "leaky": "refused: leaky.txt leads out of the folder",
        "no_text": "the .txt member is not UTF-8 at byte 0",
        "pipe": "refused: pipe.jpg is no regular file",
        "sub.d/c%2Ev2": "see",
    }


def test_what_is_no_image_inside_enters(folder: Path, tmp_path: Path) -> None:
    (folder / "a.jpg").write_bytes(b"not an image")
    row = rows(Folder(path=str(folder)), tmp_path / "x.tar")[0]
    assert row["error"] is None and row["image"] == b"not an image"


def test_images_that_share_a_name_stay_apart(folder: Path, tmp_path: Path, images: dict[str, bytes]) -> None:
    (folder / "a.png").write_bytes(images["b.jpg"])
    found = rows(Folder(path=str(folder)), tmp_path / "x.tar")
    assert [(row["key"], row["ext"], row["text"]) for row in found[:2]] == [
        ("a", "jpg", "an a"),
        ("a%n2", "png", "an a"),
    ]


def test_units_are_stable_and_stamped(folder: Path, images: dict[str, bytes]) -> None:
    source = Folder(path=str(folder), samples_per_shard=2)
    before = source.units()
    assert [unit.name for unit in before] == ["00000000", "00000001"] and source.units() == before
    (folder / "sub.d/c.v2.json").write_text("{}")
    after = source.units()
    assert after[0] == before[0] and after[1].stamp != before[1].stamp
    (folder / "sub.d/d.jpg").write_bytes(images["a.jpg"])
    assert [unit.name for unit in source.units()] == ["00000000", "00000001"]


@pytest.mark.parametrize("path", ["{folder}/none", "{folder}/a.jpg", "s3://bucket/pictures"])
def test_a_wrong_folder_is_named(folder: Path, path: str) -> None:
    with pytest.raises(PoolError, match=r"there is no such folder|has to be local"):
        Folder(path=path.replace("{folder}", str(folder))).units()


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("words")
    with pytest.raises(PoolError, match=r"there is no image here \(bmp, gif"):
        Folder(path=str(tmp_path)).units()


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom permissions bind, which root is not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["a.jpg", "sub.d"])
def test_no_permission_is_the_environments_fault(images: dict[str, bytes], name: str) -> None:
    root = Path(tempfile.mkdtemp(prefix="curate-test-"))  # under /tmp itself, whose folders all may enter
    try:
        root.chmod(0o755)
        (root / "sub.d").mkdir()
        (root / "a.jpg").write_bytes(images["a.jpg"])
        (root / "a.txt").write_text("a")
        (root / name).chmod(0)
        source = Folder(path=str(root))
        with (
            unprivileged(),
            tempfile.TemporaryDirectory() as out,
            pytest.raises(EnvironmentFault, match=f"{root}/{name}: .*allow it"),
        ):
            source.ingest(source.units()[0], Path(out) / "x.tar")
    finally:
        (root / name).chmod(0o755)
        shutil.rmtree(root)


def test_a_target_that_cannot_be_written_is_the_environments_fault(folder: Path, tmp_path: Path) -> None:
    source = Folder(path=str(folder))
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        source.ingest(source.units()[0], tmp_path / "none" / "x.tar")


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.sets(NAMES.filter(lambda name: not name.startswith(".")), min_size=1, max_size=5))
def test_any_file_name_enters(tmp_path: Path, names: set[str]) -> None:
    root = Path(tempfile.mkdtemp(dir=tmp_path))
    for name in names:
        (root / f"{name}.jpg").write_bytes(name.encode())
        (root / f"{name}.txt").write_text(name.strip("\r\n"), newline="")
    found = rows(Folder(path=str(root)), tmp_path / "x.tar")
    assert sorted(row["image"].decode() for row in found) == sorted(names)
    assert all(row["error"] is None for row in found)
    assert all(row["key"].isascii() or row["key"] for row in found) and len({row["key"] for row in found}) == len(names)
