"""Products of embeddings: equal rows give equal bits, at whatever place, beside whatever rows, among near copies too."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.select.balance import longest_product, nearest
from stages.select.products import exact, first, highest, places, reaching, unit

SEEDS = st.integers(0, 2**32 - 1)


def near_copies(images: int = 40, copies: int = 25, width: int = 64, seed: int = 0) -> np.ndarray:
    """Float16: of each image copies that differ in their last bits, as encoders give them of re-encoded files."""
    draw = np.random.default_rng(seed)
    things = np.repeat(draw.normal(size=(images, width)), copies, axis=0)
    things /= np.linalg.norm(things, axis=1, keepdims=True)
    return (things + draw.normal(size=things.shape) * 2e-4)[draw.permutation(len(things))].astype(np.float16)


@given(SEEDS, st.integers(1, 200), st.floats(1e-3, 1e3))
def test_products_are_exact(seed: int, width: int, length: float) -> None:
    draw = np.random.default_rng(seed)
    left, right = (unit(draw.normal(size=(3, width)) * length) for _ in range(2))
    assert np.linalg.norm(left, axis=1) == pytest.approx(1, abs=1e-6)
    whole = [
        sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(*pair, strict=True))
        for pair in zip(left, right, strict=True)
    ]
    i = np.arange(3)
    assert [Fraction(value) for value in exact(left, i, right, i)] == whole
    product = left.astype(np.float64) @ right.T.astype(np.float64)
    assert [Fraction(float(value)) for value in np.diag(product)] == whole


@given(SEEDS, st.integers(1, 30), st.integers(1, 12))
def test_the_highest_are_those_of_a_sort(seed: int, rows: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    left, right = unit(draw.integers(-1, 2, (rows, 4))), unit(draw.integers(-1, 2, (9, 4)))
    less = draw.random(rows), draw.random(9).round(1)
    product = left.astype(np.float64) @ right.T.astype(np.float64)
    found, value = highest(left, right, count)
    assert np.array_equal(found, np.argsort(-product, axis=1, kind="stable")[:, :count])
    assert np.array_equal(value, np.take_along_axis(product, found, axis=1))
    found, value = highest(left, right, count, less)
    assert np.array_equal(found, np.argsort(-(product - np.outer(*less)), axis=1, kind="stable")[:, :count])


@given(SEEDS, st.floats(-1, 1))
def test_reaching_leaves_out_what_cannot(seed: int, floor: float) -> None:
    draw = np.random.default_rng(seed)
    left, right = unit(draw.normal(size=(20, 8))), unit(draw.normal(size=(30, 8)))
    product = left.astype(np.float64) @ right.T.astype(np.float64)
    i, j, value = reaching(left @ right.T, floor, left, right)
    assert set(zip(*np.nonzero(product >= floor), strict=True)) <= set(zip(i, j, strict=True))
    assert np.array_equal(value, product[i, j])
    assert (value > floor - 2e-4).all()


@given(SEEDS, st.integers(1, 4))
def test_the_first_of_each_group(seed: int, k: int) -> None:
    draw = np.random.default_rng(seed)
    group, value = draw.integers(0, 4, 20), draw.integers(0, 5, 20)
    kept = first(k, group, value)
    expected = [row for g in range(4) for row in sorted(np.flatnonzero(group == g), key=lambda row: value[row])[:k]]
    assert kept.tolist() == expected
    assert np.array_equal(places(group[:, None] == value), np.nonzero(group[:, None] == value))


@pytest.mark.parametrize("way", ["spherical", "distance", "product"])
@pytest.mark.parametrize("count", [1, 3])
def test_clusters_of_near_copies_do_not_depend_on_the_cut(way: str, count: int) -> None:
    vectors = near_copies()
    centroids = vectors[::5].astype(np.float32)  # several per image: near ties everywhere

    def assign(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if way == "product":
            return longest_product(rows, centroids)
        return nearest(rows, centroids, way == "spherical", count)

    whole = assign(vectors)
    for cut in (1, 3, 7, 13, 500, 999):
        parts = [assign(part) for part in (vectors[:cut], vectors[cut:])]
        for once, again in zip(whole, zip(*parts, strict=True), strict=True):
            assert np.array_equal(once, np.concatenate(again))


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_order_does_not_matter_either(seed: int) -> None:
    vectors = near_copies(images=8, seed=seed)
    order = np.random.default_rng(seed).permutation(len(vectors))
    found, cosine = nearest(vectors, vectors[::7], True, 2)
    again, cosine_again = nearest(vectors[order], vectors[::7], True, 2)
    assert np.array_equal(found[order], again)
    assert np.array_equal(cosine[order], cosine_again)


def test_vectors_of_any_length_are_nearest_to_something() -> None:
    vectors = np.array([[0, 0], [1e-20, 0], [6e4, 6e4], [1, 2]], np.float32)
    for centroids in (np.array([[0, 0], [1, 2], [7e4, 5e4]], np.float32), np.zeros((2, 2), np.float32)):
        apart = ((vectors[:, None].astype(np.float64) - centroids) ** 2).sum(axis=2)
        assert nearest(vectors, centroids, False)[0][:, 0].tolist() == apart.argmin(axis=1).tolist()
    assert nearest(vectors, np.zeros((0, 2), np.float32), False)[0].shape == (4, 0)
