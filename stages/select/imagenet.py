"""Pairs whose images resemble a reference set: ImageNet's training images in the published methods."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate.contracts import Columns, Learned, Scan, Selection, Spread, State
from curate.schema import hash_words
from stages.select.balance import Clusters, longest_product, nearest
from stages.select.products import BLOCK, first, reaching, unit
from stages.signals.reference import embedded, reference_files, reference_rows


class ReferenceClusters(Clusters):
    """Clusters of the pool, and how many reference images fall into each (Gadre et al. 2023, image-based filtering).

    `filters.datacomp.ImageBased` keeps the clusters that any falls into. `datacomp` gives each embedding, of the pool and of
    the reference, to the centroid of the highest dot product, although L2 k-means made the centroids, so that long ones
    attract; `nearest` gives it to the nearest, as k-means did.
    """

    reference: str = Field(
        description="embeddings by the same model: .npy, .safetensors or .parquet, a glob for several"
    )
    mode: Literal["nearest", "datacomp"] = "nearest"

    @model_validator(mode="after")
    def _as_published(self) -> Self:
        if self.mode == "datacomp" and self.spherical:
            raise ValueError("mode datacomp takes centroids by distance: add spherical: false")
        return self

    def files(self) -> tuple[str, ...]:
        """The reference's."""
        return tuple(map(str, reference_files(self.reference)))

    def gives(self) -> dict[str, pa.DataType]:
        """As `Clusters`; reference_hits: reference images in the row's cluster, null without an embedding."""
        return {**super().gives(), "reference_hits": pa.int32()}

    def fit(self, scan: Scan, seed: int) -> State:
        """State: `centroids`, float32 (k, d), and `hits`, int64 (k,)."""
        centroids = super().fit(scan, seed)["centroids"]
        return {"centroids": centroids, "hits": self.count(centroids)}

    def count(self, centroids: np.ndarray) -> np.ndarray:
        """Reference images per centroid, int64 (k,); the reference is read block by block."""
        hits = np.zeros(len(centroids), np.int64)
        if len(centroids):
            for rows in reference_rows(self.reference, self.column, centroids.shape[1]):
                hits += np.bincount(self.assign(rows, centroids)[0], minlength=len(hits))
        return hits

    def assign(self, vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cluster, int32 (n,), and cosine to its centroid, float32 (n,), by `mode`."""
        if self.mode == "datacomp":
            return longest_product(vectors, centroids)
        found, cosine = nearest(vectors, centroids, self.spherical)
        return found[:, 0], cosine[:, 0]

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Of equally good centroids the lowest."""
        vectors = columns[self.column]
        there = embedded(vectors)
        found = {name: np.full(len(vectors), None, object) for name in self.gives()}
        if there.any():
            cluster, cosine = self.assign(vectors[there], state["centroids"])
            found["cluster"][there], found["cluster_similarity"][there] = cluster, cosine
            found["reference_hits"][there] = state["hits"][cluster]
        return dict(found)


class NearestToReference(Selection):
    """Keeps, for each image of a reference set, the `k` pool images of the highest cosine that reach `min`.

    An image that several reference images choose stays once. Among equal cosines the lowest uid stays. Each pool image is
    compared with each reference image; what shards nominate is brought together out of core.
    """

    reference: str = Field(
        description="embeddings by the same model: .npy, .safetensors or .parquet, a glob for several"
    )
    k: int = Field(default=10, gt=0, description="pool images per reference image")
    min: float = Field(default=-1.0, ge=-1, le=1, description="lowest cosine that counts")
    column: str = "image_embedding"

    def inputs(self) -> tuple[str, ...]:
        """The embedding's column."""
        return (self.column,)

    def fit(self, scan: Scan, seed: int) -> Learned:
        """The positions that stay, one row each; `chosen`: how many."""
        nominated = scan.regroup(partial(_nominate, self), partial(_choose, self.k), self.column)
        chosen = nominated.regroup(_by_position, _once)
        return Spread({"chosen": np.array(chosen.rows)}, chosen)

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """1 for what stays, 0 for the rest."""
        return np.isin(columns["position"], state["position"].astype(np.uint64)).astype(np.int64)

    def threshold(self, state: State) -> str:
        """How many stay."""
        return f"{state['chosen']} images are among the {self.k} nearest of a reference image"


def _nominate(step: NearestToReference, columns: Columns) -> pa.Table:
    """Of one shard, for each reference image the rows that can be among its nearest."""
    vectors, uids, positions = columns[step.column], columns["uid"], columns["position"]
    rows = np.flatnonzero(embedded(vectors))
    rows = rows[np.lexsort((positions[rows], *uids[rows].T[::-1]))]  # so that the first of equals has the lowest uid
    pool = [unit(vectors[rows[start : start + BLOCK]]) for start in range(0, len(rows), BLOCK)]
    found, before = [(_NONE, _NONE, np.zeros(0))], 0
    if pool:
        for block in reference_rows(step.reference, step.column, vectors.shape[1]):
            image, place, cosine = _best(unit(block), pool, step)
            found.append((image + before, rows[place], cosine))
            before += len(block)
    image, row, cosine = (np.concatenate(part) for part in zip(*found, strict=True))
    return pa.table(
        {
            "key": _key(image),
            "image": image,
            "cosine": cosine,
            "high": uids[row, 0],
            "low": uids[row, 1],
            "position": positions[row],
        }
    )


def _best(
    images: np.ndarray, pool: Sequence[np.ndarray], step: NearestToReference
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each reference image of a block its `k` best of the shard's rows: (image, row, cosine), sorted by image."""
    image, row, cosine = _NONE, _NONE, np.zeros(0)
    least = np.full(len(images), step.min)
    for number, part in enumerate(pool):
        near = images @ part.T
        beyond, floor = near.shape[1] - step.k, least
        if number == 0 and beyond > 0:  # later blocks have the floor of what came before
            floor = np.maximum(least, np.partition(near, beyond, axis=1)[:, beyond])
        i, j, value = reaching(near, floor, images, part)
        able = value >= least[i]
        image, row = np.concatenate([image, i[able]]), np.concatenate([row, j[able] + number * BLOCK])
        cosine = np.concatenate([cosine, value[able]])
        best = first(step.k, image, row, -cosine)
        image, row, cosine = image[best], row[best], cosine[best]
        counts = np.bincount(image, minlength=len(images))
        full = counts == step.k
        least[full] = cosine[np.cumsum(counts)[full] - 1]
    return image, row, cosine


def _key(numbers: np.ndarray) -> np.ndarray:
    words = numbers.astype(np.uint64)
    return hash_words(0, np.column_stack([np.zeros_like(words), words]), "reference")


def _choose(k: int, rows: pa.Table) -> pa.Table:
    """Positions of the `k` best of each reference image, among those that all shards nominated."""
    image, cosine, high, low, position = (
        rows[name].to_numpy() for name in ("image", "cosine", "high", "low", "position")
    )
    return pa.table({"position": position[first(k, image, position, low, high, -cosine)]})


def _by_position(rows: pa.Table) -> pa.Table:
    return rows.append_column("key", pa.array(_key(rows["position"].to_numpy())))


def _once(rows: pa.Table) -> pa.Table:
    return pa.table({"position": np.unique(rows["position"].to_numpy())})


_NONE: Final = np.zeros(0, np.int64)
