"""Duplicates by meaning: pairs whose embeddings point nearly the same way (Abbas et al. 2023, "SemDeDup")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.columns import to_numpy
from curate.contracts import Columns, PoolFact, Scan, Spread, State
from stages.select.balance import Clusters, nearest
from stages.select.components import components, connected
from stages.select.dedup import STANDING, hashed, placed, ranked, standing, told
from stages.select.products import MARGIN, exact, places, reaching, unit

TILE: Final = 1024
"""Rows whose embeddings are compared with as many others in one product."""


class SemanticDuplicates(PoolFact):
    """Groups rows whose embeddings have a cosine above 1 - `eps`: copies, crops, other shots of the same thing.

    Only rows that share one of their `probes` nearest of k centroids are compared, so that pairs astride a border of two
    clusters are found too; the original looks inside clusters alone (probes: 1). Pairs are joined to components. The
    first of a group is the best by `best`, else the one with the lowest uid; ties go to the lowest uid, then position.
    """

    version: ClassVar[int] = 2

    k: int = Field(gt=0, description="clusters; fewer where the pool has fewer rows")
    eps: float = Field(default=0.05, ge=0, lt=1, description="1 minus the cosine that pairs have to exceed")
    column: str = "image_embedding"
    probes: int = Field(default=2, ge=1, description="nearest centroids that a row is compared at")
    best: str | None = Field(default=None, description="column whose highest value is the first of its group")
    sample: int = Field(default=100_000, gt=0, description="rows that k-means is trained on, held in memory")
    iterations: int = Field(default=20, gt=0)

    def inputs(self) -> tuple[str, ...]:
        """The embedding's column and, if given, the one to rank by."""
        return (self.column, self.best) if self.best else (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """semantic_group: position of the group's first; semantic_rank: 0 for it; semantic_size: 1 where it is alone."""
        return {"semantic_group": pa.int64(), "semantic_rank": pa.int32(), "semantic_size": pa.int32()}

    def fit(self, scan: Scan, seed: int) -> Spread:
        """State per row that has a duplicate: `position`, `group`, `rank` and `size`, int64."""
        centroids = _centroids(self, scan, seed)
        probed = partial(_probed, self.column, self.best, centroids, self.probes)
        return ranked(connected(scan.regroup(probed, partial(_edges, self.eps), *self.inputs())))

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """A row without a duplicate, or without an embedding, is a group of its own."""
        return placed(columns, state, "semantic")


class SemDeDup(PoolFact):
    """SemDeDup as published (Abbas et al. 2023, section 3): how similar a row is to those before it in its cluster.

    Rows of a cluster stand in descending order of their distance to its centroid, the hardest first, and each is
    compared with all before it, also with those that are dropped themselves. `filters.duplicates.NotSemantic` drops
    what exceeds 1 - eps. Equal distances: the lowest uid first, where the original has the order of its files.
    """

    version: ClassVar[int] = 2

    k: int = Field(gt=0, description="clusters; fewer where the pool has fewer rows")
    column: str = "image_embedding"
    sample: int = Field(default=100_000, gt=0, description="rows that k-means is trained on, held in memory")
    iterations: int = Field(default=100, gt=0)

    def inputs(self) -> tuple[str, ...]:
        """The embedding's column."""
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """semdedup_similarity: highest cosine to an earlier row of the cluster, 0 to 1; null without an embedding."""
        return {"semdedup_similarity": pa.float32()}

    def fit(self, scan: Scan, seed: int) -> Spread:
        """State per row with an embedding: its `position` and `similarity`."""
        probed = partial(_probed, self.column, None, _centroids(self, scan, seed), 1)
        return Spread({}, scan.regroup(probed, _earlier, *self.inputs()))

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """The similarity of each row."""
        return {"semdedup_similarity": told(columns, state, "similarity")}


def hardest_first(distance: np.ndarray) -> np.ndarray:
    """The order of a cluster's rows by their distance 1 - cosine to its centroid, (n,), farthest first; equal ones as given."""
    return np.argsort(-distance, kind="stable")


def similarity_to_earlier(vectors: np.ndarray) -> np.ndarray:
    """float32 (n,): the highest cosine of each row, (n, d) of any float, to a row before it, at least 0."""
    best = np.zeros(len(vectors))
    for column, row, later, earlier in _tiles(vectors):
        near = _cosines(later, earlier, row == column)
        i, _, value = reaching(near, np.maximum(best[column], near.max(axis=1)), later, earlier)
        np.maximum.at(best[column], i, value)
    return best.astype(np.float32)


def first_similar(vectors: np.ndarray, eps: float) -> np.ndarray:
    """int64 (n,): for each row, (n, d) of any float, the lowest that pairs of a cosine above 1 - eps connect it with.

    Pairs that are connected already are passed over, so that a crowd of near copies has about one edge per row and tile.
    """
    root = np.arange(len(vectors))
    for column, row, later, earlier in _tiles(vectors):
        near = _cosines(later, earlier, row == column)
        if near.max() <= 1 - eps - MARGIN:
            continue
        best = near.argmax(axis=1)  # one edge per row first: mostly they connect all
        sure = np.flatnonzero(near.max(axis=1) > 1 - eps + MARGIN)
        root = _joined(root, np.column_stack([sure + column.start, best[sure] + row.start]))
        near[root[column][:, None] == root[row]] = -1
        i, j = places(near > 1 - eps - MARGIN)
        doubtful = np.flatnonzero(near[i, j] <= 1 - eps + MARGIN)
        alike = np.ones(len(i), bool)
        alike[doubtful] = exact(later, i[doubtful], earlier, j[doubtful]) > 1 - eps
        root = _joined(root, np.column_stack([i + column.start, j + row.start])[alike])
    return root


def _joined(root: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """`root` once pairs, (m, 2), are connected too."""
    lower = np.arange(len(root))
    found = components([root[pairs]])
    lower[found[:, 0]] = found[:, 1]
    return lower[root]


def _tiles(vectors: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray, np.ndarray]]:
    """Places of later and of earlier rows, and both of unit length, tile by tile."""
    for begin in range(0, len(vectors), TILE):
        column = slice(begin, begin + TILE)
        later = unit(vectors[column])
        for start in range(0, begin + 1, TILE):
            row = slice(start, start + TILE)
            yield column, row, later, later if start == begin else unit(vectors[row])


def _cosines(later: np.ndarray, earlier: np.ndarray, same: bool) -> np.ndarray:
    """float32 (n, m); -1 where, of the `same` rows, one is not the earlier."""
    near = later @ earlier.T
    if same:
        near[~np.tri(len(near), k=-1, dtype=bool)] = -1
    return near


def _centroids(step: SemanticDuplicates | SemDeDup, scan: Scan, seed: int) -> np.ndarray:
    clusters = Clusters(k=step.k, column=step.column, sample=step.sample, iterations=step.iterations)
    state = clusters.fit(scan, seed)
    assert isinstance(state, dict)
    return state["centroids"]


def _probed(column: str, best: str | None, centroids: np.ndarray, probes: int, columns: Columns) -> pa.Table:
    """A row per row and centroid at which it is compared; `place` counts them from the nearest."""
    vectors = columns[column]
    if vectors.ndim != 2:  # the pool has no embeddings at all
        vectors = np.full((len(vectors), max(1, centroids.shape[1])), np.nan, np.float16)
    has = np.isfinite(vectors).all(axis=1)
    vectors = vectors[has]  # in the type that all shards have, even where none is left
    found, cosine = nearest(vectors, centroids, True, probes)
    rows, place = np.indices(found.shape).reshape(2, -1)
    cluster = found.ravel().astype(np.int64)
    embedding = pa.FixedSizeListArray.from_arrays(vectors[rows].ravel(), vectors.shape[1])
    return pa.table(
        {
            "key": hashed(cluster),
            "cluster": cluster,
            "place": place,
            "distance": 1 - cosine.ravel(),
            "embedding": embedding,
            **{name: values[has][rows] for name, values in standing(columns, best).items()},
        }
    )


def _clusters(table: pa.Table) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """The rows of each cluster by uid, then position, and their embeddings as they are stored."""
    names = ("position", "uid_low", "uid_high", "cluster")
    table = table.take(pa.array(np.lexsort([table[name].to_numpy() for name in names])))
    begins = np.flatnonzero(np.diff(table["cluster"].to_numpy(), prepend=-1))
    for begin, end in pairwise([*begins.tolist(), table.num_rows]):
        rows = table.slice(begin, end - begin)
        yield rows, to_numpy(rows["embedding"])


def _edges(eps: float, table: pa.Table) -> pa.Table:
    """Edges between similar rows; and what each row is like, told by its nearest cluster."""
    near = [np.zeros((0, 2), np.int64)]
    for rows, vectors in _clusters(table):
        position = rows["position"].to_numpy()
        first = _first_equal(vectors)
        copies = first != np.arange(len(first))
        near.append(np.column_stack([position, position[first]])[copies])
        distinct = position[~copies]
        root = first_similar(vectors[~copies], eps)
        near.append(np.column_stack([distinct, distinct[root]])[root != np.arange(len(root))])
    found = np.concatenate(near)
    once = table.filter(pa.array(table["place"].to_numpy() == 0))
    position = once["position"]
    like = pa.table({"a": position, "b": position, **{name: once[name] for name in STANDING[:-1]}})
    return pa.concat_tables([like, pa.table({"a": found[:, 0], "b": found[:, 1]})], promote_options="default")


def _first_equal(vectors: np.ndarray) -> np.ndarray:
    """int64 (n,): a row that equals each, itself where there is no other: a placeholder image may come a million times,
    and is compared once. Found by 64-bit sums, then verified, a tile at a time."""
    factors = hashed(np.arange(vectors.shape[1])) | np.uint64(1)
    sums = np.empty(len(vectors), np.uint64)
    for start in range(0, len(vectors), TILE):
        bits = np.ascontiguousarray(vectors[start : start + TILE]).view(f"u{vectors.dtype.itemsize}").astype(np.uint64)
        sums[start : start + TILE] = (bits * factors).sum(axis=1, dtype=np.uint64)
    _, first, group = np.unique(sums, return_index=True, return_inverse=True)
    found: np.ndarray = first[group]
    for start in range(0, len(vectors), TILE):
        rows = np.arange(start, min(start + TILE, len(vectors)))
        equal = (vectors[rows] == vectors[found[rows]]).all(axis=1)
        found[rows] = np.where(equal, found[rows], rows)
    return found


def _earlier(table: pa.Table) -> pa.Table:
    """Position and similarity of each row."""
    positions, found = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for rows, vectors in _clusters(table):
        order = hardest_first(rows["distance"].to_numpy())
        positions.append(rows["position"].to_numpy()[order])
        found.append(similarity_to_earlier(vectors[order]))
    return pa.table({"position": np.concatenate(positions), "similarity": np.concatenate(found)})
