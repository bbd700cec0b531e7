"""Numbers as people write them."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """A number with its noun: `1 shard`, `1,200 texts`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
