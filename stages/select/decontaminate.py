"""Items of evaluation sets that samples match: by bytes, perceptual hash, embedding, or n-grams of a text.

A reference is Parquet, a row per item: `benchmark` (the set's name), `key`, and any of the columns that a pool has under
the same names. It is held in memory by each worker, with an index per means that is made once.
"""

from __future__ import annotations

from functools import lru_cache
from glob import glob
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.columns import to_numpy
from curate.contracts import Columns
from curate.errors import ModelError
from stages.select.hamming import HashIndex
from stages.select.looks import HASHES, same_color
from stages.select.products import BLOCK, reaching, unit
from stages.select.shingles import shingled, spans

LEAST_QUALITY: Final = 50
"""Of a PDQ hash, below which it says nothing."""
Source = tuple[tuple[str, int], ...]
"""The files of a reference, and when each was last written (ns)."""


class Matches(NamedTuple):
    """Row, item of the reference, and how near they are: bits that differ, or cosine, or share of n-grams; (m,) each."""

    rows: np.ndarray
    items: np.ndarray
    values: np.ndarray


def reference_files(reference: str) -> tuple[Path, ...]:
    """The Parquet files that a path, a folder or a glob stands for, sorted. Raises ModelError where there is nothing."""
    if Path(reference).is_dir():
        return tuple(sorted(Path(reference).rglob("*.parquet")))
    found = tuple(Path(path) for path in sorted(glob(reference, recursive=True)))
    if not found:
        made = "make one: python -m stages.export.reference OUT.parquet --benchmark NAME IMAGES"
        raise ModelError(f"there is no reference {reference}; {made}")
    return found


def source_of(reference: str) -> Source:
    """The files of a reference as they are now."""
    return tuple((str(path), path.stat().st_mtime_ns) for path in reference_files(reference))


@lru_cache(maxsize=8)
def items_of(source: Source, *names: str) -> pa.Table:
    """Columns `benchmark`, `key` and `names` of the items that have the first of these; all files are put together.

    A file without that column has no such items. Raises ModelError if none has it, and for files that are no reference.
    """
    tables = []
    for path, _ in source:
        try:
            known = set(pq.read_schema(path).names)
            if not {"benchmark", "key"} <= known:
                raise ModelError(f"{path} is no reference: it lacks the columns `benchmark` and `key`")
            if names[0] in known:
                table = pq.read_table(path, columns=["benchmark", "key", *names])
                tables.append(table.filter(pc.is_valid(table[names[0]])))
        except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
            raise ModelError(f"{path} is no reference with {', '.join(names)}: {error}") from error
    if not tables:
        raise ModelError(f"no reference has a column {names[0]!r}; leave it out of `by`, or make the reference again")
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def same_bytes(source: Source, columns: Columns) -> Matches:
    """Rows whose sha256 is an item's."""
    known = _digests(source)
    found = [(row, item) for row, value in enumerate(columns["sha256"].tolist()) for item in known.get(value, ())]
    rows, items = np.array(found, np.int64).reshape(-1, 2).T
    return Matches(rows, items, np.zeros(len(rows)))


def near_hashes(
    source: Source, by: Literal["phash", "pdq"], distance: int, color: int | None, columns: Columns
) -> Matches:
    """Rows whose hash differs in at most `distance` bits from an item's, and whose mean colour is the same."""
    has, hashes, colors = HASHES[by].read(columns, color is not None, LEAST_QUALITY)
    place = np.flatnonzero(has)
    listed, index, listed_colors = _hashes(source, by, distance, color is not None)
    found = np.concatenate([np.zeros((0, 3), np.int64), *index.near(hashes)])
    if color is not None:
        found = found[same_color(colors[found[:, 0]], listed_colors[found[:, 1]], color)]
    return Matches(place[found[:, 0]], listed[found[:, 1]], found[:, 2].astype(np.float64))


