"""Semantic duplicates: the same as comparing all pairs, whatever the shards, the order and the tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.contracts import Columns
from curate.scan import MemoryScan
from filters.duplicates import FirstOfGroup, NotSemantic
from stages.select import semantic
from stages.select.components import components
from stages.select.dedup import OnePerGroup
from stages.select.semantic import SemanticDuplicates, SemDeDup, first_similar, similarity_to_earlier

DIM = 16
SEEDS = st.integers(0, 2**32 - 1)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def embeddings(seed: int, rows: int = 60) -> np.ndarray:
    """Float16: a dozen things, some of them far, some near, some equal, and two rows without one."""
    draw = np.random.default_rng(seed)
    things = draw.normal(size=(12, DIM))
    noise = draw.choice([0.0, 0.05, 0.3, 1.0], rows)[:, None] * draw.normal(size=(rows, DIM)) / 4
    vectors = unit(things[draw.integers(0, 12, rows)] + noise).astype(np.float16)
    vectors[draw.integers(0, rows, 2)] = np.nan
    return vectors


def pool(vectors: np.ndarray, shards: int = 1, partitions: int = 1) -> MemoryScan:
    draw = np.random.default_rng(9)
    columns = {
        "image_embedding": vectors,
        "uid": draw.integers(0, 2**63, (len(vectors), 2)).astype(np.uint64),
        "similarity": draw.integers(0, 3, len(vectors)).astype(np.float32),
    }
    return MemoryScan(columns, shards, partitions)


def facts(step: SemanticDuplicates | SemDeDup, scan: MemoryScan) -> Columns:
    return {name: np.asarray(values) for name, values in step.compute(scan.columns, scan.fit(step)).items()}


def near(vectors: np.ndarray, eps: float) -> np.ndarray:
    """Boolean (n, n), or NaN's False."""
    whole = unit(vectors.astype(np.float64))
    return whole @ whole.T > 1 - eps


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 4), st.integers(1, 5), st.integers(1, 8))
def test_groups_are_components_of_all_near_pairs(seed: int, shards: int, partitions: int, k: int) -> None:
    vectors = embeddings(seed)
    scan = pool(vectors, shards, partitions)
    found = facts(SemanticDuplicates(k=k, probes=k, best="similarity"), scan)
    close = near(vectors, 0.05) | np.eye(len(vectors), dtype=bool)
    reach = close
    for _ in range(len(vectors)):
        reach = (reach.astype(np.int64) @ close.astype(np.int64)) > 0
    uids = [tuple(uid) for uid in scan.columns["uid"].tolist()]
    for i in range(len(vectors)):
        members = sorted(np.flatnonzero(reach[i]).tolist(), key=lambda j: (-scan.columns["similarity"][j], uids[j]))
        assert found["semantic_group"][i] == members[0]
        assert found["semantic_rank"][i] == members.index(i)
        assert found["semantic_size"][i] == len(members)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_what_is_left_has_no_duplicates(seed: int, k: int) -> None:
    step = SemanticDuplicates(k=k, probes=k)
    scan = pool(embeddings(seed))
    keep = FirstOfGroup(groups="semantic")(facts(step, scan))
    left = MemoryScan({name: values[keep] for name, values in scan.columns.items()})
    assert (facts(step, left)["semantic_size"] == 1).all()


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 4), st.integers(1, 5))
def test_order_of_the_pool_does_not_matter(seed: int, shards: int, partitions: int) -> None:
    scan = pool(embeddings(seed))
    order = np.random.default_rng(seed).permutation(len(scan.columns["uid"]))
    moved = {name: values[order] for name, values in scan.columns.items() if name != "position"}
    steps: tuple[SemanticDuplicates | SemDeDup, ...] = (SemanticDuplicates(k=4, probes=2), SemDeDup(k=4))
    for step in steps:
        a, b = facts(step, scan), facts(step, MemoryScan(moved, shards, partitions))
        for name in set(a) - {"semantic_group"}:  # which is a position
            assert a[name][order].tolist() == b[name].tolist()


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(1, 9))
def test_tiles_are_one_product(seed: int, rows: int, tile: int) -> None:
    vectors = unit(np.random.default_rng(seed).normal(size=(rows, 4))).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(semantic, "TILE", tile)
        root = first_similar(vectors, 0.4)
        highest = similarity_to_earlier(vectors)
    cosines = vectors @ vectors.T
    upper = np.triu(np.ones_like(cosines, bool), 1)
    assert root.tolist() == lowest_connected(cosines > 0.6)
    expected = np.where(upper, cosines, 0).max(axis=0)
    assert highest.tolist() == pytest.approx(np.maximum(expected, 0).tolist(), abs=1e-6)


def lowest_connected(close: np.ndarray) -> list[int]:
    reach = close | np.eye(len(close), dtype=bool)
    for _ in range(len(close)):
        reach = (reach.astype(np.int64) @ reach.astype(np.int64)) > 0
    return reach.argmax(axis=1).tolist()


def crowd(seed: int, rows: int = 240, things: int = 8, width: int = 64) -> np.ndarray:
    """Float16: near copies of some things, whose centroids, distances and cosines are nearly tied everywhere."""
    draw = np.random.default_rng(seed)
    noise = draw.choice([3e-5, 0.225 / width**0.5], rows)[:, None]  # cosines about 1 and 0.95
    base = unit(draw.normal(size=(things, width)))[draw.integers(0, things, rows)]
    return (base + noise * draw.normal(size=(rows, width))).astype(np.float16)


