"""What a fact of the pool, or of documents, says of the rows of a shard: columns, and a state for each row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from curate.columns import scatter, to_arrow
from curate.contracts import Columns, PoolFact, State
from curate.planner import Node
from curate.pool import Shard
from curate.schema import ABSENT, COMPUTED, SKIPPED

FAMILY = ("kind", "parent")
"""Columns that a fact about documents always gets."""


def packed(shard: Shard, rows: np.ndarray) -> bytes:
    """Row numbers of a shard as one bit per row."""
    mask = np.zeros(shard.rows, bool)
    mask[rows] = True
    return np.packbits(mask).tobytes()


def answer(
    node: Node, columns: Columns, rows: np.ndarray, total: int, kind: pa.ChunkedArray | None, state: State
) -> tuple[dict[str, pa.Array], np.ndarray]:
    """What a fact of the pool or of documents says of some rows of a shard: columns of `total` rows (by the names that
    the step gives), and the state of each row. `kind`: of every row, None for pairs."""
    assert isinstance(node.step, PoolFact)
    about = np.ones(total, bool)
    if node.kinds and kind is not None:
        about[:] = np.isin(kind.to_numpy(), node.kinds)
    states = np.where(about, SKIPPED, ABSENT).astype(np.int8)
    given = node.step.compute(columns, state)
    own = about[rows]
    at = rows[own]
    states[at] = COMPUTED
    values = {}
    for name, type_ in node.step.gives().items():
        column = to_arrow(given[name], type_, len(rows), name)
        values[name] = scatter([(at, column.filter(pa.array(own)))], total, type_)
    return values, states
