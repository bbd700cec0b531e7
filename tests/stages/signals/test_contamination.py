"""Contamination: samples of an evaluation set are found by each of the means, and nothing else is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.contracts import Batch, Columns
from curate.errors import ModelError
from filters.contamination import NotContaminated
from stages.select import decontaminate
from stages.select.hamming import HashIndex, alike
from stages.signals.contamination import Contamination, per_benchmark
from stages.signals.hashes import Pdq, PHash

PHOTOS = ["astronaut", "chelsea", "coffee", "rocket"]
QUESTIONS = [
    "How many people are standing in front of the red house",
    "What colour is the cat",
    "Which of the two trains on the left track is longer than the platform",
]


def photo(name: str, scale: float = 1.0, quality: int = 95) -> bytes:
    image = Image.fromarray(getattr(skimage.data, name)())
    buffer = io.BytesIO()
    size = (round(image.width * scale), round(image.height * scale))
    image.resize(size).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def columns(blobs: list[bytes]) -> Columns:
    """What signals say of images."""
    from hashlib import sha256

    images = [Image.open(io.BytesIO(blob)) for blob in blobs]
    found: dict[str, Any] = {"sha256": [sha256(blob).digest() for blob in blobs]}
    for signal in (PHash(), Pdq()):
        found |= signal.compute(Batch({}, images=images))
    return {name: np.array(values, None if name == "pdq_quality" else object) for name, values in found.items()}


def reference(path: Path, benchmark: str, values: Columns) -> Path:
    rows = len(next(iter(values.values())))
    table = pa.table({name: pa.array(v.tolist()) for name, v in values.items()})
    table = table.append_column("benchmark", pa.array([benchmark] * rows))
    pq.write_table(table.append_column("key", pa.array([f"item {i}" for i in range(rows)])), path)
    return path


def matches(step: Contamination, given: Columns) -> list[Any]:
    return list(step.compute(Batch(given))["contamination"])


def test_images_by_bytes_and_hashes(tmp_path: Path) -> None:
    reference(tmp_path / "a.parquet", "photos", columns([photo(name) for name in PHOTOS[:3]]))
    pool = columns([photo("coffee"), photo("chelsea", 0.6, 60), photo("rocket")])
    step = Contamination(references=str(tmp_path), by=("bytes", "phash", "pdq"))
    same, copy, other = matches(step, pool)
    assert [match["by"] for match in same] == ["bytes", "phash", "pdq"]
    assert {match["key"] for match in same} == {"item 2"}
    assert [match["value"] for match in same] == [0, 0, 0]
    assert [(match["key"], match["by"]) for match in copy] == [("item 1", "phash"), ("item 1", "pdq")]
    assert copy[0]["value"] <= 4 and 0 < copy[1]["value"] <= 31
    assert other is None
    words = step.compute(Batch(pool))["contaminated_by"]
    assert list(words) == ["photos by bytes, photos by phash, photos by pdq", "photos by phash, photos by pdq", None]
    keep = NotContaminated()({"contaminated_by": np.array(words, object)})
    assert keep.tolist() == [False, False, True]


def test_the_nearest_of_each_benchmark(tmp_path: Path) -> None:
    border = Image.open(io.BytesIO(photo("coffee")))
    border.paste("white", (0, 0, border.width, 12))
    buffer = io.BytesIO()
    border.save(buffer, "PNG")
    copies = [buffer.getvalue(), photo("coffee", 0.9, 90), photo("rocket")]
    reference(tmp_path / "a.parquet", "first", columns(copies))
    reference(tmp_path / "b.parquet", "second", columns(copies[:1]))
    (found,) = matches(Contamination(references=f"{tmp_path}/*.parquet", by=("pdq",)), columns([photo("coffee")]))
    assert [(match["benchmark"], match["key"]) for match in found] == [("first", "item 1"), ("second", "item 0")]
    assert found[0]["value"] < found[1]["value"]


def test_other_colours_are_other_images(tmp_path: Path) -> None:
    grey = columns([photo("coffee")])
    path = reference(tmp_path / "a.parquet", "photos", grey)
    blue = {**grey, "mean_rgb": np.array(["0000ff"], object)}
    assert matches(Contamination(references=str(path), by=("phash",)), blue) == [None]
    assert matches(Contamination(references=str(path), by=("phash",), color=None), blue) != [None]


@pytest.mark.parametrize(("by", "colour"), [("phash", "mean_rgb"), ("pdq", "pdq_rgb")])
def test_an_item_without_a_colour_is_compared_where_colours_do_not_count(tmp_path: Path, by: Any, colour: str) -> None:
    items = columns([photo("coffee"), photo("rocket")])
    items[colour][0] = None
    path = str(reference(tmp_path / "a.parquet", "photos", items))
    pool = columns([photo("coffee"), photo("rocket")])
    found = matches(Contamination(references=path, by=(by,)), pool)
    assert [match and match[0]["key"] for match in found] == [None, "item 1"]
    found = matches(Contamination(references=path, by=(by,), color=None), pool)
    assert [match and match[0]["key"] for match in found] == ["item 0", "item 1"]


def test_texts_by_the_share_of_their_n_grams(tmp_path: Path) -> None:
    path = reference(tmp_path / "vqa.parquet", "vqa", {"text": np.array([*QUESTIONS, None], object)})
    step = Contamination(references=str(path), by=("text",))
    texts = [
        "Q: how many people are standing in front of the red house or near it?",
        "How many people are standing behind the red house",
        "What colour is the cat",  # too short to say anything
        QUESTIONS[2].upper(),
        None,
    ]
    found = matches(step, {"text": np.array(texts, object)})
    assert [match and match[0]["key"] for match in found] == ["item 0", None, None, "item 2", None]
    assert found[0][0]["value"] == pytest.approx(1.0)
    assert matches(
        Contamination(references=str(path), by=("text",), words=3, overlap=0.5), {"text": np.array(texts[1:3], object)}
    )[1]


def test_embeddings(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    items = draw.normal(size=(300, 8)).astype(np.float16)
    path = reference(tmp_path / "a.parquet", "set", {"image_embedding": items})
    near = (items[[7, 250]] * 2).astype(np.float32) + 0.01
    pool = np.concatenate([near, np.full((1, 8), np.nan), -items[:1]]).astype(np.float16)
    step = Contamination(references=str(path), by=("embedding",), cosine=0.99)
    found = matches(step, {"image_embedding": pool})
    assert [match and match[0]["key"] for match in found] == ["item 7", "item 250", None, None]
    assert found[0][0]["value"] > 0.99
    alone = [matches(step, {"image_embedding": pool[i : i + 1]})[0] for i in range(4)]
    assert alone == found  # a row does not depend on its neighbours
    with pytest.raises(ModelError, match="embed both alike"):
        matches(step, {"image_embedding": pool[:, :4]})


def test_a_match_does_not_depend_on_the_rows_beside_it(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    items = draw.normal(size=(50, 512))
    pool = (np.repeat(items, 8, axis=0) + draw.normal(size=(400, 512)) * 0.3).astype(np.float16)
    path = reference(tmp_path / "a.parquet", "set", {"image_embedding": items.astype(np.float16)})
    source = decontaminate.source_of(str(path))

    def near(rows: np.ndarray, cosine: float) -> dict[int, float]:
        found = decontaminate.near_vectors(source, "image_embedding", cosine, {"image_embedding": rows})
        return dict(zip(found.rows.tolist(), found.values.tolist(), strict=True))

    cosines = near(pool, 0.5)
    assert len(cosines) == 400
    for cosine in list(cosines.values())[:40]:  # exactly at the bound, where the last bit decides
        whole = near(pool, cosine)
        assert whole == {row: value for row, value in cosines.items() if value > cosine}
        for cut in (1, 3, 130):
            later = {row + cut: value for row, value in near(pool[cut:], cosine).items()}
            assert near(pool[:cut], cosine) | later == whole


def test_counts_per_benchmark(tmp_path: Path) -> None:
    reference(tmp_path / "a.parquet", "first", columns([photo("coffee"), photo("rocket")]))
    reference(tmp_path / "b.parquet", "second", columns([photo("coffee")]))
    step = Contamination(references=str(tmp_path))
    found = matches(step, columns([photo("coffee"), photo("coffee", 0.7), photo("rocket"), photo("chelsea")]))
    counts = per_benchmark(pa.chunked_array([pa.array(found, step.gives()["contamination"])]))
    assert [tuple(row.values()) for row in counts.to_pylist()] == [
        ("first", "bytes", 2),
        ("first", "phash", 3),
        ("second", "bytes", 1),
        ("second", "phash", 2),
    ]


def test_references_that_cannot_be_used(tmp_path: Path) -> None:
    pool = columns([photo("coffee")])
    assert matches(Contamination(references=str(tmp_path)), pool) == [None]  # an empty folder
    with pytest.raises(ModelError, match="there is no reference"):
        Contamination(references=str(tmp_path / "none.parquet")).models()
    reference(tmp_path / "texts.parquet", "vqa", {"text": np.array(QUESTIONS, object)})
    with pytest.raises(ModelError, match="has a column 'sha256'"):
        matches(Contamination(references=str(tmp_path)), pool)
    pq.write_table(pa.table({"sha256": [b"a"]}), tmp_path / "other.parquet")
    with pytest.raises(ModelError, match="it lacks the columns"):
        matches(Contamination(references=str(tmp_path)), pool)
    (tmp_path / "other.parquet").write_bytes(b"no parquet")
    with pytest.raises(ModelError, match="is no reference"):
        matches(Contamination(references=str(tmp_path)), pool)


def test_inputs_follow_the_means() -> None:
    assert Contamination(references="x").inputs() == ("sha256", "phash", "mean_rgb")
    step = Contamination(references="x", by=("pdq", "embedding", "text"), color=None, embedding="copy_descriptor")
    assert step.inputs() == ("pdq", "pdq_quality", "copy_descriptor", "text")


HASHES = st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 63), max_size=5)), min_size=1, max_size=30)
BASES = np.random.default_rng(3).integers(0, 2**64, (4, 4), dtype=np.uint64)


def flipped(rows: list[tuple[int, set[int]]], words: int) -> np.ndarray:
    hashes = [[int(BASES[base, 0]) ^ sum(1 << bit for bit in bits), *BASES[base, 1:].tolist()] for base, bits in rows]
    return np.array(hashes, np.uint64)[:, :words]


@given(HASHES, HASHES, st.integers(0, 6), st.sampled_from([1, 4]))
def test_an_index_finds_all_near_hashes(
    listed: list[tuple[int, set[int]]], asked: list[tuple[int, set[int]]], distance: int, words: int
) -> None:
    hashes, queries = flipped(listed, words), flipped(asked, words)
    found = {tuple(row) for part in HashIndex(hashes, distance).near(queries) for row in part.tolist()}
    close = alike(queries[:, None], hashes[None], distance)
    apart = np.bitwise_count(queries[:, None] ^ hashes[None]).sum(axis=2)
    assert found == {(i, j, int(apart[i, j])) for i, j in np.argwhere(close).tolist()}
