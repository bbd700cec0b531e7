"""Captions with planted near-duplicates: pseudo-words of a natural frequency law, and the ways in which captions recur.

    python -m benchmarks.data.captions_planted 20000 captions.parquet

Of a hundred, 5 are copies of an earlier caption, 12 are one with a word changed, added or left out (which may or may not
leave them alike, as short ones lose more), 3 come from shop templates that share most words, 3 are file names, 2 are
boilerplate and 1 repeats one word; the rest are captions of their own. The truth is what all pairs say (`groups`).
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VOCABULARY: Final = 20_000
ONSETS, VOWELS, CODAS = tuple("bdfgklmnprstvz"), tuple("aeiou"), ("", "n", "r", "s")
BOILERPLATE: Final = ("Image not available", "Click here to buy now", "Photo by the author", "All rights reserved")
KINDS: Final = {"copy": 0.05, "near": 0.12, "shop": 0.03, "file": 0.03, "boilerplate": 0.02, "repeated": 0.01}


def captions(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """So many captions and the kind of each: a key of `KINDS`, or `own`. The first of more are those of fewer."""
    draw = np.random.default_rng(seed)
    words = _vocabulary(draw)
    odds = np.array([*KINDS.values(), 1 - sum(KINDS.values())])
    texts: list[str] = []
    kinds: list[str] = []
    while len(texts) < count:
        block = draw.choice([*KINDS, "own"], 1024, p=odds).tolist()
        for kind in block:
            texts.append(_caption(kind, texts, words, draw))
        kinds.extend(block)
    return texts[:count], kinds[:count]


def groups(texts: Sequence[str], p: int = 7, q: int = 10) -> list[int]:
    """Per caption the lowest index that a chain of pairs with a Jaccard similarity of at least p/q, of sets of word
    2-grams, connects it with. By counting what each pair with a common 2-gram shares: nothing is estimated or left out.
    """
    sets = [_grams(text) for text in texts]
    having: dict[tuple[str, ...], list[int]] = defaultdict(list)
    root = list(range(len(texts)))
    for i, grams in enumerate(sets):
        shared = Counter(j for gram in grams for j in having[gram])
        for j, both in shared.items():
            if q * both >= p * (len(grams) + len(sets[j]) - both):
                low, high = sorted((_root(root, i), _root(root, j)))
                root[high] = low
        for gram in grams:
            having[gram].append(i)
    return [_root(root, i) for i in range(len(texts))]


def _grams(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + 2]) for i in range(max(1, len(words) - 1))} if words else set()


def _root(root: list[int], i: int) -> int:
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


def _vocabulary(draw: np.random.Generator) -> list[str]:
    """Pseudo-words of one to three syllables."""
    syllables = [onset + vowel for onset in ONSETS for vowel in VOWELS]
    made: dict[str, None] = {}
    while len(made) < VOCABULARY:
        picked = draw.integers(0, len(syllables), (4096, 3)).tolist()
        lengths, codas = draw.integers(1, 4, 4096).tolist(), draw.integers(0, len(CODAS), 4096).tolist()
        for parts, length, coda in zip(picked, lengths, codas, strict=True):
            made.setdefault("".join(syllables[part] for part in parts[:length]) + CODAS[coda])
    return list(made)[:VOCABULARY]


def _some(words: list[str], count: int, draw: np.random.Generator) -> list[str]:
    """Words of which the n-th is drawn about 1/n as often as the first."""
    ranks = np.exp(draw.random(count) * np.log(len(words))).astype(int)
    return [words[rank - 1] for rank in ranks.tolist()]


def _caption(kind: str, before: list[str], words: list[str], draw: np.random.Generator) -> str:
    if kind == "boilerplate":
        return BOILERPLATE[int(draw.integers(len(BOILERPLATE)))]
    if kind == "file":
        return f"IMG_{int(draw.integers(10_000)):04d}.jpg"
    if kind == "shop":
        return f"Buy the {' '.join(_some(words, 2, draw))} at shop {int(draw.integers(50))} today with free delivery"
    if kind == "repeated":
        return " ".join(_some(words, 1, draw) * int(draw.integers(3, 15)))
    if kind == "own" or not before:
        return " ".join(_some(words, max(3, int(draw.lognormal(2.3, 0.45))), draw)).capitalize()
    earlier = before[int(draw.integers(len(before)))]
    return earlier if kind == "copy" else _changed(earlier.split(), words, draw)


def _changed(caption: list[str], words: list[str], draw: np.random.Generator) -> str:
    """One word replaced, added or left out."""
    at, how = int(draw.integers(len(caption))), int(draw.integers(3))
    if how == 2 and len(caption) > 1:
        return " ".join(caption[:at] + caption[at + 1 :])
    return " ".join([*caption[:at], *_some(words, 1, draw), *caption[at + (how == 0) :]])


def main(count: int, path: str) -> None:
    """Write the columns `text` and `kind`."""
    texts, kinds = captions(count)
    pq.write_table(pa.table({"text": texts, "kind": kinds}), path)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
