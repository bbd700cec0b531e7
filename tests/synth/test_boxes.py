from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.boxes import corners, iou

share = st.floats(0, 1)


def test_centre_and_size_become_corners() -> None:
    assert corners((0.5, 0.25, 0.5, 0.25)) == pytest.approx((0.25, 0.125, 0.75, 0.375))


def test_a_box_of_a_padded_square_is_scaled_to_the_image() -> None:
    # A 200x100 image padded to 200x200: half the square's height is all of the image's.
    assert corners((0.5, 0.25, 1.0, 0.5), (1.0, 2.0)) == pytest.approx((0, 0, 1, 1))


@given(st.tuples(share, share, share, share), st.tuples(st.floats(1, 8), st.floats(1, 8)))
def test_corners_are_ordered_and_inside(box: tuple[float, ...], scale: tuple[float, float]) -> None:
    x1, y1, x2, y2 = corners(box, scale)
    assert 0 <= x1 <= x2 <= 1
    assert 0 <= y1 <= y2 <= 1


def test_intersection_over_union() -> None:
    assert iou((0, 0, 0.5, 1), (0, 0, 1, 1)) == pytest.approx(0.5)
    assert iou((0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)) == 0
    assert iou((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5)) == 0
