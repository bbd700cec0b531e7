"""A webdataset is indexed where it lies: locally, in memory, and on an S3-compatible server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.contracts import Unit
from curate.errors import EnvironmentFault, PoolError
from curate.schema import INDEX, make_uid
from stages.ingest.tar import index_tar
from stages.ingest.webdataset import Webdataset

TarOf = Callable[[Sequence[tuple[str, bytes]]], bytes]
NOWHERE = Path("/nowhere/target")
"""Indexing in place never writes to the target."""


@pytest.fixture
def tars(tar_of: TarOf) -> dict[str, bytes]:
    return {
        f"{i:05d}.tar": tar_of(
            [(f"{i}-{j}.{suffix}", f"{i}{j}".encode()) for j in range(3) for suffix in ("jpg", "txt")]
        )
        for i in range(3)
    }


@pytest.fixture
def folder(tars: dict[str, bytes], tmp_path: Path) -> Path:
    for name, data in tars.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def names(path: str | tuple[str, ...]) -> list[str]:
    return [unit.name for unit in Webdataset(path=path).units()]


def test_names_files_by_folder_glob_range_and_list(folder: Path) -> None:
    every = ["00000.tar", "00001.tar", "00002.tar"]
    assert names(str(folder)) == names(f"{folder}/*.tar") == names(f"{folder}/{{00000..00002}}.tar") == every
    assert names((f"{folder}/00002.tar", f"{folder}/0000[01].tar", f"{folder}/*.tar")) == [every[2], *every[:2]]


def test_a_way_through_another_folder_names_the_same_files(folder: Path) -> None:
    (folder / "recipes").mkdir()
    assert Webdataset(path=f"{folder}/recipes/../*.tar").units() == Webdataset(path=f"{folder}/*.tar").units()


def test_names_outlive_a_move_and_growth(folder: Path, tars: dict[str, bytes]) -> None:
    for part in ("x", "y"):
        (folder / "old" / part).mkdir(parents=True)
    (folder / "old/x/0.tar").write_bytes(tars["00000.tar"])
    assert names(f"{folder}/old/*/*.tar") == ["x/0.tar"]
    before = Webdataset(path=f"{folder}/old/*/*.tar").units()[0]
    (folder / "old").rename(folder / "new")
    assert Webdataset(path=f"{folder}/new/*/*.tar").units()[0].stamp != before.stamp
    (folder / "new/y/0.tar").write_bytes(tars["00001.tar"])
    assert names(f"{folder}/new/*/*.tar") == ["x/0.tar", "y/0.tar"]


def test_indexes_in_place(folder: Path, tars: dict[str, bytes]) -> None:
    source = Webdataset(path=str(folder))
    for unit in source.units():
        done = source.ingest(unit, NOWHERE)
        assert done.tar == str(folder / unit.name)
        assert done.rows.equals(index_tar(io.BytesIO(tars[unit.name]), unit.name))
        assert source.ingest(unit, NOWHERE).rows.equals(done.rows)


def test_stamps_change_with_the_file(folder: Path, tars: dict[str, bytes]) -> None:
    before = Webdataset(path=str(folder)).units()
    assert Webdataset(path=str(folder)).units() == before
    (folder / "00001.tar").write_bytes(tars["00002.tar"] + b"\0" * 512)
    after = Webdataset(path=str(folder)).units()
    assert [a.stamp == b.stamp for a, b in zip(after, before, strict=True)] == [True, False, True]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{folder}/none.tar", "there is no such file"),
        ("{folder}/{00001..00003}.tar", "00003.tar: there is no such file"),
        ("{folder}/*.tgz", "there is no .tar file here"),
        ("{folder}/empty", "there is no .tar file here"),
        ("{folder}/x.tar.gz", "not named .tar"),
        ("nonsense://x/*.tar", "no folder or URL that fsspec knows"),
        ("{folder}/{0..99999999}.tar", "more than 1000000 files"),
    ],
)
def test_says_what_is_missing(folder: Path, path: str, message: str) -> None:
    (folder / "empty").mkdir()
    (folder / "x.tar.gz").write_bytes(b"")
    with pytest.raises(PoolError, match=message):
        Webdataset(path=path.replace("{folder}", str(folder))).units()


def test_refuses_an_empty_list() -> None:
    with pytest.raises(PoolError, match="empty list"):
        Webdataset(path=()).units()


def test_a_vanished_tar_is_named(folder: Path) -> None:
    source = Webdataset(path=str(folder))
    (unit, *_) = source.units()
    (folder / unit.name).unlink()
    with pytest.raises(PoolError, match=r"00000\.tar: there is no such file"):
        source.ingest(unit, NOWHERE)


def test_refuses_a_mix_of_stores(folder: Path) -> None:
    fsspec.filesystem("memory").pipe("/mixed/x.tar", b"")
    with pytest.raises(PoolError, match="different stores"):
        names((f"{folder}/00000.tar", "memory://mixed/x.tar"))


def test_reads_memory(tars: dict[str, bytes]) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe({f"/pool-a/{name}": data for name, data in tars.items()})
    source = Webdataset(path="memory://pool-a/*.tar")
    units = source.units()
    assert [unit.name for unit in units] == list(tars)
    done = source.ingest(units[0], NOWHERE)
    assert done.tar == "memory:///pool-a/00000.tar" and done.rows.num_rows == 3
    assert fsspec.core.url_to_fs(done.tar)[0].cat_file(fsspec.core.url_to_fs(done.tar)[1]) == tars["00000.tar"]


@pytest.fixture
def bucket(tars: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with the tars on a real S3-compatible HTTP server."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem()
    fs.mkdir("pool")
    fs.pipe({f"pool/{name}": data for name, data in tars.items()})
    fs.invalidate_cache()
    yield "s3://pool"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_reads_s3(bucket: str, tars: dict[str, bytes]) -> None:
    source = Webdataset(path=f"{bucket}/{{00000..00002}}.tar")
    units = source.units()
    assert [unit.name for unit in units] == list(tars)
    assert names(f"{bucket}/*.tar") == names(bucket) == list(tars)
    done = source.ingest(units[1], NOWHERE)
    assert done.tar == "s3://pool/00001.tar"
    assert done.rows.equals(index_tar(io.BytesIO(tars["00001.tar"]), "x"))
    fsspec.filesystem("s3").pipe("s3://pool/00003.tar", tars["00000.tar"])
    assert names(f"{bucket}/{{00000..00003}}.tar") == names(bucket) == [*tars, "00003.tar"]
    with pytest.raises(PoolError, match="there is no such file"):
        source.ingest(Unit("x", "", {"tar": f"{bucket}/none.tar"}), NOWHERE)
    with pytest.raises(PoolError, match=r"there is no \.tar file here"):
        names(f"{bucket}/none/*.tar")


def test_an_unreachable_store_is_the_environments_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(EnvironmentFault, match="s3://pool"):
        Webdataset(path="s3://pool/x.tar").units()
    s3fs.S3FileSystem.clear_instance_cache()


UID = "0123456789abcdef" * 2


def downloads(path: Path, **columns: list[str | None]) -> None:
    """A table as img2dataset writes it beside a shard."""
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), path)


def test_failed_downloads_are_rows(folder: Path) -> None:
    downloads(
        folder / "00000.parquet",
        key=["0-2", "9", "0-1", "0-0", "8", "7"],
        status=["success", "failed_to_download", "success", "success", "failed_to_resize", "success"],
        error_message=[None, "HTTP Error 404: Not Found", None, None, "Image decoding error", None],
        url=["http://h/2", "http://h/9", "http://h/1", "http://h/0", "http://h/8", "http://h/7"],
        caption=["c2", "c9", "c1", "c0", None, "c7"],
        uid=[None, UID, UID[::-1], None, None, None],
    )
    source = Webdataset(path=str(folder))
    rows = source.ingest(source.units()[0], NOWHERE).rows
    assert rows.schema == INDEX
    found = rows.select(["key", "text", "url", "error"]).to_pylist()
    assert found[3:] == [
        {
            "key": "7",
            "text": "c7",
            "url": "http://h/7",
            "error": "download: listed as a success, but the tar does not have it",
        },
        {"key": "8", "text": None, "url": "http://h/8", "error": "download: Image decoding error"},
        {"key": "9", "text": "c9", "url": "http://h/9", "error": "download: HTTP Error 404: Not Found"},
    ]
    assert [row is None for row in rows["offset"].to_pylist()] == [False] * 3 + [True] * 3
    uids = rows["uid"].to_pylist()
    assert uids[1] == bytes.fromhex(UID[::-1]) and uids[5] == bytes.fromhex(UID)
    assert len(set(uids)) == 6


def test_captions_of_any_type_are_survived(folder: Path) -> None:
    pq.write_table(
        pa.table({"key": ["9"], "status": ["failed"], "error_message": ["e"], "url": ["http://h"], "caption": [7]}),
        folder / "00000.parquet",
    )
    source = Webdataset(path=str(folder))
    assert source.ingest(source.units()[0], NOWHERE).rows.to_pylist()[-1]["text"] is None


def test_its_table_belongs_to_the_stamp(folder: Path) -> None:
    before = Webdataset(path=str(folder)).units()[0].stamp
    downloads(folder / "00000.parquet", key=[], status=[], error_message=[], url=[])
    assert Webdataset(path=str(folder)).units()[0].stamp != before


def test_another_table_beside_a_tar_is_left_alone(folder: Path) -> None:
    pq.write_table(pa.table({"embedding": [1.0]}), folder / "00000.parquet")
    source = Webdataset(path=str(folder))
    assert source.ingest(source.units()[0], NOWHERE).rows.num_rows == 3


def test_a_broken_table_is_named(folder: Path) -> None:
    (folder / "00000.parquet").write_bytes(b"PAR1 not at all")
    source = Webdataset(path=str(folder))
    with pytest.raises(PoolError, match=r"00000\.parquet: no readable Parquet"):
        source.ingest(source.units()[0], NOWHERE)


def test_uids_without_a_source_come_from_content(folder: Path) -> None:
    source = Webdataset(path=str(folder))
    row = source.ingest(source.units()[0], NOWHERE).rows.to_pylist()[0]
    assert row["uid"] == make_uid("0-0", "00", row["sha256"])
