"""Between Arrow at rest and numpy in steps: the one place that knows how a column travels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curate.schema import uid_words


def to_numpy(array: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column as steps see it (`curate.contracts.Columns`)."""
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    kind = array.type
    if pa.types.is_fixed_size_list(kind):
        return _matrix(array)
    if pa.types.is_floating(kind) or (pa.types.is_integer(kind) and array.null_count == 0):
        return array.to_numpy(zero_copy_only=False)
    if pa.types.is_integer(kind):
        return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(kind) and array.null_count == 0:
        return array.to_numpy(zero_copy_only=False)
    found = np.empty(len(array), object)
    found[:] = array.to_pylist()
    return found


def _matrix(array: pa.FixedSizeListArray) -> np.ndarray:
    """2-D; rows that are null become NaN."""
    width = array.type.list_size
    if array.null_count == 0:
        return array.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    dtype = array.type.value_type.to_pandas_dtype()
    found = np.full((len(array), width), np.nan, dtype if np.issubdtype(dtype, np.floating) else np.float64)
    found[valid] = array.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return found


def to_arrow(values: Sequence[Any] | np.ndarray, kind: pa.DataType, rows: int, name: str) -> pa.Array:
    """What a step returned as an Arrow column of its declared type. Raises ValueError when length or type disagree."""
    if len(values) != rows:
        raise ValueError(f"column {name!r} has {len(values)} values for {rows} samples")
    if isinstance(values, np.ndarray) and values.ndim == 2:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1)).cast(kind.value_type)
        return pa.FixedSizeListArray.from_arrays(flat, kind.list_size)
    return pa.array(values, kind, from_pandas=False)


def position(shard: int, rows: np.ndarray) -> np.ndarray:
    """uint64 (n,): shard << 32 | row."""
    return (np.uint64(shard) << np.uint64(32)) | rows.astype(np.uint64)


def identity(shard: int, uids: pa.Array | pa.ChunkedArray, start: int = 0) -> dict[str, np.ndarray]:
    """The columns `uid` and `position` of a run of rows."""
    words = uid_words(uids)
    return {"uid": words, "position": position(shard, np.arange(start, start + len(words)))}


def scatter(parts: Sequence[tuple[np.ndarray, pa.Array]], rows: int, kind: pa.DataType) -> pa.Array:
    """A column of `rows` values from (row numbers, values) parts; rows that no part names are null."""
    parts = [(at, values) for at, values in parts if len(at)]
    if not parts:
        return pa.nulls(rows, kind)
    order = np.full(rows, -1, np.int64)
    offset = 0
    for at, values in parts:
        order[at] = np.arange(offset, offset + len(values))
        offset += len(values)
    joined = pa.concat_arrays([values.cast(kind) for _, values in parts])
    return joined.take(pa.array(order, mask=order < 0))
