"""Components: the same as by walking the graph, in memory and out of core, whatever the cut and the order."""

from __future__ import annotations

from random import Random

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import Columns, Relation
from curate.scan import MemoryScan
from stages.select.components import components, connected

NODES = 24
EDGES = st.lists(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)), min_size=1, max_size=40)


def walked(pairs: list[tuple[int, int]]) -> dict[int, int]:
    """Position -> lowest in its component, of positions that have a neighbour; by following edges."""
    near: dict[int, set[int]] = {}
    for a, b in pairs:
        if a != b:
            near.setdefault(a, set()).add(b)
            near.setdefault(b, set()).add(a)
    found: dict[int, int] = {}
    for start in sorted(near):
        reach = [start]
        while reach and (node := reach.pop()) is not None:
            if node not in found:
                found[node] = start
                reach.extend(near[node])
    return found


def relation(pairs: list[tuple[int, int]], shards: int = 1, partitions: int = 1, told: bool = False) -> Relation:
    """The pairs as rows in partitions; with `told` also a row per node that says ten times its number."""
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    loops = np.repeat(np.arange(NODES), 2).reshape(-1, 2)[: NODES if told else 0]
    ends = np.concatenate([ends, loops])
    scan = MemoryScan({"a": ends[:, 0], "b": ends[:, 1]}, shards, partitions)
    return scan.regroup(_with_word if told else _bare, _same, "a", "b")


def _bare(columns: Columns) -> pa.Table:
    return pa.table({"key": columns["position"] << np.uint64(33), "a": columns["a"], "b": columns["b"]})


def _with_word(columns: Columns) -> pa.Table:
    word = pa.array(10 * columns["a"], mask=columns["a"] != columns["b"])
    return _bare(columns).append_column("word", word)


def _same(table: pa.Table) -> pa.Table:
    return table


def rows(found: Relation) -> list[dict[str, int]]:
    return sorted(pa.concat_tables(found.map(_same)).to_pylist(), key=lambda row: row["position"])


@given(EDGES)
def test_positions_in_memory(pairs: list[tuple[int, int]]) -> None:
    parts = [np.array(pairs[:5], np.int64), np.array(pairs[5:], np.int64).reshape(-1, 2)]
    assert dict(components(parts).tolist()) == walked(pairs)


@given(EDGES, st.integers(1, 5), st.integers(1, 4), st.sampled_from([0, 3, 1 << 20]))
def test_relation_in_memory_and_out_of_core(
    pairs: list[tuple[int, int]], shards: int, partitions: int, limit: int
) -> None:
    found = rows(connected(relation(pairs, shards, partitions), limit))
    assert found == [{"position": node, "root": root} for node, root in sorted(walked(pairs).items())]


@given(EDGES, st.randoms(use_true_random=False), st.integers(1, 4), st.sampled_from([0, 1 << 20]))
def test_what_positions_are_like_comes_along_in_any_order(
    pairs: list[tuple[int, int]], random: Random, partitions: int, limit: int
) -> None:
    pairs = [pair for pair in pairs if pair[0] != pair[1]] or [(0, 1)]
    random.shuffle(pairs)
    found = rows(connected(relation(pairs, 2, partitions, told=True), limit))
    assert found == [{"position": n, "root": r, "word": 10 * n} for n, r in sorted(walked(pairs).items())]


def test_a_path_of_many_nodes_in_a_bad_order() -> None:
    nodes = np.random.default_rng(3).permutation(3000)
    path = list(zip(nodes[:-1].tolist(), nodes[1:].tolist(), strict=True))
    for limit in (0, 1 << 20):
        found = rows(connected(relation(path, 4, 3), limit))
        assert [row["position"] for row in found] == list(range(3000))
        assert {row["root"] for row in found} == {0}


def test_no_edges() -> None:
    assert components([]).shape == (0, 2)
    for limit in (0, 1 << 20):
        assert rows(connected(relation([(3, 3)]), limit)) == []
        assert rows(connected(relation([(3, 3)], told=True), limit)) == []
