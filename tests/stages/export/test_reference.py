"""References: of images on disk, and of a pool's records."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curate.contracts import Record
from curate.errors import PoolError
from stages.export import reference
from stages.export.reference import Reference, main, write_reference
from stages.signals.hashes import PHash


def picture(seed: int) -> bytes:
    grid = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grid).resize((64, 64)).save(buffer, "PNG")
    return buffer.getvalue()


def test_folder_tar_and_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "val"
    (folder / "n01").mkdir(parents=True)
    (folder / "n01" / "a.png").write_bytes(picture(0))
    (folder / "n01" / "a.txt").write_text("a cat\n")
    (folder / "b.PNG").write_bytes(picture(1))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xffno")
    (folder / "labels.csv").write_text("a,b")
    with tarfile.open(tmp_path / "c.tar", "w") as tar:
        for name, data in (("c.png", picture(2)), ("c.txt", b"a dog"), ("c.json", b"{}")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    out = tmp_path / "out.parquet"
    main([str(out), str(folder), str(tmp_path / "c.tar"), str(folder / "b.PNG"), "--benchmark", "toys"])
    assert "4 items of toys, 1 images could not be read" in capsys.readouterr().out
    rows = pq.read_table(out).to_pylist()
    assert [row["key"] for row in rows] == ["b.PNG", "n01/a.png", "c.png", "b.PNG"]
    assert [row["text"] for row in rows] == [None, "a cat", "a dog", None]
    assert {row["benchmark"] for row in rows} == {"toys"}
    assert rows[0]["sha256"] == hashlib.sha256(picture(1)).digest()
    assert all(len(row["phash"]) == 16 and len(row["pdq"]) == 64 for row in rows)


def test_batches_and_a_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "BATCH", 2)
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(picture(i))
    out = tmp_path / "out.parquet"
    assert write_reference([tmp_path], "toys", out, [PHash()]) == (5, 0)
    assert pq.read_table(out)["key"].to_pylist() == [f"{i}.png" for i in range(5)]
    main([str(out), str(tmp_path / "0.png"), "--benchmark", "toys", "--descriptor", "default"])
    assert pq.read_schema(out).field("copy_descriptor").type == pa.list_(pa.float16(), 384)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="there is no image"):
        write_reference([tmp_path], "toys", tmp_path / "out.parquet")
    with pytest.raises(PoolError, match="no folder"):
        write_reference([tmp_path / "none"], "toys", tmp_path / "out.parquet")
    (tmp_path / "a.tar").write_bytes(b"no tar")
    with pytest.raises(PoolError, match="no uncompressed tar"):
        write_reference([tmp_path / "a.tar"], "toys", tmp_path / "out.parquet")


def test_a_reference_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "BATCH", 1)
    images, folder = tmp_path / "images", tmp_path / "references"
    images.mkdir()
    folder.mkdir()
    (images / "0.png").write_bytes(picture(0))
    out = folder / "out.parquet"
    write_reference([images], "toys", out)
    before = out.read_bytes()
    (images / "1.png").write_bytes(picture(1))
    with pytest.raises(PoolError, match="no folder"):  # after two batches
        write_reference([images, tmp_path / "none"], "toys", out)
    assert out.read_bytes() == before
    assert list(folder.iterdir()) == [out]
    assert write_reference([images], "toys", out) == (2, 0)
    assert pq.read_table(out).num_rows == 2


def test_records_of_a_pool(tmp_path: Path) -> None:
    records = [
        Record(
            f"k{i}", f"{i:032x}", picture(i), "png", f"caption {i}", {"phash": "0f" * 8, "image_embedding": [0.5, i]}
        )
        for i in range(2)
    ]
    exporter = Reference(benchmark="toys").typed({"image_embedding": pa.list_(pa.float16(), 2), "phash": pa.string()})
    exporter.write(records, tmp_path / "a.parquet")
    exporter.write(records, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["benchmark", "key", "sha256", "text", "image_embedding", "phash", "uid"]
    assert table["sha256"][1].as_py() == hashlib.sha256(picture(1)).digest()
    assert table["image_embedding"].type == pa.list_(pa.float16(), 2)
