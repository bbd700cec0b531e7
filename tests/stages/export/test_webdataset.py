"""Tars are read back by plain webdataset, through the pipeline of open_clip's trainer."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from curate.contracts import Record
from curate.errors import SampleError
from stages.export.webdataset import Webdataset


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {m.name: file.read() for m in tar if (file := tar.extractfile(m)) is not None}


def test_open_clips_own_pipeline_reads_every_sample(tmp_path: Path, records: list[Record]) -> None:
    """The steps of open_clip_train.data.get_wds_dataset for evaluation, with its own functions."""
    import webdataset as wds
    from open_clip_train.data import filter_no_caption_or_no_image, log_and_continue  # type: ignore[import-untyped]

    path = tmp_path / "00000000.tar"
    Webdataset().write(records, path)
    pipeline = wds.DataPipeline(
        wds.SimpleShardList(str(path)),
        wds.split_by_worker,
        wds.tarfile_to_samples(handler=log_and_continue),
        wds.select(filter_no_caption_or_no_image),
        wds.decode("pilrgb", handler=log_and_continue),
        wds.rename(image="jpg;png;jpeg;webp", text="txt"),
        wds.to_tuple("image", "text", "json", "__key__"),
    )
    found = list(pipeline)
    assert [(text, meta["uid"], key) for _, text, meta, key in found] == [(r.text, r.uid, r.key) for r in records]
    for (image, *_), record in zip(found, records, strict=True):
        assert image.size == Image.open(io.BytesIO(record.image)).size


def test_known_formats_are_untouched_and_others_become_png(tmp_path: Path, records: list[Record]) -> None:
    Webdataset().write(records, tmp_path / "a.tar")
    found = members(tmp_path / "a.tar")
    for record in records:
        if record.ext in ("jpeg", "png", "webp"):
            assert found[f"{record.key}.{record.ext.replace('jpeg', 'jpg')}"] == record.image
        else:
            assert found[f"{record.key}.png"].startswith(b"\x89PNG")
    assert len(found) == 3 * len(records)


def test_the_format_is_told_by_the_bytes_not_by_the_name(tmp_path: Path, record: Callable[..., Record]) -> None:
    liar = record(0, kind="PNG")
    Webdataset().write([Record(liar.key, liar.uid, liar.image, "jpg", "x", {})], tmp_path / "a.tar")
    assert f"{liar.key}.png" in members(tmp_path / "a.tar")


def test_tars_hold_no_time_and_no_owner(tmp_path: Path, records: list[Record]) -> None:
    Webdataset().write(records, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as tar:
        facts = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.isfile()) for m in tar}
        keys = [m.name.split(".")[0] for m in tar.getmembers()]
    assert facts == {(0, 0, 0, "", "", 0o644, True)}
    assert keys == [r.key for r in records for _ in range(3)]


def test_json_is_strict_and_uniform(tmp_path: Path, record: Callable[..., Record]) -> None:
    odd = [float("nan"), float("inf"), 0.5, None]
    found = [record(i) for i in range(4)]
    given = [Record(r.key, r.uid, r.image, r.ext, r.text, {**r.meta, "x": odd[i]}) for i, r in enumerate(found)]
    Webdataset().write(given, tmp_path / "a.tar")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    parsed = [
        json.loads(data, parse_constant=refuse)
        for name, data in members(tmp_path / "a.tar").items()
        if name.endswith("json")
    ]
    assert [p["x"] for p in parsed] == [None, None, 0.5, None]
    assert len({tuple(p) for p in parsed}) == 1


def test_what_the_source_said_stays_beside_what_is_exported(tmp_path: Path, record: Callable[..., Record]) -> None:
    r = record(0)
    meta = {"text": "alt-text", "key": "000123", "uid": r.uid}
    Webdataset().write([Record(r.key, r.uid, r.image, r.ext, r.text, meta)], tmp_path / "a.tar")
    found = json.loads(members(tmp_path / "a.tar")[f"{r.key}.json"])
    assert found == {"source_text": "alt-text", "source_key": "000123", "uid": r.uid, "key": r.key}


def test_larger_images_are_reduced_when_asked(tmp_path: Path, record: Callable[..., Record]) -> None:
    given = [record(0, 900, 600, "PNG"), record(1, 1500, 3), record(2, 64, 64, "PNG")]
    Webdataset(max_side=128).write(given, tmp_path / "a.tar")
    found = members(tmp_path / "a.tar")
    sizes = [
        Image.open(io.BytesIO(found[f"{r.key}.{ext}"])).size
        for r, ext in zip(given, ("jpg", "jpg", "png"), strict=True)
    ]
    assert sizes == [(128, 85), (128, 1), (64, 64)]


def test_a_bad_image_names_its_record(tmp_path: Path, record: Callable[..., Record]) -> None:
    bad = record(1)
    with pytest.raises(SampleError, match=bad.key):
        Webdataset().write([Record(bad.key, bad.uid, b"<html>", "jpg", "x", {})], tmp_path / "a.tar")


def test_sizes_for_open_clip() -> None:
    files = Webdataset().index_files({"00000001.tar": 3, "00000000.tar": 4})
    assert json.loads(files["sizes.json"]) == {"00000000.tar": 4, "00000001.tar": 3}
