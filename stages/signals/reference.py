"""How close an image is to a reference set, such as ImageNet's training images, whose embeddings are in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal
from curate.errors import MissingExtra, ModelError
from stages.select.products import BLOCK, first, reaching, unit


class ReferenceSimilarity(Signal):
    """Cosine to the nearest image of a reference set, and which one that is. Exact: each is compared with each.

    A floor on it keeps what resembles the reference; a cap per `reference_nearest` samples evenly around it.
    """

    version: ClassVar[int] = 2
    cost: ClassVar[float] = 5.0

    reference: str = Field(
        description="embeddings by the same model: .npy, .safetensors or .parquet, a glob for several"
    )
    column: str = "image_embedding"

    def inputs(self) -> tuple[str, ...]:
        """The embedding's column."""
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """reference_similarity: -1 to 1; reference_nearest: number of that image, from 0. Null without an embedding."""
        return {"reference_similarity": pa.float32(), "reference_nearest": pa.int32()}

    def models(self) -> tuple[str, ...]:
        """The reference's files as specs."""
        return tuple(f"file:{path}" for path in reference_files(self.reference))

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Of equally near images the first. Raises ModelError for a reference that cannot be read or compared."""
        vectors = batch.columns[self.column]
        score, place = np.full(len(vectors), None, object), np.full(len(vectors), None, object)
        there = embedded(vectors)
        if there.any():
            score[there], place[there] = nearest_reference(vectors[there], self.reference, self.column)
        return {"reference_similarity": score, "reference_nearest": place}


def nearest_reference(vectors: np.ndarray, reference: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Highest cosine, float64 (n,), and the number of the reference image that has it, int64 (n,)."""
    score, place = np.full(len(vectors), -np.inf), np.zeros(len(vectors), np.int64)
    queries = unit(vectors)
    before = 0
    for images in map(unit, reference_rows(reference, column, vectors.shape[1])):
        for start in range(0, len(vectors) if len(images) else 0, BLOCK):
            query, known = queries[start : start + BLOCK], score[start : start + BLOCK]
            near = query @ images.T
            row, image, value = reaching(near, np.maximum(known, near.max(axis=1)), query, images)
            best = first(1, row, image, -value)
            better = best[value[best] > known[row[best]]]
            score[start + row[better]], place[start + row[better]] = value[better], before + image[better]
        before += len(images)
    return score, place


def embedded(vectors: np.ndarray) -> np.ndarray:
    """Boolean (n,): rows of an embedding column that have one."""
    return np.isfinite(vectors).all(axis=1) if vectors.ndim == 2 else np.zeros(len(vectors), bool)


def reference_rows(reference: str, column: str, width: int) -> Iterator[np.ndarray]:
    """Up to BLOCK rows of the reference at a time, as they are stored, those without an embedding left out.

    `column` names the vectors in Parquet files. Raises ModelError for files that hold no embeddings of `width`.
    """
    for path in reference_files(reference):
        for rows in _READ[path.suffix](path, column):
            if rows.ndim != 2 or rows.shape[1] != width:
                raise ModelError(f"{path} holds {rows.shape[1:]} values a row, the pool {width}: embed both alike")
            for start in range(0, len(rows), BLOCK):
                part = rows[start : start + BLOCK]
                yield part[embedded(part)]


def reference_files(reference: str) -> tuple[Path, ...]:
    """The files that a path or glob stands for, in order. Raises ModelError for none, and for other formats."""
    found = tuple(Path(path) for path in sorted(glob(reference, recursive=True)))
    if not found:
        raise ModelError(
            f"there is no reference {reference}; make one: curate subset RUN {reference} --column image_embedding"
        )
    for path in found:
        if path.suffix not in _READ:
            raise ModelError(f"{path}: a reference is a .npy, .safetensors or .parquet file")
    return found


def _npy(path: Path, column: str) -> Iterator[np.ndarray]:
    try:
        yield np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def _parquet(path: Path, column: str) -> Iterator[np.ndarray]:
    import pyarrow.parquet as pq

    from curate.columns import to_numpy

    try:
        for batch in pq.ParquetFile(path).iter_batches(BLOCK, columns=[column]):
            vectors = batch.column(0).drop_null()
            if pa.types.is_list(vectors.type) and len(vectors):
                vectors = vectors.cast(pa.list_(vectors.type.value_type, len(vectors[0])))
            if len(vectors):
                yield to_numpy(vectors)
    except (OSError, IndexError, pa.ArrowException) as error:
        raise ModelError(f"{path} holds no embeddings in a column {column!r}: {error}") from error


def _safetensors(path: Path, column: str) -> Iterator[np.ndarray]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtra("safetensors", extra="models") from error
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            tensor = file.get_slice(column if column in names else names[0])
            rows = tensor.get_shape()[0]
            for start in range(0, rows, BLOCK):
                yield tensor[start : min(start + BLOCK, rows)]
    except (OSError, IndexError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


_READ: Final = {".npy": _npy, ".parquet": _parquet, ".safetensors": _safetensors}
