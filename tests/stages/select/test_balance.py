"""Clusters and caps: the laws that a balanced pool obeys, whatever its shards and order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.errors import PoolError
from curate.scan import MemoryScan
from stages.select.balance import MOST_CLUSTERS, ClusterCap, Clusters, nearest, temperature

CLUSTERS = st.lists(st.none() | st.sampled_from([0, 0, 0, 0, 1, 1, 2, 5]), min_size=1, max_size=60)
SIZES = st.lists(st.integers(0, 5000), min_size=1, max_size=30)


def pool(clusters: Sequence[int | None], shards: int = 1, order: np.ndarray | None = None) -> MemoryScan:
    rng = np.random.default_rng(len(clusters))
    columns: dict[str, np.ndarray] = {
        "cluster": np.array([np.nan if c is None else c for c in clusters], np.float64),
        "quality": rng.integers(0, 5, len(clusters)).astype(np.float32),
        "uid": rng.integers(0, 2**63, (len(clusters), 2)).astype(np.uint64),
    }
    return MemoryScan({name: v if order is None else v[order] for name, v in columns.items()}, shards)


def stay(step: ClusterCap, scan: MemoryScan, seed: int = 0) -> np.ndarray:
    return step.apply(scan.columns, step.fit(scan, seed), seed) > 0


@given(CLUSTERS, st.integers(0, 12), st.integers(1, 4), st.sampled_from([None, "quality"]))
def test_a_cap_keeps_as_many_as_it_says(clusters: list[int | None], cap: int, shards: int, best: str | None) -> None:
    scan = pool(clusters, shards)
    kept = stay(ClusterCap(cap=cap, best=best), scan)
    of = scan.columns["cluster"]
    for cluster in {c for c in clusters if c is not None}:
        mine = of == cluster
        assert kept[mine].sum() == min(cap, mine.sum())
        if best and 0 < cap < mine.sum():
            quality = scan.columns["quality"]
            assert quality[mine & kept].min() >= quality[mine & ~kept].max()
    assert not kept[np.isnan(of)].any()


@given(CLUSTERS, st.sampled_from([ClusterCap(cap=3), ClusterCap(alpha=0.5, fraction=0.4)]), st.randoms())
def test_order_and_shards_do_not_matter(clusters: list[int | None], step: ClusterCap, random: object) -> None:
    order = np.random.default_rng(random.randrange(2**32)).permutation(len(clusters))  # type: ignore[attr-defined]
    scan, moved = pool(clusters), pool(clusters, 3, order)
    uids = scan.columns["uid"][stay(step, scan)].tolist()
    assert sorted(uids) == sorted(moved.columns["uid"][stay(step, moved)].tolist())


def test_the_seed_chooses_who_stays() -> None:
    scan = pool([0] * 40)
    first, second = (stay(ClusterCap(cap=10), scan, seed) for seed in (0, 1))
    assert first.sum() == second.sum() == 10
    assert not np.array_equal(first, second)


@given(SIZES, st.floats(0, 1), st.integers(0, 40_000))
@settings(max_examples=300)
def test_temperature_shares_out_exactly_the_total(sizes: list[int], alpha: float, total: int) -> None:
    have = np.array(sizes)
    wanted = temperature(have, alpha, total)
    assert wanted.sum() == min(total, have.sum())
    assert ((wanted >= 0) & (wanted <= have)).all()
    for i in np.flatnonzero(wanted < have):  # a cluster that is not used up gets as much as its weight says
        bigger = have >= have[i]
        assert (wanted[bigger] >= wanted[i] - 1).all()


@given(SIZES, st.floats(0.05, 1))
def test_alpha_one_keeps_the_proportions(sizes: list[int], fraction: float) -> None:
    have = np.array(sizes)
    wanted = temperature(have, 1.0, int(fraction * have.sum()))
    assert (abs(wanted - have * int(fraction * have.sum()) / max(1, have.sum())) < 1 + 1e-6).all()


def test_alpha_zero_takes_equally_and_fills_up_from_the_large() -> None:
    assert temperature(np.array([100, 100, 100]), 0.0, 60).tolist() == [20, 20, 20]
    assert temperature(np.array([5, 100, 0, 100]), 0.0, 65).tolist() == [5, 30, 0, 30]
    assert temperature(np.array([1, 1, 1]), 0.0, 2).tolist() == [1, 1, 0]
    assert temperature(np.array([400, 100]), 0.5, 30).tolist() == [20, 10]


def test_groups_that_positions_name_are_refused() -> None:
    groups = np.array([0, 1 << 32, 1 << 32, np.nan])
    with pytest.raises(PoolError, match=r"dup_group holds 4294967296.*OnePerGroup"):
        ClusterCap(cap=1, column="dup_group").fit(MemoryScan({"dup_group": groups}), 0)
    with pytest.raises(PoolError, match="OnePerGroup"):
        ClusterCap(alpha=0, total=2).fit(MemoryScan({"cluster": np.array([MOST_CLUSTERS])}), 0)


def test_the_learned_rule_in_words() -> None:
    step, scan = ClusterCap(cap=2), pool([0, 0, 0, 0, 3, None])
    assert step.threshold(step.fit(scan, 0)) == "3 of 5 pairs in 2 clusters, the largest 4 -> 2"
    empty = pool([None])
    assert step.threshold(step.fit(empty, 0)) == "nothing"
    assert not stay(step, empty).any()


@pytest.mark.parametrize(
    "fields",
    [{}, {"cap": 1, "alpha": 0.5}, {"alpha": 0.5}, {"cap": 1, "total": 5}, {"alpha": 0.5, "total": 5, "fraction": 0.5}],
)
def test_one_measure_only(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ClusterCap.model_validate(fields)


def blobs(rows: int = 400, missing: int = 7) -> dict[str, np.ndarray]:
    """Four directions in eight dimensions, with noise; every 50th row has no embedding."""
    rng = np.random.default_rng(3)
    vectors = np.eye(8)[rng.integers(0, 4, rows)] + rng.normal(0, 0.05, (rows, 8))
    vectors[missing::50] = np.nan
    uid = rng.integers(0, 2**63, (rows, 2)).astype(np.uint64)
    return {"image_embedding": vectors.astype(np.float16), "uid": uid}


@pytest.mark.parametrize("spherical", [True, False])
def test_clusters_find_the_directions(spherical: bool) -> None:
    scan = MemoryScan(blobs())
    step = Clusters(k=4, spherical=spherical)
    found = step.compute(scan.columns, step.fit(scan, 0))
    vectors = scan.columns["image_embedding"]
    missing = np.isnan(vectors).any(axis=1)
    assert [c is None for c in found["cluster"]] == missing.tolist()
    truth, cluster = np.nan_to_num(vectors).argmax(axis=1)[~missing], np.array(found["cluster"])[~missing]
    assert len({*zip(truth.tolist(), cluster.tolist(), strict=True)}) == 4
    assert np.array(found["cluster_similarity"])[~missing].min() > 0.9


def test_clusters_depend_on_the_rows_and_the_seed_only() -> None:
    columns, step = blobs(), Clusters(k=6, sample=150, iterations=5)
    fits = [step.fit(MemoryScan(columns, shards), 5)["centroids"] for shards in (1, 4)]
    back = {name: values[::-1] for name, values in columns.items()}
    fits.append(step.fit(MemoryScan(back), 5)["centroids"])
    assert np.array_equal(fits[0], fits[1])
    assert np.array_equal(fits[0], fits[2])
    assert not np.array_equal(fits[0], step.fit(MemoryScan(columns), 6)["centroids"])


def test_fewer_rows_than_clusters_and_none_at_all() -> None:
    few = MemoryScan({name: values[:3] for name, values in blobs().items()})
    step = Clusters(k=10)
    assert step.fit(few, 0)["centroids"].shape == (3, 8)
    none = MemoryScan({"image_embedding": np.full((2, 8), np.nan, np.float16)})
    found = step.compute(none.columns, step.fit(none, 0))
    assert list(found["cluster"]) == [None, None]


@pytest.mark.parametrize("spherical", [True, False])
def test_the_nearest_centroids_are_those_of_a_plain_search(spherical: bool) -> None:
    rng = np.random.default_rng(7)
    vectors, centroids = rng.normal(size=(1500, 16)).astype(np.float32), rng.normal(size=(40, 16)).astype(np.float32)
    found, cosine = nearest(vectors, centroids, spherical, count=3)
    unit = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    angle = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ unit.T
    apart = -angle if spherical else ((vectors[:, None] - centroids) ** 2).sum(axis=2)
    assert np.array_equal(found, np.argsort(apart, axis=1, kind="stable")[:, :3])
    assert np.allclose(cosine, np.take_along_axis(angle, found.astype(np.int64), 1), atol=1e-5)


@given(st.integers(1, 60), st.integers(1, 9))
def test_a_row_does_not_depend_on_those_beside_it(rows: int, count: int) -> None:
    rng = np.random.default_rng(rows)
    vectors, centroids = rng.normal(size=(60, 33)).astype(np.float32), rng.normal(size=(9, 33)).astype(np.float32)
    alone, together = nearest(vectors[:rows], centroids, True, count), nearest(vectors, centroids, True, count)
    assert np.array_equal(alone[0], together[0][:rows])
    assert np.array_equal(alone[1], together[1][:rows])


def test_equally_near_centroids_come_in_their_order() -> None:
    centroids = np.array([[0, 1], [1, 0], [1, 0], [2, 0]], np.float32)
    found, _ = nearest(np.array([[1, 0]], np.float32), centroids, True, count=10)
    assert found.tolist() == [[1, 2, 3, 0]]
