"""What resembles a reference set: clusters that it falls into, and its nearest images, however the pool is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.fingerprint import fingerprint
from curate.scan import MemoryScan
from stages.select.imagenet import NearestToReference, ReferenceClusters

WIDTH = 4


def points(rows: int, seed: int) -> np.ndarray:
    """Few directions, so that ties are many."""
    return np.random.default_rng(seed).integers(-1, 2, (rows, WIDTH)).astype(np.float32)


def scan(rows: np.ndarray, shards: int = 1, partitions: int = 1, order: np.ndarray | None = None) -> MemoryScan:
    uids = np.random.default_rng(9).integers(0, 2**63, (len(rows), 2)).astype(np.uint64)
    order = np.arange(len(rows)) if order is None else order
    return MemoryScan({"image_embedding": rows[order], "uid": uids[order]}, shards, partitions)


def stay(step: NearestToReference, pool: MemoryScan) -> set[tuple[int, int]]:
    kept = step.apply(pool.columns, pool.fit(step), seed=0) > 0
    return {tuple(uid) for uid in pool.columns["uid"][kept].tolist()}


def plain(pool: MemoryScan, reference: np.ndarray, k: int, least: float) -> set[tuple[int, int]]:
    """The rule, one reference image after the other."""
    unit, images = (
        (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(np.float64)
        for rows in (pool.columns["image_embedding"], reference.astype(np.float32))
    )
    found: set[tuple[int, int]] = set()
    for image in images:
        cosine = np.einsum("nd,d->n", unit, image)
        uids = map(tuple, pool.columns["uid"].tolist())
        ranked = sorted((-c, uid) for c, uid in zip(cosine.tolist(), uids, strict=True) if c >= least)
        found |= {uid for _, uid in ranked[:k]}
    return found


@given(
    st.integers(0, 60),
    st.integers(1, 20),
    st.integers(1, 5),
    st.sampled_from([-1.0, 0.3, 0.9]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.randoms(),
)
@settings(max_examples=60, deadline=None)
def test_the_nearest_stay_however_the_pool_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    images: int,
    k: int,
    least: float,
    shards: int,
    partitions: int,
    random: object,
) -> None:
    path = tmp_path_factory.mktemp("reference") / "reference.npy"
    reference, pool = np.eye(WIDTH, dtype=np.float32)[np.arange(images) % WIDTH], points(rows, rows)
    np.save(path, reference)
    step = NearestToReference(reference=str(path), k=k, min=least)
    order = np.random.default_rng(random.randrange(2**32)).permutation(rows)  # type: ignore[attr-defined]
    expected = plain(scan(pool), reference, k, least)
    assert stay(step, scan(pool)) == expected
    assert stay(step, scan(pool, shards, partitions, order)) == expected


def test_blocks_beyond_the_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    reference, pool = rng.normal(size=(1100, WIDTH)), rng.normal(size=(2100, WIDTH)).astype(np.float32)
    np.save(tmp_path / "reference.npy", reference)
    step = NearestToReference(reference=str(tmp_path / "reference.npy"), k=3, min=0.2)
    assert stay(step, scan(pool, 1)) == stay(step, scan(pool, 5, 3)) == plain(scan(pool), reference, 3, 0.2)


def test_pairs_without_an_embedding_are_dropped(tmp_path: Path) -> None:
    np.save(tmp_path / "reference.npy", np.eye(WIDTH))
    step = NearestToReference(reference=str(tmp_path / "reference.npy"))
    pool = np.eye(WIDTH, dtype=np.float32)
    pool[1] = np.nan
    kept = step.apply((found := scan(pool)).columns, state := found.fit(step), seed=0)
    assert kept.tolist() == [1, 0, 1, 1]
    assert step.threshold(state).startswith("3 images")
    nothing = MemoryScan({"image_embedding": np.array([None, None], object)})
    assert step.apply(nothing.columns, nothing.fit(step), seed=0).tolist() == [0, 0]


def clusters(path: Path, **fields: object) -> ReferenceClusters:
    return ReferenceClusters(k=3, sample=1000, reference=str(path), **fields)  # type: ignore[arg-type]


def test_clusters_count_the_reference(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    rng = np.random.default_rng(1)
    centres = np.eye(3, WIDTH) * 5
    pool = np.repeat(centres, 20, axis=0) + rng.normal(size=(60, WIDTH)) / 10
    np.save(tmp_path / "reference.npy", centres[[0, 0, 2]])
    for step in (clusters(tmp_path / "*.npy"), clusters(tmp_path / "*.npy", spherical=False, mode="datacomp")):
        found = scan(pool.astype(np.float32), shards=3)
        state = found.fit(step)
        facts = step.compute(found.columns, state)
        own = np.asarray(facts["cluster"])[[0, 0, 40]]  # the clusters of what the reference shows
        assert list(facts["reference_hits"]) == [(own == cluster).sum() for cluster in facts["cluster"]]
        assert state["hits"].sum() == 3


def test_the_long_centroid_attracts_only_in_the_original(tmp_path: Path) -> None:
    np.save(tmp_path / "reference.npy", np.array([[0.0, 1.0]]))
    state = {"centroids": np.array([[1.0, 0.0], [3.0, 3.0]], np.float32), "hits": np.array([0, 1])}
    columns = {"image_embedding": np.array([[1.0, 0.0], [np.nan, 0.0]], np.float32)}
    original = clusters(tmp_path / "reference.npy", spherical=False, mode="datacomp").compute(columns, state)
    mended = clusters(tmp_path / "reference.npy", spherical=False).compute(columns, state)
    assert (list(original["cluster"]), list(mended["cluster"])) == ([1, None], [0, None])
    assert (list(original["reference_hits"]), list(mended["reference_hits"])) == ([1, None], [0, None])
    assert original["cluster_similarity"][0] == pytest.approx(np.sqrt(0.5))


def test_another_reference_is_another_fact(tmp_path: Path) -> None:
    np.save(tmp_path / "reference.npy", np.zeros((2, WIDTH)))
    before = fingerprint(clusters(tmp_path / "reference.npy"), {})
    np.save(tmp_path / "same.npy", np.zeros((2, WIDTH)))
    np.save(tmp_path / "reference.npy", np.ones((3, WIDTH)))
    assert fingerprint(clusters(tmp_path / "reference.npy"), {}) != before
    with pytest.raises(ValidationError, match="spherical: false"):
        clusters(tmp_path / "reference.npy", mode="datacomp")
