"""Whether a document's paragraphs stand in an order that makes sense: neighbours are more alike than chance has it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Columns, DocumentFact
from curate.documents import spans
from curate.errors import MissingExtra
from curate.schema import IMAGE, TEXT

PARAGRAPHS: Final = 256
"""Texts of a document that count, from its beginning: the similarity of all of them with all is computed."""
FEWEST: Final = 4
"""Texts below which an order says nothing."""
HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
_UNSPACED: Final = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+")
"""Runs of letters and digits; scripts without spaces between words (Thai, Lao, Burmese, Khmer, kana, Han) by themselves."""
_APART: Final = re.compile(rf"[{_UNSPACED}]")


class Coherence(DocumentFact):
    """How much more alike neighbouring paragraphs are than they would be in a random order of the same paragraphs.

    Lexical cohesion (Hearst 1997, TextTiling) as an exact permutation test: the sum of similarities along the document
    is compared with its mean and variance over all n! orders, which have a closed form (Mantel 1967). `order_words`:
    cosine of the sets of words, rare ones of the document weighing more, in any language. `order_meaning`: cosine of
    embeddings, if their column is given. Texts that are one link do not count: menus are in order, too. Barzilay and
    Lapata (2008) validate such scores on shuffled texts.
    """

    embedding: str | None = Field(default=None, description="column of the paragraphs' embeddings: passage_embedding")

    def inputs(self) -> tuple[str, ...]:
        """Text, tag and link of each node, and the embedding if it is given."""
        return ("text", "tag", "link", *([self.embedding] if self.embedding else []))

    def gives(self) -> dict[str, pa.DataType]:
        """order_words, order_meaning: standard deviations above the mean of all orders, about 0 for a random one; null
        for fewer than four texts. headings_empty: share of headings under which nothing stands before the next heading
        of their level or a higher one, 0 to 1; null without headings."""
        meaning = {"order_meaning": pa.float32()} if self.embedding else {}
        return {"order_words": pa.float32(), **meaning, "headings_empty": pa.float32()}

    def compute(self, columns: Columns, state: dict[str, np.ndarray]) -> dict[str, Sequence[Any] | np.ndarray]:
        """Document by document."""
        found = {name: np.full(len(columns["kind"]), None, object) for name in self.gives()}
        for document, nodes in spans(columns):
            kinds, tags = columns["kind"][nodes], columns["tag"][nodes]
            unlinked = np.array([link is None for link in columns["link"][nodes].tolist()], bool)
            texts = np.flatnonzero((kinds == TEXT) & unlinked)[:PARAGRAPHS]
            words = [vocabulary(text or "") for text in columns["text"][nodes][texts].tolist()]
            found["order_words"][document] = adjacency(word_products(words)) if len(words) >= FEWEST else None
            found["headings_empty"][document] = empty_headings(kinds.tolist(), tags.tolist())
            if self.embedding:
                vectors = np.rint(4096 * np.nan_to_num(columns[self.embedding][nodes][texts].astype(np.float64)))
                found["order_meaning"][document] = adjacency(vectors @ vectors.T)
        return {**found}


def vocabulary(text: str) -> frozenset[str]:
    """Words of three letters or more, in lower case; where a script has no spaces, pairs of neighbouring characters."""
    found: set[str] = set()
    for run in _WORD.findall(text.lower()):
        if not run.isascii() and _APART.match(run):
            found.update(run[i : i + 2] for i in range(len(run) - 1))
        elif len(run) > 2:
            found.add(run)
    return frozenset(found)


def word_products(sets: Sequence[frozenset[str]]) -> np.ndarray:
    """float64 (n, n) of whole numbers: products of sets of words, rarer words among these sets weighing more.

    Words of one set alone add to its length only. The others are a sparse matrix: a page may have a million words, each in
    two of its paragraphs. Raises MissingExtra("scipy").
    """
    try:
        from scipy.sparse import csr_array
    except ImportError as error:
        raise MissingExtra("scipy", extra="documents") from error
    counts = Counter(word for words in sets for word in words)
    columns = {word: i for i, word in enumerate(word for word, count in counts.items() if count > 1)}
    weights = np.rint(16 * np.log2((len(sets) + 1) / np.arange(1, len(sets) + 1)))
    shared = [[word for word in words if word in columns] for words in sets]
    values = weights[np.fromiter((counts[word] - 1 for words in shared for word in words), np.int64)]
    places = np.fromiter((columns[word] for words in shared for word in words), np.int64)
    ends = np.cumsum([0, *map(len, shared)])
    rows = csr_array((values, places, ends), shape=(len(sets), len(columns)))
    products: np.ndarray = (rows @ rows.T).toarray()
    alone = np.array([len(words) - len(known) for words, known in zip(sets, shared, strict=True)])
    return products + np.diag(np.rint(weights[0] * np.sqrt(alone)) ** 2)


def adjacency(products: np.ndarray) -> float | None:
    """How many standard deviations the cosine of neighbours lies above its mean over all orders; None: too few.

    `products`: float64 (n, n), of rows of whole numbers: exact, however many threads add them up.
    """
    n = len(products)
    if n < FEWEST:
        return None
    lengths = np.sqrt(np.diagonal(products))
    alike = products / np.maximum(np.outer(lengths, lengths), 1.0)
    np.fill_diagonal(alike, 0.0)
    mean, variance = path_moments(alike)
    apart = float(np.trace(alike, 1)) - mean
    return 0.0 if variance < 1e-12 else apart / float(np.sqrt(variance))


def path_moments(alike: np.ndarray) -> tuple[float, float]:
    """Mean and variance, over all orders of n >= 4 things, of the sum of `alike` (n, n) between neighbours.

    Symmetric, with a diagonal of 0. A path has n - 1 steps; of two of them n - 2 pairs share a thing (Mantel 1967).
    """
    n, steps = len(alike), len(alike) - 1
    pairs = n * (n - 1) / 2
    total, squares = alike.sum() / 2, (alike**2).sum() / 2
    touching = (alike.sum(axis=1) ** 2).sum() / 2 - squares
    apart = (total**2 - squares - 2 * touching) / 2
    same = steps * squares / pairs
    shared = 2 * touching / pairs  # 2 (n - 2) of them, each the mean over pairs * (n - 2)
    others = steps * (steps - 1) - 2 * (n - 2)
    separate = others * apart / (pairs * (n - 2) * (n - 3) / 4)
    mean = steps * total / pairs
    return float(mean), float(same + shared + separate - mean**2)


def empty_headings(kinds: Sequence[str], tags: Sequence[str | None]) -> float | None:
    """Share of headings after which the document ends or a heading of the same or a higher level comes at once."""
    headings = [i for i, (kind, tag) in enumerate(zip(kinds, tags, strict=True)) if kind != IMAGE and tag in HEADINGS]
    if not headings:
        return None
    following = [tags[i + 1] if i + 1 < len(tags) and kinds[i + 1] != IMAGE else None for i in headings]
    ends = [i + 1 == len(tags) for i in headings]
    empty = [
        end or (after in HEADINGS and str(after) <= str(tags[i]))
        for i, after, end in zip(headings, following, ends, strict=True)
    ]
    return sum(empty) / len(empty)
