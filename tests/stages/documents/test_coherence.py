"""Order of paragraphs: the closed form against all orders, scripts without spaces, menus, headings."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.documents.coherence import (
    PARAGRAPHS,
    Coherence,
    adjacency,
    empty_headings,
    path_moments,
    vocabulary,
    word_products,
)

TOPICS = [
    "the cat sat on the mat",
    "cats like mats and milk",
    "milk comes from cows",
    "cows graze on green meadows",
    "meadows are mown in june",
    "june nights are short",
    "short nights tire astronomers",
    "astronomers like stars",
]
Row = tuple[str, str | None, str | None, str | None]


def page(rows: list[Row]) -> dict[str, np.ndarray]:
    """Columns of one document from (kind, tag, text, link)."""
    names = ("kind", "tag", "text", "link")
    lists = zip(*[("document", None, "title", None), *rows], strict=True)
    return {name: np.array(values, object) for name, values in zip(names, lists, strict=True)}


def order(texts: list[str]) -> float:
    found = Coherence().compute(page([("text", "p", text, None) for text in texts]), {})["order_words"][0]
    assert found is not None
    return float(found)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 9), min_size=15, max_size=15), st.integers(4, 6))
def test_moments_are_those_of_all_orders(values: list[int], n: int) -> None:
    alike = np.zeros((n, n))
    alike[np.triu_indices(n, 1)] = values[: n * (n - 1) // 2]
    alike += alike.T
    sums = [sum(alike[a, b] for a, b in pairwise(way)) for way in permutations(range(n))]
    assert path_moments(alike) == pytest.approx((np.mean(sums), np.var(sums)), abs=1e-9)


def test_a_text_in_order_stands_out_from_its_shuffles() -> None:
    shuffles = [np.random.default_rng(seed).permutation(TOPICS).tolist() for seed in range(30)]
    assert order(TOPICS) > 2
    assert order(TOPICS) > max(order(shuffled) for shuffled in shuffles)
    assert abs(np.mean([order(shuffled) for shuffled in shuffles])) < 0.5


@given(st.permutations(TOPICS))
def test_backwards_is_as_coherent_as_forwards(texts: list[str]) -> None:
    assert order(texts) == pytest.approx(order(texts[::-1]))


def test_scripts_without_spaces_have_words_too() -> None:
    assert vocabulary("画像を開く GIMP 3.0") == {"画像", "像を", "を開", "開く", "gimp"}
    assert vocabulary("ab Ärger im Haus") == {"ärger", "haus"}
    chain = ["画像を開く", "開くには画面を押す", "画面の色を選ぶ", "色は赤と青と緑"]
    assert order(chain) > 0


def test_what_is_too_short_or_all_alike_says_nothing() -> None:
    assert Coherence().compute(page([("text", "p", "a b", None)] * 3), {})["order_words"][0] is None
    assert order(["same words here"] * 6) == 0
    assert adjacency(word_products([frozenset()] * 5)) == 0


@given(st.lists(st.frozensets(st.sampled_from("abcdefgh")), min_size=1, max_size=6))
def test_products_are_those_of_rows_with_a_column_per_word(sets: list[frozenset[str]]) -> None:
    counts = Counter(word for words in sets for word in words)
    shared = sorted(word for word, count in counts.items() if count > 1)
    weight = {word: round(16 * float(np.log2((len(sets) + 1) / counts[word]))) for word in counts}
    alone = [sum(counts[word] == 1 for word in words) for words in sets]
    lengths = np.diag([round(round(16 * float(np.log2(len(sets) + 1))) * float(np.sqrt(n))) for n in alone])
    rows = np.hstack([np.array([[weight[word] * (word in words) for word in shared] for words in sets]), lengths])
    assert np.array_equal(word_products(sets), rows @ rows.T)


def test_a_page_of_very_many_words_takes_no_more_than_its_words() -> None:
    """A matrix of all paragraphs and all words would take 60 MB for these 120 KB, twice, and 2 GB for 4 MB."""
    listing = " ".join(f"word{i:x}" for i in range(30_000))
    columns = page([("text", "p", text, None) for text in [listing, listing, *TOPICS, *["short text"] * 246]])
    Coherence().compute(columns, {})  # imports
    tracemalloc.start()
    Coherence().compute(columns, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 << 20


def test_menus_do_not_count() -> None:
    menu: list[Row] = [("text", "li", "products and prices", "http://x/1")] * 20
    texts: list[Row] = [("text", "p", text, None) for text in TOPICS]
    alone, framed = (Coherence().compute(page(rows), {})["order_words"][0] for rows in (texts, menu + texts))
    assert alone == framed


def test_embeddings_tell_order_as_words_do() -> None:
    angles = np.linspace(0, np.pi, 12)
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float16)
    rows: list[Row] = [("text", "p", f"word{i}", None) for i in range(12)]
    columns = page(rows)
    document = np.full((1, 2), np.nan, np.float16)

    def meaning(order_: np.ndarray) -> Any:
        seen = {**columns, "passage_embedding": np.vstack([document, vectors[order_]])}
        return Coherence(embedding="passage_embedding").compute(seen, {})["order_meaning"][0]

    assert meaning(np.arange(12)) > 2 > meaning(np.random.default_rng(0).permutation(12))


def test_only_the_beginning_of_a_long_document_counts() -> None:
    texts = [f"{TOPICS[i % 8]} {i}" for i in range(PARAGRAPHS)]
    assert order(texts) == order([*texts, "one more paragraph"])


@pytest.mark.parametrize(
    ("tags", "share"),
    [
        (["p", "img"], None),
        (["h1", "p", "h2", "p"], 0.0),
        (["h1", "h2", "p"], 0.0),  # a title with a section below it
        (["h2", "h2", "p"], 0.5),
        (["h2", "p", "h1"], 0.5),
        (["h2", "img"], 0.0),
    ],
)
def test_headings_with_nothing_below(tags: list[str], share: float | None) -> None:
    kinds = ["image" if tag == "img" else "text" for tag in tags]
    assert empty_headings(kinds, tags) == share
