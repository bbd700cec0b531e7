"""Tars of documents: what plain tar and the webdataset package read from them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
import webdataset
from PIL import Image

from curate.contracts import NodeRecord
from curate.errors import SampleError
from stages.export.documents.webdataset import Webdataset, documents_in
from tests.stages.export.documents.pages import document, documents


def test_the_webdataset_package_reads_documents_whole_and_in_order(tmp_path: Path) -> None:
    records = documents()
    counts = Webdataset().write(records, tmp_path / "00000000.tar")
    read = list(webdataset.WebDataset(str(tmp_path / "00000000.tar"), shardshuffle=False).decode("pilrgb"))
    assert [sample["__key__"] for sample in read] == [record.key for record in records]
    for sample, record in zip(read, records, strict=True):
        said = sample["json"]
        assert (said["uid"], said["title"], said["url"]) == (record.uid, record.text, record.meta["url"])
        assert said["meta"] == {"joint": None}
        assert [node["uid"] for node in said["nodes"]] == [node.uid for node in record.nodes]
        for node, came in zip(said["nodes"], record.nodes, strict=True):
            assert (node["kind"], node["meta"]) == (came.kind, {"tag": came.meta["tag"]})
            if node["kind"] == "text":
                assert node["text"] == came.text
            else:
                picture = sample[node["file"].partition(".")[2]]
                assert picture.size == Image.open(io.BytesIO(came.image)).size
                assert (node["alt"], node["caption"]) == (came.text, came.meta["caption"])
    kinds = [node.kind for record in records for node in record.nodes]
    assert counts == {"texts": kinds.count("text"), "images": kinds.count("image")}
    assert min(counts.values()) > 5


def test_images_keep_their_bytes_and_gif_becomes_png(tmp_path: Path) -> None:
    record = document(0, [None] * 4)
    Webdataset().write([record], tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
        blobs = [tar.extractfile(name).read() for name in names[1:]]  # type: ignore[union-attr]
    assert [name.partition(".")[2] for name in names] == ["json", "00.jpg", "01.png", "02.webp", "03.png"]
    assert [blob == node.image for blob, node in zip(blobs, record.nodes, strict=True)] == [True, True, True, False]


def test_a_document_of_more_than_a_hundred_images(tmp_path: Path) -> None:
    Webdataset(max_side=32).write([document(1, [None] * 120)], tmp_path / "a.tar")
    (sample,) = webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False).decode("pil")
    assert [node["file"] for node in sample["json"]["nodes"]][-1] == f"{sample['__key__']}.119.jpg"
    assert max(sample["119.jpg"].size) == 32


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    record = document(2, ["a", None])
    broken = NodeRecord("image", "ab" * 16, "", b"no image", "jpg", {"url": None, "caption": None})
    with pytest.raises(SampleError, match=f"{record.key} \\({'ab' * 16}\\)"):
        Webdataset().write([type(record)(**{**record.__dict__, "nodes": (broken,)})], tmp_path / "a.tar")


def test_what_verify_reads(tmp_path: Path) -> None:
    records = documents()
    Webdataset().write(records, tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    expected = [(record.uid, tuple(node.uid for node in record.nodes)) for record in records]
    assert list(documents_in(data)) == expected
    lost = tmp_path / "lost.tar"
    with tarfile.open(tmp_path / "a.tar") as tar, tarfile.open(lost, "w") as out:
        images = [member for member in tar if not member.name.endswith(".json")]
        for member in tar:
            if member.name != images[0].name:
                out.addfile(member, tar.extractfile(member))
    assert sum(len(nodes) for _, nodes in documents_in(lost.read_bytes())) == sum(len(n) for _, n in expected) - 1


def test_the_json_is_strict_and_sorted(tmp_path: Path) -> None:
    Webdataset().write(documents(3), tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as tar:
        said = tar.extractfile(tar.getmembers()[0]).read().decode()  # type: ignore[union-attr]
    found = json.loads(said, parse_constant=pytest.fail)
    assert list(found) == sorted(found)
