"""Connected components of a graph of any size: in memory as long as a spanning forest fits, else out of core."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa

from curate.contracts import Relation
from curate.schema import hash_words

FOREST_EDGES: Final = 1 << 24
"""Edges (of 16 bytes; their union takes about 100 bytes each) of a spanning forest that is held in memory."""
_UNKNOWN: Final = np.iinfo(np.int64).max


def components(pairs: Iterable[np.ndarray]) -> np.ndarray:
    """int64 (n, 2), sorted: each position that pairs connect with another, and the lowest one in its component.

    `pairs`: arrays int64 (m, 2) of positions; empty ones, repeated pairs and pairs of a position with itself are fine.
    Holds all pairs in memory.
    """
    found = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    found = found[found[:, 0] != found[:, 1]]
    nodes, places = np.unique(found, return_inverse=True)
    return np.column_stack([nodes, nodes[_lowest(len(nodes), places.reshape(-1, 2))]])


def connected(edges: Relation, limit: int = FOREST_EDGES) -> Relation:
    """Rows `position` and `root`, int64: each position that edges connect with another, and the lowest in its component.

    `edges` has columns `a` and `b`, int64: positions that belong together, in any order and as often as you like. A row
    with a = b says what position a is like: its other columns (the same in all rows, null in true edges) come along in
    the result. Positions that no edge connects are left out.

    Each partition is reduced to a spanning forest. While all forests together have at most `limit` edges, they are
    joined in memory; beyond that by alternating large-star and small-star operations (Kiveris et al. 2014, "Connected
    Components in MapReduce and Beyond", section 3). That needs room for the neighbours of one position at a time.
    """
    forest = _forest(edges.map(_own_forest), limit)
    if forest is not None:
        return edges.regroup(partial(_looked_up, forest), _per_position)
    return _stars(edges).regroup(_as_found, _per_position)


def _lowest(n: int, pairs: np.ndarray) -> np.ndarray:
    """int64 (n,): per item the lowest one that pairs, int64 (m, 2), connect it with.

    Each round hooks every tree onto the lowest of its neighbours, then flattens: about log(n) rounds.
    """
    root = np.arange(n)
    while len(pairs):
        ends = root[pairs]
        pairs = ends[ends[:, 0] != ends[:, 1]]
        np.minimum.at(root, pairs.max(axis=1, initial=0), pairs.min(axis=1, initial=_UNKNOWN))
        while not np.array_equal(root, flat := root[root]):
            root = flat
    return root


def _own_forest(table: pa.Table) -> np.ndarray:
    return _branches(components([_ends(table)]))


def _branches(rows: np.ndarray) -> np.ndarray:
    """Edges of a forest from rows of position and root."""
    return rows[rows[:, 0] != rows[:, 1]]


def _forest(parts: Iterator[np.ndarray], limit: int) -> np.ndarray | None:
    """int64 (n, 2) as `components` gives it, or None where the forest has more than `limit` edges."""
    held: list[np.ndarray] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) > limit:
            held = [_branches(components(held))]
            if len(held[0]) > limit:
                return None
    return components(held)


def _looked_up(forest: np.ndarray, table: pa.Table) -> pa.Table:
    """Rows of `_per_position` from a table of edges, by a forest that is known."""
    ends = _ends(table)
    positions = _distinct(ends[ends[:, 0] != ends[:, 1]].ravel())
    loops = np.flatnonzero(ends[:, 0] == ends[:, 1])
    at = np.minimum(np.searchsorted(forest[:, 0], ends[loops, 0]), max(0, len(forest) - 1))
    known = forest[at, 0] == ends[loops, 0] if len(forest) else np.zeros(len(loops), bool)
    roots = forest[np.searchsorted(forest[:, 0], positions), 1]
    return _found(table, loops[known], forest[at[known], 1], positions, roots)


def _as_found(table: pa.Table) -> pa.Table:
    """Rows of `_per_position` from stars."""
    ends = _ends(table)
    loop = ends[:, 0] == ends[:, 1]
    rays = ends[~loop]
    positions, roots = np.concatenate([rays[:, 0], rays[:, 1]]), np.concatenate([rays[:, 1], rays[:, 1]])
    loops = np.flatnonzero(loop)
    return _found(table, loops, np.full(len(loops), _UNKNOWN), positions, roots)


def _found(
    table: pa.Table, loops: np.ndarray, loop_roots: np.ndarray, positions: np.ndarray, roots: np.ndarray
) -> pa.Table:
    """Columns key, position, root, told (this row has the position's other columns), and those."""
    told = np.arange(len(loops) + len(positions)) < len(loops)
    position = np.concatenate([_column(table, "a")[loops], positions])
    columns = {"key": _hash(position), "position": position, "root": np.concatenate([loop_roots, roots]), "told": told}
    return pa.table({**columns, **_carried(table, loops, len(positions))})


def _per_position(table: pa.Table) -> pa.Table:
    """One row for each position that has a root."""
    position, root = _column(table, "position"), _column(table, "root")
    order = np.lexsort((~table["told"].to_numpy(), position))
    begins = _begins(position[order])
    lowest = np.minimum.reduceat(root[order], begins) if len(begins) else root
    rows = order[begins][lowest != _UNKNOWN]
    table = table.take(pa.array(rows)).drop_columns(["key", "told"])
    return table.set_column(table.column_names.index("root"), "root", pa.array(lowest[lowest != _UNKNOWN]))


def _stars(edges: Relation) -> Relation:
    """Edges (position, root) of every component; what positions are like comes along."""
    before: tuple[int, int] | None = None
    while True:
        edges = edges.regroup(_both_ways, _large_stars).regroup(_downwards, _small_stars)
        after = _digest(edges)
        if after == before:
            return edges
        before = after


def _both_ways(table: pa.Table) -> pa.Table:
    ends = _ends(table)
    true = ends[ends[:, 0] != ends[:, 1]]
    return _keyed(table, np.concatenate([true, true[:, ::-1]]))


def _downwards(table: pa.Table) -> pa.Table:
    ends = _ends(table)
    true = ends[ends[:, 0] != ends[:, 1]]
    return _keyed(table, np.column_stack([true.max(axis=1, initial=0), true.min(axis=1, initial=_UNKNOWN)]))


def _large_stars(table: pa.Table) -> pa.Table:
    """Connects the larger neighbours of each node with the lowest of its neighbourhood, itself among it."""
    edges, lowest = _neighbours(table)
    larger = edges[:, 1] > edges[:, 0]
    alone = ~np.isin(_column(table, "a"), edges[:, 0])
    return _keyed(table.filter(pa.array(~alone)), np.column_stack([edges[larger, 1], lowest[larger]]))


def _small_stars(table: pa.Table) -> pa.Table:
    """Connects each node and its smaller neighbours, which are all it is given, with the lowest of them."""
    edges, lowest = _neighbours(table)
    other = edges[:, 1] != lowest
    rays = [np.column_stack([edges[:, 0], lowest]), np.column_stack([edges[other, 1], lowest[other]])]
    return _keyed(table, np.concatenate(rays))


def _neighbours(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The distinct edges (node, neighbour), sorted, and for each the lowest of node and its neighbours."""
    ends = _ends(table)
    true = _distinct_rows(ends[ends[:, 0] != ends[:, 1]])
    begins = _begins(true[:, 0])
    sizes = np.diff(np.append(begins, len(true)))
    return true, np.minimum(np.repeat(true[begins, 1], sizes), true[:, 0])


def _keyed(table: pa.Table, edges: np.ndarray) -> pa.Table:
    """The distinct edges, and the table's rows of a = b, by node."""
    a = _column(table, "a")
    loops, edges = np.flatnonzero(a == _column(table, "b")), _distinct_rows(edges)
    ends = np.concatenate([np.column_stack([a[loops], a[loops]]), edges])
    columns = {"key": _hash(ends[:, 0]), "a": ends[:, 0], "b": ends[:, 1]}
    return pa.table({**columns, **_carried(table, loops, len(edges))})


def _carried(table: pa.Table, rows: np.ndarray, nulls: int) -> dict[str, pa.Array]:
    """Other columns of some rows, then nulls."""
    at = pa.array(
        np.append(rows, np.zeros(nulls, np.int64)), pa.int64(), mask=np.arange(len(rows) + nulls) >= len(rows)
    )
    names = [name for name in table.column_names if name not in ("key", "a", "b")]
    return {name: table[name].take(at) for name in names}


def _digest(edges: Relation) -> tuple[int, int]:
    """How many rows, and a sum of their hashes: equal for equal rows in any order."""
    parts = list(edges.map(_hash_sum))
    return edges.rows, sum(parts) & (2**64 - 1)


def _hash_sum(table: pa.Table) -> int:
    return int(hash_words(0, _ends(table).astype(np.uint64), "edge").sum())


def _ends(table: pa.Table) -> np.ndarray:
    return np.column_stack([_column(table, "a"), _column(table, "b")])


def _column(table: pa.Table, name: str) -> np.ndarray:
    found: np.ndarray = table[name].to_numpy()
    return found


def _hash(positions: np.ndarray) -> np.ndarray:
    words = positions.astype(np.uint64)
    return hash_words(0, np.column_stack([words, np.zeros_like(words)]), "position")


def _distinct(values: np.ndarray) -> np.ndarray:
    values = np.sort(values)
    return values[_begins(values)]


def _distinct_rows(rows: np.ndarray) -> np.ndarray:
    """Sorted by the first, then the second column."""
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    first = np.ones(len(rows), bool)
    first[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return rows[first]


def _begins(values: np.ndarray) -> np.ndarray:
    """Where runs of equal values begin."""
    first = np.ones(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    return np.flatnonzero(first)
