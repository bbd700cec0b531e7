"""The one comparison that most filters make."""

from __future__ import annotations

import numpy as np

from curate.contracts import Bounds, Columns


def within(values: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    """Boolean (n,): low <= value <= high, where a limit of None does not limit. Missing numbers (NaN) are outside."""
    inside = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(len(values), bool)
    if low is not None:
        inside &= values >= low
    if high is not None:
        inside &= values <= high
    return inside


def all_within(columns: Columns, bounds: Bounds) -> np.ndarray:
    """Boolean (n,): every bounded column lies within its bounds."""
    return np.logical_and.reduce([within(columns[name], *limits) for name, limits in bounds.items()])
