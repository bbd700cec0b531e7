"""MinHash signatures estimate the Jaccard similarity, and bands bring similar sets together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.schema import hash_words
from stages.select.minhash import bands, signatures
from stages.select.shingles import Sets

DRAW = np.random.default_rng(11)


def pairs(count: int, shared: int, own: int) -> Sets:
    """Sets of `shared` + `own` tokens; the 2i-th and the next share `shared` of them."""
    tokens = DRAW.integers(0, 2**64, (count, shared + 2 * own), dtype=np.uint64)
    both = np.stack([tokens[:, : shared + own], np.roll(tokens, own, axis=1)[:, : shared + own]], axis=1)
    return Sets(np.sort(both, axis=2).ravel(), np.full(2 * count, shared + own))


def test_signatures_agree_with_the_odds_of_the_similarity() -> None:
    for shared, own in ((7, 2), (70, 10), (10, 20), (30, 30)):
        signature = signatures(pairs(2000, shared, own), 128)
        agree = (signature[::2] == signature[1::2]).mean(axis=1)
        expected = shared / (shared + 2 * own)
        assert abs(agree.mean() - expected) < 0.01
        assert agree.std() < 1.3 * (expected * (1 - expected) / 128) ** 0.5


def test_bands_meet_with_the_documented_odds() -> None:
    for shared, own in ((14, 3), (16, 2), (38, 1)):
        keys = bands(signatures(pairs(3000, shared, own), 128), 16)
        met = (keys[::2] == keys[1::2]).any(axis=1).mean()
        similarity = shared / (shared + 2 * own)
        assert abs(met - (1 - (1 - similarity**8) ** 16)) < 0.04
    assert len(np.unique(keys[0])) == 16


@given(st.lists(st.sets(st.integers(0, 2**64 - 1), min_size=1, max_size=9), max_size=9))
def test_a_signature_is_its_sets_own(sets: list[set[int]]) -> None:
    """The lowest of (a x + b) mod 2^64, whatever stands beside it."""
    numbers = np.column_stack([np.arange(4, dtype=np.uint64), np.zeros(4, np.uint64)])
    factors = [int(a) | 1 for a in hash_words(0, numbers, "minhash factor")]
    offsets = [int(b) for b in hash_words(0, numbers, "minhash offset")]
    ragged = Sets(np.array([x for one in sets for x in sorted(one)], np.uint64), np.array([*map(len, sets)], np.int64))
    permuted = zip(factors, offsets, strict=True)
    expected = [[min((a * x + b) % 2**64 for x in one) >> 32 for a, b in permuted] for one in sets[:1]]
    assert signatures(ragged, 4)[:1].tolist() == expected
    alone = [signatures(Sets(np.array(sorted(one), np.uint64), np.array([len(one)])), 4)[0].tolist() for one in sets]
    assert signatures(ragged, 4).tolist() == alone
