"""T-MARS: regions from the default detector and from files, covers, and scores that reuse what is stored."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from curate.contracts import Batch
from curate.errors import ModelError
from curate.models import image_text_encoder
from stages.signals.similarity import ClipScore
from stages.signals.tmars import Frame, MaskedSimilarity, TextRegions, corners, cover
from tests.curate.models.test_text_detector import network

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


@pytest.mark.parametrize("size", [(5, 65_500), (1_000_000, 1), (300, 20_000), (511, 512), (512, 512), (451, 300)])
def test_a_frame_takes_little_memory_and_holds_the_image_where_it_says(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "navy")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pixels = Frame(*size).render(image)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    assert pixels.shape == (512, 512, 3)
    y, x = np.nonzero((pixels == (0, 0, 128)).all(axis=2))
    ends = Frame(*size).to_image(np.array([[x.min(), y.min()], [x.max() + 1, y.max() + 1]]))
    px = 1 / Frame(*size).scale
    assert ends == pytest.approx(np.array([[0, 0], size]), abs=px)


@pytest.mark.parametrize("size", [(451, 300), (300, 300), (120, 700)])
def test_a_frame_is_the_padded_image_scaled_but_for_the_edge(size: tuple[int, int]) -> None:
    image = poster().resize(size)
    frame = Frame(*size)
    longer = max(size)
    square = Image.new("RGB", (longer, longer), "white")
    square.paste(image, frame.padding[:2])
    padded = np.asarray(square.resize((512, 512), Image.Resampling.BICUBIC), float)
    apart = np.abs(frame.render(image) - padded)
    assert apart.mean() < 3
    if size[0] == size[1]:
        assert apart.max() == 0


def test_a_blur_is_opencvs_and_bounded_for_banners(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    image = poster()
    mask = np.ones((image.height, image.width), bool)
    expected = cv2.GaussianBlur(np.array(image), (0, 0), max(image.size) / 10)
    assert (np.asarray(cover(image, mask, "blur", (0, 0, 0))) == expected).all()
    widths: list[float] = []
    blur = cv2.GaussianBlur

    def noted(pixels: np.ndarray, kernel: tuple[int, int], across: float, sigmaY: float) -> np.ndarray:
        widths.extend([across, sigmaY])
        return blur(pixels, kernel, across, sigmaY=sigmaY)

    monkeypatch.setattr(cv2, "GaussianBlur", noted)
    for size in [(5, 65_500), (65_500, 5)]:
        covered = cover(poster().resize(size), np.ones(size[::-1], bool), "blur", (0, 0, 0))
        assert covered.size == size
        assert np.asarray(covered).std(axis=(0, 1)).max() < 64
    assert max(widths) < 2048


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


def test_a_network_from_a_file_sees_the_frame_and_its_regions_come_back(tmp_path: Path) -> None:
    image = Image.new("RGB", (300, 600), "white")
    ImageDraw.Draw(image).rectangle((60, 150, 239, 209), fill="black")
    step = TextRegions(detector=network(tmp_path / "fast.onnx", "fast"), head="fast")
    (region,) = step.find(image)
    growth = 19  # four cells of the map on each side
    assert corners(region).min(axis=0) * [300, 600] == pytest.approx([60 - growth, 150 - growth], abs=6)
    assert corners(region).max(axis=0) * [300, 600] == pytest.approx([240 + growth, 210 + growth], abs=6)
    assert step.find(Image.new("RGB", (64, 64), "white")) == []
