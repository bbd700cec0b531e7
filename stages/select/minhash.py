"""MinHash signatures and their bands: sets that share a band are probably similar."""

from __future__ import annotations

from typing import Final

import numpy as np

from curate.schema import hash_words
from stages.select.shingles import Sets

_CACHE_TOKENS: Final = 1 << 13
"""Tokens that are permuted at a time: 64 KiB, which stay in the second-level cache for all permutations."""


def signatures(sets: Sets, permutations: int) -> np.ndarray:
    """uint32 (n, permutations): per set the lowest hash of its tokens under each permutation; no set may be empty.

    Two sets agree in a place with the odds of their Jaccard similarity (Broder 1997, "On the resemblance and
    containment of documents"). Permutation i is multiply-add-shift (Dietzfelbinger 1996) of the 64-bit token x: the
    high half of (a_i x + b_i) mod 2^64, a_i odd; a and b are `hash_words` of i.
    """
    numbers = np.column_stack([np.arange(permutations, dtype=np.uint64), np.zeros(permutations, np.uint64)])
    factors = hash_words(0, numbers, "minhash factor") | np.uint64(1)
    offsets = hash_words(0, numbers, "minhash offset")
    found = np.empty((permutations, len(sets.sizes)), np.uint64)
    for place, part in sets.chunks(_CACHE_TOKENS):
        begins, hashes = part.begins, np.empty_like(part.tokens)
        for lowest, factor, offset in zip(found, factors, offsets, strict=True):
            np.multiply(part.tokens, factor, out=hashes)
            np.add(hashes, offset, out=hashes)
            np.minimum.reduceat(hashes, begins, out=lowest[place])
    return (found.T >> np.uint64(32)).astype(np.uint32)


def bands(signature: np.ndarray, count: int) -> np.ndarray:
    """uint64 (n, count): a key per band of equally many places, equal where all of the band's places and its number are.

    Other bands get the same key with odds of 2^-32 at most, which makes a candidate more. With b bands of r places two
    sets of similarity s share one with odds 1 - (1 - s^r)^b: for 16 of 8 at s = 0.7 that is 0.61, at 0.8 0.95, at 0.9
    0.9999.
    """
    places = signature.astype(np.uint64).reshape(len(signature), count, signature.shape[1] // count)
    numbers = np.arange(places.shape[2], dtype=np.uint64)
    factors = hash_words(0, np.column_stack([numbers, numbers]), "band factor") | np.uint64(1)
    sums = np.einsum("nbr,r->nb", places, factors)
    band = np.broadcast_to(np.arange(count, dtype=np.uint64), sums.shape)
    return hash_words(0, np.column_stack([sums.ravel(), band.ravel()]), "band").reshape(sums.shape)