def near_vectors(source: Source, column: str, cosine: float, columns: Columns) -> Matches:
    """Rows whose embedding has a cosine above `cosine` with an item's."""
    vectors, listed = columns[column], _vectors(source, column)
    place = np.flatnonzero(np.isfinite(vectors).all(axis=1)) if vectors.ndim == 2 else np.zeros(0, np.int64)
    if len(place) and vectors.shape[1] != listed.shape[1]:
        raise ModelError(
            f"{column} has {vectors.shape[1]} values, in the reference {listed.shape[1]}: embed both alike"
        )
    parts = [np.zeros((0, 3))]
    for start in range(0, len(place), BLOCK):
        rows = place[start : start + BLOCK]
        block = unit(vectors[rows])
        for begin in range(0, len(listed), BLOCK):
            part = listed[begin : begin + BLOCK]
            row, item, value = reaching(block @ part.T, cosine, block, part)
            found = np.column_stack([rows[row], begin + item, value])
            parts.append(found[value > cosine])
    matches = np.concatenate(parts)
    return Matches(matches[:, 0].astype(np.int64), matches[:, 1].astype(np.int64), matches[:, 2])


def shared_grams(source: Source, column: str, words: int, overlap: float, columns: Columns) -> Matches:
    """Rows whose text has at least the share `overlap` of the word n-grams of an item's text of `words` words or more."""
    tokens, owners, sizes = _grams(source, column, words)
    place, sets = shingled(columns[column], words)
    low, high = (np.searchsorted(tokens, sets.tokens, side) for side in ("left", "right"))
    pairs = np.column_stack([np.repeat(place[sets.rows()], high - low), owners[spans(low, high - low)]])
    found, shared = np.unique(pairs, axis=0, return_counts=True)
    share = shared / np.maximum(sizes[found[:, 1]], 1)
    enough = share >= overlap
    return Matches(found[enough, 0], found[enough, 1], share[enough])


def nearest_per_benchmark(matches: Matches, items: pa.Table, lowest: bool) -> Matches:
    """Of each row and benchmark the nearest item, then the first; by row, then benchmark. `lowest`: what is nearer."""
    names = items["benchmark"].take(pa.array(matches.items)).to_pylist()
    _, which = np.unique(np.array(names, object).astype(str), return_inverse=True)
    order = np.lexsort((matches.items, matches.values if lowest else -matches.values, which, matches.rows))
    rows, which = matches.rows[order], which[order]
    first = np.ones(len(order), bool)
    first[1:] = (rows[1:] != rows[:-1]) | (which[1:] != which[:-1])
    return Matches(*(values[order][first] for values in matches))


@lru_cache(maxsize=2)
def _digests(source: Source) -> dict[bytes, list[int]]:
    """Digest -> the items that have it."""
    found: dict[bytes, list[int]] = {}
    for item, value in enumerate(items_of(source, "sha256")["sha256"].to_pylist()):
        found.setdefault(value, []).append(item)
    return found


@lru_cache(maxsize=4)
def _hashes(
    source: Source, by: Literal["phash", "pdq"], distance: int, colored: bool
) -> tuple[np.ndarray, HashIndex, np.ndarray]:
    """Items whose hash says something, an index of those, and their mean colours."""
    names = HASHES[by].columns(colored)
    items = items_of(source, *names)
    has, hashes, colors = HASHES[by].read({name: to_numpy(items[name]) for name in names}, colored, LEAST_QUALITY)
    return np.flatnonzero(has), HashIndex(hashes, distance), colors


@lru_cache(maxsize=2)
def _vectors(source: Source, column: str) -> np.ndarray:
    """float32 (items, d), of unit length."""
    items = items_of(source, column)[column]
    values = pc.list_flatten(items).to_numpy()
    if len(items) == 0 or len(values) % len(items):
        raise ModelError(f"the reference's {column!r} are no vectors of one width")
    return unit(values.reshape(len(items), -1))


@lru_cache(maxsize=2)
def _grams(source: Source, column: str, words: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The n-grams of items that have one, sorted, uint64 (m,); the item of each; and of each item how many it has."""
    texts = np.array(
        [text if len(text.split()) >= words else None for text in items_of(source, column)[column].to_pylist()], object
    )
    place, sets = shingled(texts, words)
    sizes = np.zeros(len(texts), np.int64)
    sizes[place] = sets.sizes
    order = np.argsort(sets.tokens, kind="stable")
    return sets.tokens[order], place[sets.rows()][order], sizes
