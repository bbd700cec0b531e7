"""T-MARS: regions from the default detector and from files, covers, and scores that reuse what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from curate.contracts import Batch
from curate.errors import ModelError
from curate.models import image_text_encoder
from curate.models.text_detector import text_detector
from stages.signals.similarity import ClipScore
from stages.signals.tmars import Frame, MaskedSimilarity, TextRegions, corners, cover

SIDES = st.integers(1, 3000)


def poster(words: str = "SUMMER SALE") -> Image.Image:
    """A photo of a cat with a line of text across."""
    from skimage import data

    image = Image.fromarray(data.chelsea())
    ImageDraw.Draw(image).text((60, 200), words, fill="white", font=ImageFont.load_default(48))
    return image


def facts(images: list[Image.Image], captions: list[str | None]) -> Batch:
    """What a recipe has stored when the masked similarity is computed."""
    text = np.empty(len(captions), object)
    text[:] = captions
    given = Batch({"text": text}, images=images)
    found = ClipScore().compute(given)
    regions = np.empty(len(images), object)
    regions[:] = TextRegions().compute(given)["text_regions"]
    similarity = np.array([np.nan if value is None else value for value in found["similarity"]], np.float32)
    nothing = np.full(384, np.nan, np.float16)
    embeddings = np.stack([nothing if row is None else row for row in found["text_embedding"]])
    return Batch({"text_regions": regions, "similarity": similarity, "text_embedding": embeddings}, images=images)


@given(SIDES, SIDES)
def test_a_frame_holds_the_image_in_its_middle(width: int, height: int) -> None:
    frame = Frame(width, height)
    left, top, right, bottom = frame.padding
    assert width + left + right == height + top + bottom == max(width, height)
    assert 0 <= right - left <= 1
    assert 0 <= bottom - top <= 1
    ends = (np.array([[0, 0], [width, height]]) + np.array([left, top])) * frame.scale
    assert frame.to_image(ends) == pytest.approx(np.array([[0, 0], [width, height]]), abs=1e-2)


def test_text_is_found_where_it_stands_and_a_photo_has_none() -> None:
    from skimage import data

    found = TextRegions().compute(Batch({}, images=[poster(), Image.fromarray(data.chelsea())]))["text_regions"]
    (region,), none = found
    x, y = corners(region).mean(axis=0) * [451, 300]
    assert 100 < x < 350
    assert 200 < y < 260
    assert region["score"] > 0.8
    assert none == []
    assert pa.array(found, TextRegions().gives()["text_regions"]).null_count == 0


def test_without_text_the_stored_similarity_stays_and_with_it_the_rest_is_scored() -> None:
    batch = facts([poster(), Image.new("RGB", (300, 260), "red"), poster()], ["a cat", "a red square", None])
    step = MaskedSimilarity(min_score=0.5)
    found = step.compute(batch)
    assert list(found) == list(step.gives())
    assert found["masked_similarity"][1] == batch.columns["similarity"][1]
    assert found["masked_similarity"][2] is None
    assert found["masked_area"][0] == found["masked_area"][2] > 0.05
    assert found["masked_area"][1] == 0
    encoder = image_text_encoder("default")
    mask = step.mask(451, 300, batch.columns["text_regions"][0])
    expected = float(encoder.images([cover(batch.images[0], mask, "mean", (0, 0, 0))])[0] @ encoder.texts(["a cat"])[0])
    assert found["masked_similarity"][0] == pytest.approx(expected, abs=1e-3)
    assert abs(expected - batch.columns["similarity"][0]) > 1e-3


def test_only_regions_that_count_are_covered() -> None:
    (regions,) = TextRegions().compute(Batch({}, images=[poster()]))["text_regions"]
    assert MaskedSimilarity(min_score=0.5).mask(451, 300, regions).any()
    assert not MaskedSimilarity(min_score=1.0).mask(451, 300, regions).any()
    assert not MaskedSimilarity(min_score=0, min_area=512 * 512).mask(451, 300, regions).any()
    words = [{"text": "SALE", "box": [0.0, 0.0, 0.5, 0.5], "score": 0.9, "line": 0}]
    assert MaskedSimilarity().mask(400, 300, words).mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("fill", ["mean", "constant", "blur", "inpaint"])
def test_a_cover_hides_what_is_under_it_and_nothing_else(fill: str) -> None:
    image = poster()
    mask = MaskedSimilarity(min_score=0.5).mask(*image.size, TextRegions().find(image))
    before, after = np.asarray(image), np.asarray(cover(image, mask, fill, (1, 2, 3)))
    assert np.array_equal(after[~mask], before[~mask])
    assert after[mask].max() < 250 <= before[mask].max()  # the letters are white
    if fill == "constant":
        assert (after[mask] == (1, 2, 3)).all()
    if fill == "mean":
        assert (after[mask] == before.mean(axis=(0, 1)).round()).all()


def test_a_score_does_not_depend_on_the_rest_of_the_batch() -> None:
    images = [poster("ONE"), poster("TWO WORDS")]
    batch = facts(images, ["a cat", "a dog"])
    alone = Batch({name: rows[1:] for name, rows in batch.columns.items()}, images=images[1:])
    step = MaskedSimilarity(min_score=0.5)
    assert step.compute(batch)["masked_similarity"][1] == step.compute(alone)["masked_similarity"][0]


def test_embeddings_of_another_model_are_refused() -> None:
    batch = facts([poster()], ["a cat"])
    columns = {**batch.columns, "text_embedding": np.ones((1, 16), np.float16)}
    with pytest.raises(ModelError, match="has width 16, default has 384"):
        MaskedSimilarity(min_score=0.5).compute(Batch(columns, images=batch.images))


def network(path: Path, head: str) -> str:
    """An ONNX file whose map says 'text' where the frame is dark, at a quarter of its resolution."""
    from onnx import TensorProto, helper, save

    four = helper.make_tensor("four", TensorProto.FLOAT, [], [-4.0])
    nodes = [
        helper.make_node("AveragePool", ["frame"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("ReduceMean", ["small"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["grey", "four"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["chance"]),
        helper.make_node("Concat", ["chance", "chance"], ["both"], axis=1),
        helper.make_node("Transpose", ["both"], ["last"], perm=[0, 2, 3, 1]),
    ]
    name, shape = {"db": ("chance", [1, 1, 128, 128]), "fast": ("logits", [1, 1, 128, 128])}.get(
        head, ("last", [1, 128, 128, 2])
    )
    frame = helper.make_tensor_value_info("frame", TensorProto.FLOAT, [1, 3, 512, 512])
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, head, [frame], [output], [four])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return f"file:{path}"


@pytest.mark.parametrize("head", ["db", "fast", "craft"])
def test_a_network_from_a_file_sees_the_frame_and_its_regions_come_back(head: Any, tmp_path: Path) -> None:
    image = Image.new("RGB", (300, 600), "white")
    ImageDraw.Draw(image).rectangle((60, 150, 239, 209), fill="black")
    (region,) = TextRegions(detector=network(tmp_path / f"{head}.onnx", head), head=head).find(image)
    low, high = corners(region).min(axis=0) * [300, 600], corners(region).max(axis=0) * [300, 600]
    growth = {"db": 36, "fast": 19, "craft": 18}[head]  # what the head adds on each side, in px
    assert low == pytest.approx([60 - growth, 150 - growth], abs=6)
    assert high == pytest.approx([240 + growth, 210 + growth], abs=6)
    assert region["score"] > 0.9
    assert (
        TextRegions(detector=network(tmp_path / f"{head}.onnx", head), head=head).find(
            Image.new("RGB", (64, 64), "white")
        )
        == []
    )


def test_a_detector_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"no")
    (tmp_path / "broken.onnx").write_bytes(b"no")
    with pytest.raises(ModelError, match="file of an ONNX model"):
        text_detector(f"file:{tmp_path}/weights.pt")
    with pytest.raises(ModelError, match="no ONNX model that can be run"):
        text_detector(f"file:{tmp_path}/broken.onnx")
    spec = network(tmp_path / "fast.onnx", "fast")
    with pytest.raises(ModelError, match="none of the head 'craft'"):
        text_detector(spec, "craft")(np.zeros((512, 512, 3), np.uint8))
