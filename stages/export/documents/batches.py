"""Record batches of bounded size: how both formats of Arrow's are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: Callable[[T], int], rows: int, largest: int) -> Iterator[list[T]]:
    """Items in order, at most `rows` at a time, and no more bytes (`size`) than `largest` unless one item alone has more."""
    batch: list[T] = []
    held = 0
    for item in items:
        if batch and (len(batch) == rows or held + size(item) > largest):
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += size(item)
    if batch:
        yield batch
