"""Documents in row-aligned columns: a document's row, then those of its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from curate.contracts import Columns
from curate.schema import DOCUMENT


def spans(columns: Columns) -> Iterator[tuple[int, slice]]:
    """(the document's place, the places of its nodes) for each document, in order; nodes may be none.

    `columns`: as a `DocumentFact` gets them. A node's document is always there: dropping it drops its nodes.
    """
    starts = np.flatnonzero(columns["kind"] == DOCUMENT).tolist()
    for start, end in pairwise([*starts, len(columns["kind"])]):
        yield start, slice(start + 1, end)


def owners(columns: Columns) -> np.ndarray:
    """int64 (n,): for each row, which document it belongs to, counted from 0."""
    return np.cumsum(columns["kind"] == DOCUMENT) - 1
