"""Balance over what images show: clusters of embeddings, then how many of each cluster stay."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate import order
from curate.contracts import Columns, PoolFact, Scan, Selection, State
from curate.errors import MissingExtra, PoolError
from curate.schema import hash_words
from stages.select.products import exact, highest, lengths, on_grid, unit

MOST_CLUSTERS: Final = 1 << 24
"""Clusters that a cap counts, by their numbers: 56 bytes each, so a gigabyte."""


class Clusters(PoolFact):
    """k-means over an embedding column (FAISS; on GPUs where there are some), trained on a sample, assigned in a pass.

    The sample are the rows with the lowest hashes of (seed, uid), in that order, so that neither shards nor their
    order matter. `spherical` compares directions and keeps centroids at unit length; otherwise distances (L2).
    """

    version: ClassVar[int] = 2

    k: int = Field(gt=0, description="clusters; fewer where the pool has fewer rows")
    column: str = "image_embedding"
    sample: int = Field(default=100_000, gt=0, description="rows to train on, held in memory")
    iterations: int = Field(default=20, gt=0)
    spherical: bool = True

    def inputs(self) -> tuple[str, ...]:
        """The embedding's column."""
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """cluster: 0 to k - 1, null without an embedding; cluster_similarity: cosine to its centroid, -1 to 1."""
        return {"cluster": pa.int32(), "cluster_similarity": pa.float32()}

    def fit(self, scan: Scan, seed: int) -> State:
        """State: `centroids`, float32 (k, d)."""
        sizes = order.group_sizes(scan, partial(_embedded, self.column), self.column)
        rows = int(sizes.sum())
        wanted = min(self.sample, rows)
        if wanted == 0:
            return {"centroids": np.zeros((0, 0), np.float32)}
        ranked = partial(_shuffled, self.column, seed)
        cut = order.smallest(scan, ranked, np.array([rows]), np.array([wanted]), self.column)[0]
        parts = list(scan.map(partial(_drawn, self.column, seed, cut), self.column))
        words = np.concatenate([part[0] for part in parts])
        vectors = np.concatenate([part[1] for part in parts])[np.lexsort(words.T[::-1])]
        return {"centroids": train_centroids(vectors, min(self.k, rows), self.iterations, self.spherical, seed)}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """The nearest centroid of each row; equally near ones: the lowest."""
        vectors, centroids = columns[self.column], state["centroids"]
        has = _embedded(self.column, columns) == 0
        cluster, cosine = np.full(len(vectors), None, object), np.full(len(vectors), None, object)
        if has.any():
            found, similarity = nearest(vectors[has], centroids, self.spherical)
            cluster[has], cosine[has] = found[:, 0], similarity[:, 0]
        return {"cluster": cluster, "cluster_similarity": cosine}


