"""Labels that a user gives: which samples are good, in a table beside the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import Columns
from curate.errors import RecipeError
from curate.schema import parse_uid, uid_words

SUFFIXES: Final = (".csv", ".parquet")


@dataclass(frozen=True)
class Labels:
    """Names, sorted, and what each is worth. `by`: `uid` (names are bytes of 16) or `key` (names are strings, in an
    array of objects: one long key does not widen the others)."""

    by: str
    names: np.ndarray
    values: np.ndarray

    def of(self, columns: Columns) -> np.ndarray:
        """float64 (n,): 0 to 1; NaN for a row that nobody labelled."""
        wanted = _packed(columns["uid"]) if self.by == "uid" else _texts(columns["key"].tolist())
        at = np.minimum(np.searchsorted(self.names, wanted), len(self.names) - 1)
        return np.where(self.names[at] == wanted, self.values[at], np.nan)


def read_labels(path: str, by: str, column: str) -> Labels:
    """A CSV or Parquet file with names of samples (`by`: `uid`, 32 hexadecimal digits, or `key`) and a column of numbers.

    Numbers are scaled so that the lowest is 0 and the highest 1; a sample with several labels gets their mean.
    Raises RecipeError for a file that is not there, lacks a column, or does not tell good from bad.
    """
    table = _read(label_file(path))
    if not {by, column} <= set(table.column_names):
        raise RecipeError(f"{path}: labels need the columns {by!r} and {column!r}, not {table.column_names}")
    try:
        values = np.asarray(pc.cast(table[column], pa.float64()).to_numpy(), np.float64)
    except pa.ArrowInvalid as error:
        raise RecipeError(
            f"{path}: the column {column!r} must hold numbers, such as 0 for bad and 1 for good"
        ) from error
    if not len(values) or not np.isfinite(values).all() or values.min() == values.max():
        raise RecipeError(f"{path}: the column {column!r} must hold numbers, at least two different ones")
    names = _uids(table["uid"], path) if by == "uid" else _texts(table["key"].cast(pa.string()).to_pylist())
    unique, inverse = np.unique(names, return_inverse=True)
    scaled = (values - values.min()) / (values.max() - values.min())
    return Labels(by, unique, np.bincount(inverse, scaled) / np.bincount(inverse))


def label_file(path: str) -> str:
    """The path, if there is such a file. Raises RecipeError."""
    if not path.endswith(SUFFIXES) or not Path(path).is_file():
        raise RecipeError(f"labels: {path} is no file that ends in {' or '.join(SUFFIXES)}")
    return path


def _read(path: str) -> pa.Table:
    """Keys stay text: `000123` is no number."""
    import pyarrow.parquet as pq
    from pyarrow import csv

    try:
        if path.endswith(".parquet"):
            return pq.read_table(path)
        texts = csv.ConvertOptions(column_types={"uid": pa.string(), "key": pa.string()})
        return csv.read_csv(path, convert_options=texts)
    except pa.ArrowInvalid as error:
        raise RecipeError(f"labels: {path} cannot be read: {error}") from error


def _uids(column: pa.ChunkedArray, path: str) -> np.ndarray:
    found = [parse_uid(text) for text in column.to_pylist()]
    if None in found:
        raise RecipeError(f"{path}: {column[found.index(None)].as_py()!r} is no uid of 32 hexadecimal digits")
    return _packed(uid_words(pa.array(found, pa.binary(16))))


def _texts(keys: Sequence[str | None]) -> np.ndarray:
    """object (n,); '' stands for none."""
    found = np.empty(len(keys), object)
    found[:] = [key or "" for key in keys]
    return found


def _packed(words: np.ndarray) -> np.ndarray:
    """Bytes (n,) of 16 that sort as uids do."""
    return np.ascontiguousarray(words.astype(">u8")).view("S16").ravel()
