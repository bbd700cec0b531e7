"""Samples by name: the uids of a DataComp subset file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import field_validator

from curate.contracts import Columns, Filter
from curate.errors import PoolError

PAIR: Final = np.dtype("u8,u8")
"""A uid in a subset file: its upper and its lower 64 bits, little-endian (mlfoundations/datacomp, README)."""
_BLOCK: Final = 1 << 20


class InSubset(Filter):
    """Keeps the samples whose uid is in `path`, a sorted .npy of uids as DataComp's tools and `curate subset` write it.

    The file is mapped and searched, not read: a billion uids take no memory.
    """

    path: str

    @field_validator("path")
    @classmethod
    def _is_subset(cls, path: str) -> str:
        try:
            read_subset(path)
        except PoolError as error:
            raise ValueError(str(error)) from error
        return path

    def keep(self, columns: Columns) -> np.ndarray:
        """Raises PoolError for a file that is not sorted."""
        return contains(_sorted_subset(Path(self.path), Path(self.path).stat().st_mtime_ns), columns["uid"])


def read_subset(path: str | Path) -> np.ndarray:
    """The uids of a file, uint64 (n, 2), high word first; mapped, not read. Raises PoolError for what is no such file."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise PoolError(f"{path} cannot be read as a subset file: {error}") from error
    kind = found.dtype
    if found.ndim != 1 or kind.names is None or [kind[name] for name in kind.names] != [np.dtype("<u8")] * 2:
        raise PoolError(f"{path} holds {kind} of shape {found.shape}; a subset file is a list of (u8, u8)")
    return found.view(np.uint64).reshape(-1, 2)


def contains(subset: np.ndarray, uids: np.ndarray) -> np.ndarray:
    """Boolean (n,): which of uint64 (n, 2) are among the sorted uint64 (m, 2). All are searched for in step."""
    low, high = np.zeros(len(uids), np.int64), np.full(len(uids), len(subset), np.int64)
    if not len(subset):
        return np.zeros(len(uids), bool)
    for _ in range(len(subset).bit_length()):
        middle = np.minimum((low + high) // 2, len(subset) - 1)
        below = (low < high) & _less(subset[middle], uids)
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
    return (low < len(subset)) & (subset[np.minimum(low, len(subset) - 1)] == uids).all(axis=1)


def _less(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left[:, 0] < right[:, 0]) | ((left[:, 0] == right[:, 0]) & (left[:, 1] < right[:, 1]))


@cache
def _sorted_subset(path: Path, changed: int) -> np.ndarray:
    """The file, read through once: a search in one that is out of order would silently drop samples."""
    subset = read_subset(path)
    for start in range(0, len(subset), _BLOCK):
        part = subset[start : start + _BLOCK + 1]
        if _less(part[1:], part[:-1]).any():
            raise PoolError(f"{path} is not sorted; numpy.sort it, as DataComp's files are")
    return subset
