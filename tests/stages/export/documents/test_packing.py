"""Packing: every token of every document once, cut only where it must be, and few places left empty."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.export.documents.packing import Piece, Unit, pack, pieces
from tests.stages.export.documents.pages import document

LENGTH = 16
SIZES = st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=12)


def units_of(sizes: list[tuple[bool, int]]) -> tuple[list[Unit], np.ndarray]:
    """Units as (image?, tokens), an image at most a sequence; all tokens are different."""
    record = document(0, [None if image else "text" for image, _ in sizes])
    counts = [min(size, LENGTH) if image else size for image, size in sizes]
    stream = np.arange(sum(counts), dtype=np.int32)
    parts = np.split(stream, np.cumsum(counts)[:-1]) if counts else []
    return [Unit(node, part) for node, part in zip(record.nodes, parts, strict=True)], stream


@settings(max_examples=200, deadline=None)
@given(sizes=SIZES)
def test_pieces_are_the_document_cut_at_nodes(sizes: list[tuple[bool, int]]) -> None:
    units, stream = units_of(sizes)
    found = pieces(document(0, []), units, LENGTH)
    assert [piece.number for piece in found] == list(range(len(found)))
    assert all(len(piece) <= LENGTH for piece in found)
    joined = np.concatenate([piece.tokens for piece in found]) if found else np.zeros(0, np.int32)
    assert joined.tolist() == stream.tolist()
    placed = [(piece, node) for piece in found for node in piece.nodes]
    assert [node.node for _, node in placed if node.part == 0] == [unit.node for unit in units]
    whole = {id(unit.node): unit.tokens for unit in units}
    for piece, node in placed:
        tokens = whole[id(node.node)]
        if len(tokens) <= LENGTH:  # an image, or a text that fits: never cut
            assert piece.tokens[node.start : node.start + len(tokens)].tolist() == tokens.tolist()
        else:
            assert piece.nodes == [node]
            assert piece.tokens.tolist() == tokens[node.part * LENGTH : (node.part + 1) * LENGTH].tolist()


def test_neighbouring_pieces_would_not_have_fitted_together() -> None:
    units, _ = units_of([(False, 9), (True, 7), (True, 1), (False, 16), (False, 3)])
    assert [len(piece) for piece in pieces(document(0, []), units, LENGTH)] == [16, 1, 16, 3]


@settings(max_examples=200, deadline=None)
@given(lengths=st.lists(st.integers(0, LENGTH), max_size=60))
def test_packing_is_complete_disjoint_and_dense(lengths: list[int]) -> None:
    found = pack(lengths, LENGTH)
    assert sorted(number for sequence in found for number in sequence) == list(range(len(lengths)))
    filled = [sum(lengths[number] for number in sequence) for sequence in found]
    assert max(filled, default=0) <= LENGTH
    assert all(sequence == sorted(sequence) for sequence in found)
    assert found == sorted(found)
    # Any-fit keeps all sequences but one more than half full.
    assert sum(2 * tokens <= LENGTH for tokens in filled) <= 1 or not any(lengths)


def reference(lengths: list[int], length: int) -> list[list[int]]:
    """Best-fit decreasing as its definition says it, by looking at every sequence."""
    sequences: list[list[int]] = []
    left: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        fitting = [(room, at) for at, room in enumerate(left) if room >= lengths[number]]
        _, at = min(fitting) if fitting else (0, len(sequences))
        if at == len(sequences):
            sequences.append([])
            left.append(length)
        sequences[at].append(number)
        left[at] -= lengths[number]
    return sorted(map(sorted, sequences))


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(0, 40), max_size=60))
def test_it_is_best_fit_decreasing(lengths: list[int]) -> None:
    assert pack(lengths, 40) == reference(lengths, 40)


def test_it_fills_where_a_perfect_packing_exists() -> None:
    draw = np.random.default_rng(3)
    lengths = [int(part) for _ in range(400) for part in _split(draw, 2048)]
    sequences = pack(lengths, 2048)
    assert sum(lengths) == 400 * 2048
    assert len(sequences) <= 404


def _split(draw: np.random.Generator, length: int) -> np.ndarray:
    cuts = np.sort(draw.integers(1, length, int(draw.integers(1, 8))))
    return np.diff([0, *cuts, length])


def test_a_piece_of_a_document_without_tokens() -> None:
    (piece,) = pieces(document(0, []), [Unit(None, np.zeros(0, np.int32))], LENGTH)
    assert isinstance(piece, Piece)
    assert pack([len(piece)], LENGTH) == [[0]]