class ClusterCap(Selection):
    """Evens out a cluster column: at most `cap` of each cluster, or a total spread as size to the power of `alpha`.

    `alpha` 1 keeps the pool's proportions, 0 takes equally from all (Abbas et al. and MetaCLIP flatten in the same
    spirit); no cluster gives more than it has, and what it cannot give goes to the others. Of a cluster the lowest
    hashes of (seed, uid) stay, or, with `best`, the highest values of that column. Pairs without a
    cluster, or without a value of `best`, are dropped.

    Clusters have numbers below `MOST_CLUSTERS`; for groups that positions name, as those of duplicates, there is
    `stages.select.dedup.OnePerGroup`.
    """

    column: str = "cluster"
    cap: int | None = Field(default=None, ge=0, description="pairs per cluster")
    alpha: float | None = Field(default=None, ge=0, le=1)
    fraction: float | None = Field(default=None, gt=0, le=1, description="with alpha: total, as a share of the pairs")
    total: int | None = Field(default=None, ge=0, description="with alpha: total, in pairs")
    best: str | None = Field(default=None, description="column whose highest values stay")

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.cap is None) == (self.alpha is None):
            raise ValueError("give either cap or alpha")
        if (self.alpha is not None) != ((self.fraction is None) != (self.total is None)):
            raise ValueError("with alpha give either fraction or total; with cap neither")
        return self

    def inputs(self) -> tuple[str, ...]:
        """The cluster's column and, if given, the one to rank by."""
        return (self.column, self.best) if self.best else (self.column,)

    def fit(self, scan: Scan, seed: int) -> State:
        """State per cluster: `sizes` and `wanted`, int64 (k,), and `cuts`, the rank of the last that stays (k, 4)."""
        sizes = order.group_sizes(scan, partial(_member, self), *self.inputs())
        wanted = np.minimum(sizes, self.cap) if self.cap is not None else temperature(sizes, *self._spread(sizes))
        cuts = order.smallest(scan, partial(_ranked, self, seed), sizes, wanted, *self.inputs())
        return {"sizes": sizes, "wanted": wanted, "cuts": cuts}

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """1 for what stays, 0 for the rest."""
        groups, words = _ranked(self, seed, columns)
        inside = (groups >= 0) & (groups < len(state["wanted"]))
        groups = np.where(inside, groups, 0)
        if not len(state["wanted"]):
            return np.zeros(len(groups), np.int64)
        stays = inside & (state["wanted"][groups] > 0) & order.at_most(words, state["cuts"][groups])
        return stays.astype(np.int64)

    def threshold(self, state: State) -> str:
        """The largest share before and after, and how many stay."""
        sizes, wanted = state["sizes"], state["wanted"]
        if not wanted.any():
            return "nothing"
        clusters = f"{np.count_nonzero(wanted)} clusters, the largest {sizes.max()} -> {wanted.max()}"
        return f"{wanted.sum()} of {sizes.sum()} pairs in {clusters}"

    def _spread(self, sizes: np.ndarray) -> tuple[float, int]:
        rows = int(sizes.sum())
        total = int(Fraction(str(self.fraction)) * rows) if self.fraction is not None else (self.total or 0)
        return self.alpha or 0.0, total