@settings(max_examples=4, deadline=None)
@given(SEEDS, st.integers(2, 7), st.integers(1, 4))
def test_near_copies_have_the_same_facts_however_the_pool_is_cut(seed: int, shards: int, partitions: int) -> None:
    vectors = crowd(seed, 1600, 20, 512)
    whole, parts = pool(vectors), pool(vectors, shards, partitions)
    steps: tuple[SemanticDuplicates | SemDeDup, ...] = (
        SemDeDup(k=200, iterations=2),
        SemanticDuplicates(k=200, iterations=2, best="similarity"),
    )
    for step in steps:
        a, b = facts(step, whole), facts(step, parts)
        for name in a:
            assert a[name].tolist() == b[name].tolist()


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 239))
def test_cosines_do_not_depend_on_the_tile(seed: int, tile: int) -> None:
    vectors = crowd(seed)
    whole, root = similarity_to_earlier(vectors), first_similar(vectors, 0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(semantic, "TILE", tile)
        assert np.array_equal(similarity_to_earlier(vectors), whole)
        assert np.array_equal(first_similar(vectors, 0.05), root)


def test_a_crowd_of_near_copies_needs_few_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    edges = []

    def counting(pairs: list[np.ndarray]) -> np.ndarray:
        edges.append(sum(map(len, pairs)))
        return components(pairs)

    monkeypatch.setattr(semantic, "TILE", 64)
    monkeypatch.setattr(semantic, "components", counting)
    draw = np.random.default_rng(0)
    root = first_similar(np.ones(32) + draw.normal(size=(1000, 32)) * 1e-3, 0.05)
    assert not root.any()
    assert sum(edges) < 1000 * (1000 / 64)  # one per row and tile, not one per pair


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_shard_without_any_embedding(dtype: type) -> None:
    vectors: np.ndarray = embeddings(3).astype(dtype)
    vectors[:20] = np.nan  # the first of three shards
    steps: tuple[SemanticDuplicates | SemDeDup, ...] = (SemanticDuplicates(k=4), SemDeDup(k=4))
    for step in steps:
        found, whole = facts(step, pool(vectors, 3)), facts(step, pool(vectors))
        for name in found:
            assert np.array_equal(found[name][20:], whole[name][20:])


def test_semdedup_of_a_cluster_keeps_the_hardest() -> None:
    angles = np.radians([0, 10, 20, 90, 4])  # one cluster: its centroid lies at about 23 degrees
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    found = facts(SemDeDup(k=1), MemoryScan({"image_embedding": vectors}))["semdedup_similarity"]
    # in descending distance: 90, 0, 4, 10, 20
    before = [np.cos(np.radians(90)), np.cos(np.radians(6)), np.cos(np.radians(10)), 0, np.cos(np.radians(4))]
    assert found.astype(float).tolist() == pytest.approx(before, abs=1e-6)
    keep = NotSemantic(eps=0.01)({"semdedup_similarity": found.astype(np.float32)})
    assert keep.tolist() == [True, False, True, True, False]


def test_semdedup_counts_what_is_dropped_itself() -> None:
    angles = np.radians([0, 4, 8, 60])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    scan = MemoryScan({"image_embedding": vectors})
    drops = ~NotSemantic(eps=0.003)({"semdedup_similarity": facts(SemDeDup(k=1), scan)["semdedup_similarity"]})
    assert drops.tolist() == [False, True, True, False]  # 8 is like 4, which is like 0; 8 is not like 0


def test_many_equal_rows_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def counting(vectors: np.ndarray, eps: float) -> np.ndarray:
        compared.append(len(vectors))
        return first_similar(vectors, eps)

    monkeypatch.setattr(semantic, "first_similar", counting)
    vectors = np.repeat(unit(np.random.default_rng(0).normal(size=(3, DIM))), [500, 2, 1], axis=0).astype(np.float16)
    found = facts(SemanticDuplicates(k=1), MemoryScan({"image_embedding": vectors}))
    assert np.unique(found["semantic_size"]).tolist() == [1, 2, 500]
    assert compared == [3]


def test_rows_without_an_embedding() -> None:
    nothing = MemoryScan({"image_embedding": np.full((3, DIM), np.nan, np.float16)}, shards=2)
    assert facts(SemanticDuplicates(k=2), nothing)["semantic_size"].tolist() == [1, 1, 1]
    similarity = facts(SemDeDup(k=2), nothing)["semdedup_similarity"]
    assert similarity.tolist() == [None] * 3
    assert NotSemantic(eps=0.1)({"semdedup_similarity": np.full(3, np.nan)}).all()
    absent = MemoryScan({"image_embedding": np.array([None, None], object)})
    assert facts(SemanticDuplicates(k=2), absent)["semantic_group"].tolist() == [0, 1]


def test_one_per_semantic_group() -> None:
    scan = pool(np.repeat(embeddings(1, 20)[:10], 3, axis=0))
    columns = {**scan.columns, **facts(SemanticDuplicates(k=3, probes=3), scan)}
    scan = MemoryScan(columns)
    step = OnePerGroup(groups="semantic")
    kept = step.apply(scan.columns, scan.fit(step), 0) > 0
    assert kept.tolist() == (columns["semantic_rank"] == 0).tolist()
    assert FirstOfGroup(groups="semantic").inputs() == ("semantic_rank",)
