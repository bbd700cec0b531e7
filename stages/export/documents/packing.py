"""Documents as token sequences of one length: cut where they are too long, packed where they are short.

A document becomes a run of tokens with a span of placeholders for each image. One that is longer than a sequence is cut
into pieces between nodes, and inside a text only where that text alone is longer; an image's span is never cut. Pieces
then share sequences by best-fit decreasing, as in Ding et al. 2024, "Fewer Truncations Improve Language Modeling"
(arXiv:2404.10830, section 2.2): the longest first, each into the sequence that it fills best. No token is lost, and none
comes twice.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from curate.contracts import NodeRecord, Record


@dataclass(frozen=True)
class Unit:
    """A node's tokens, int32 (n,): of an image all placeholders. `lead`: how many before them belong to the document
    (its opening token)."""

    node: NodeRecord | None  # None: a document without nodes
    tokens: np.ndarray
    lead: int = 0


@dataclass(frozen=True)
class Placed:
    """A node, or a part of a long text, at its place in a piece. `part`: which, from 0."""

    node: NodeRecord
    start: int
    part: int = 0


@dataclass
class Piece:
    """What one sequence takes of one document; the whole of it, if it is not too long. `number`: which, from 0."""

    record: Record
    number: int
    tokens: np.ndarray
    nodes: list[Placed] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tokens)


def pieces(record: Record, units: Iterable[Unit], length: int) -> list[Piece]:
    """A document's units as pieces of at most `length` tokens; only a unit of a text may be longer than that."""
    found: list[Piece] = []
    waiting: list[Unit] = []
    held = 0
    for unit in units:
        if waiting and held + len(unit.tokens) > length:
            found.append(_piece(record, len(found), waiting))
            waiting, held = [], 0
        if len(unit.tokens) <= length:
            waiting.append(unit)
            held += len(unit.tokens)
        else:
            found += _cut(record, len(found), unit, length)
    if waiting:
        found.append(_piece(record, len(found), waiting))
    return found


def _piece(record: Record, number: int, units: Sequence[Unit]) -> Piece:
    starts = np.cumsum([0, *(len(unit.tokens) for unit in units)]).tolist()
    nodes = [Placed(u.node, start + u.lead) for u, start in zip(units, starts, strict=False) if u.node is not None]
    return Piece(record, number, np.concatenate([unit.tokens for unit in units]), nodes)


def _cut(record: Record, number: int, unit: Unit, length: int) -> Iterator[Piece]:
    """Pieces of one text that is longer than a sequence."""
    assert unit.node is not None
    for part, start in enumerate(range(0, len(unit.tokens), length)):
        placed = Placed(unit.node, unit.lead if part == 0 else 0, part)
        yield Piece(record, number + part, unit.tokens[start : start + length], [placed])


def pack(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Sequences as lists of piece numbers: best-fit decreasing, ties by number.

    A sequence's pieces are in their order, and so are the sequences, by their first piece.
    """
    rooms: list[tuple[int, int]] = []  # (what is left, sequence), sorted
    sequences: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        at = bisect_left(rooms, (lengths[number], -1))
        left, sequence = rooms.pop(at) if at < len(rooms) else (length, len(sequences))
        if sequence == len(sequences):
            sequences.append([])
        sequences[sequence].append(number)
        insort(rooms, (left - lengths[number], sequence))
    return sorted(sorted(sequence) for sequence in sequences)