def temperature(sizes: np.ndarray, alpha: float, total: int) -> np.ndarray:
    """int64 (k,): min(total, sum) shared out as size ** alpha, each group giving at most what it has.

    Groups whose share exceeds their size are filled, and the rest is shared among the others, until it fits; whole
    numbers by largest remainder, ties to the lowest group.
    """
    weights = np.where(sizes > 0, sizes.astype(np.float64) ** alpha, 0.0)
    wanted, free = np.zeros(len(sizes), np.float64), sizes > 0
    rest = float(min(total, sizes.sum()))
    while free.any():
        share = rest * weights[free] / weights[free].sum()
        full = share >= sizes[free]
        if not full.any():
            wanted[free] = share
            break
        filled = np.flatnonzero(free)[full]
        wanted[filled] = sizes[filled]
        free[filled] = False
        rest -= float(sizes[filled].sum())
    whole = np.floor(wanted).astype(np.int64)
    missing = max(0, int(min(total, sizes.sum()) - whole.sum()))
    remainder = np.where(whole < sizes, wanted - whole, -1.0)
    whole[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return whole


def _embedded(column: str, columns: Columns) -> np.ndarray:
    """0 for rows that have an embedding, -1 for the rest."""
    vectors = columns[column]
    if vectors.ndim != 2:  # no row of the shard has one
        return np.full(len(vectors), -1)
    return np.where(np.isfinite(vectors).all(axis=1), 0, -1)


def _shuffled(column: str, seed: int, columns: Columns) -> order.Ranked:
    return _embedded(column, columns), order.ranks(hash_words(seed, columns["uid"], "kmeans"), columns)


def _drawn(column: str, seed: int, cut: np.ndarray, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    groups, words = _shuffled(column, seed, columns)
    taking = (groups == 0) & order.at_most(words, cut)
    return words[taking], columns[column][taking]


def train_centroids(vectors: np.ndarray, k: int, iterations: int, spherical: bool, seed: int) -> np.ndarray:
    """Centroids of k-means by FAISS, float32 (k, d), from float32 (n, d) with n >= k; all n rows are used.

    One thread on a CPU, so that equal rows in equal order give equal bits. Raises MissingExtra without FAISS.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingExtra("faiss", extra="cpu") from error
    vectors = unit(vectors) if spherical else np.ascontiguousarray(vectors, np.float32)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # the last bits of a sum depend on how many threads made it
    try:
        means = faiss.Kmeans(
            vectors.shape[1],
            k,
            niter=iterations,
            seed=seed % 2**31,
            spherical=spherical,
            gpu=faiss.get_num_gpus() > 0,
            min_points_per_centroid=1,
            max_points_per_centroid=len(vectors),
        )
        means.train(vectors)
    finally:
        faiss.omp_set_num_threads(threads)
    return np.asarray(means.centroids, np.float32).reshape(k, -1)


def nearest(
    vectors: np.ndarray, centroids: np.ndarray, spherical: bool, count: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest centroids of each vector, nearest first, and the cosine to each: int32 and float32 (n, count).

    `spherical` compares directions, otherwise distances (L2); of equally near centroids the lower comes first. A row's
    result does not depend on the rows beside it (see `stages.select.products`).
    """
    rows, directions = unit(vectors), unit(centroids)
    if spherical or not len(centroids):
        found, cosine = highest(rows, directions, count)
        return found.astype(np.int32), cosine.astype(np.float32)
    # the shortest |v - c| has the highest v c - |c|^2 / 2, here divided by |v| and by the longest |c|
    long = np.maximum(lengths(centroids).astype(np.float64), 1e-12)
    ratio = long.max() / np.maximum(lengths(np.asarray(vectors, np.float32)).astype(np.float64), 1e-12)
    found, _ = highest(rows, on_grid(centroids / long.max()), count, (ratio, (long / long.max()) ** 2 / 2))
    return found.astype(np.int32), cosines_to(rows, directions, found)


def longest_product(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The centroid of the highest dot product, int32 (n,), and the cosine to it, float32 (n,); equal ones: the lowest.

    As DataComp assigns: centroids are as long as they are, so that long ones attract.
    """
    rows = unit(vectors)
    found, _ = highest(rows, on_grid(centroids / max(float(lengths(centroids).max()), 1e-12)), 1)
    return found[:, 0].astype(np.int32), cosines_to(rows, unit(centroids), found)[:, 0]


def cosines_to(rows: np.ndarray, others: np.ndarray, found: np.ndarray) -> np.ndarray:
    """float32 (n, count): of each row to the rows of `others` that `found`, int64 (n, count), names."""
    i = np.repeat(np.arange(len(rows)), found.shape[1])
    return exact(rows, i, others, found.ravel()).reshape(found.shape).astype(np.float32)


def _member(step: ClusterCap, columns: Columns) -> np.ndarray:
    """The row's cluster, -1 where there is none or no value to rank by. Raises PoolError for what cannot be counted."""
    clusters = columns[step.column].astype(np.float64)
    missing = np.isnan(clusters)
    highest_number = clusters.max(initial=0, where=~missing)
    if highest_number >= MOST_CLUSTERS:
        raise PoolError(
            f"{step.column} holds {highest_number:.0f}, and a cap counts clusters by numbers below {MOST_CLUSTERS:,}; "
            "groups of duplicates are named by positions: use stages.select.dedup.OnePerGroup for those"
        )
    if step.best:
        missing |= np.isnan(columns[step.best].astype(np.float64))
    return np.where(missing, -1, np.nan_to_num(clusters)).astype(np.int64)


def _ranked(step: ClusterCap, seed: int, columns: Columns) -> order.Ranked:
    key = order.descending(columns[step.best]) if step.best else hash_words(seed, columns["uid"], "cluster-cap")
    return _member(step, columns), order.ranks(key, columns)
