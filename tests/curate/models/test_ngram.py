"""The small language model: a distribution, trained by counting, and of use on text that it has not seen."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from benchmarks.caption_lm import auc, perplexities, spoilt, train
from curate.models.ngram import BEGIN, END, WEIGHTS, NgramModel, embedded, tokenizer, word_pieces

TEXTS = ["the cat sat on the mat", "the cat ran", "a dog sat on the mat", "the dog ran to the cat", "a cat sat"] * 3


def test_the_card_names_the_weights() -> None:
    card = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert WEIGHTS.stat().st_size < 1_500_000


@pytest.mark.parametrize("context", [["the", "cat"], ["sat", "on"], ["mat", "mat"], ["the"], ["zebra", "the"]])
def test_probabilities_after_any_context_sum_to_one(context: list[str]) -> None:
    size = tokenizer().get_vocab_size()
    model = NgramModel(train(TEXTS, size))
    before = [BEGIN, *(piece for word in context for piece in word_pieces(word)[1:-1])]
    rows = np.array([[*before, w] for w in range(size)], np.int64)
    last = model.token_scores(rows.ravel()).reshape(-1)[len(before) - 1 :: len(before) + 1]
    assert np.exp(last.astype(np.float64)).sum() == pytest.approx(1, abs=0.06)  # 8 bits: 3.6 % a factor


def test_what_was_seen_is_likelier_than_what_was_not() -> None:
    model = NgramModel(train(TEXTS, tokenizer().get_vocab_size()))
    seen, turned, other = perplexities(model, ["the cat sat on the mat", "mat the on sat cat the", "zebra quartz"])
    assert seen < 5 < turned < other


def test_triples_tell_what_pairs_do_not() -> None:
    texts = ["red cats sleep", "old dogs bark", "red dogs sleep", "old cats bark"] * 9
    size = tokenizer().get_vocab_size()
    with_triples, without = (NgramModel(train(texts, size, triples=n)) for n in (1000, 1))
    whole = ["red cats sleep", "old cats bark"]
    assert (perplexities(with_triples, whole) < perplexities(without, whole)).all()


def test_the_embedded_model_tells_captions_from_what_is_spoilt() -> None:
    captions = [
        "A wall clock photographed while the camera was moving sideways",
        "Two children playing football on a green field",
        "An old stone bridge over a river in autumn",
        "A cup of coffee beside an open book",
        "People sitting around a table eating and drinking wine",
        "A small boat in the harbour at sunset",
        "The black dog is lying on a red couch",
        "A woman in a blue dress walking along the beach",
    ] * 6
    good = perplexities(embedded(), captions)
    bad = {kind: auc(good, perplexities(embedded(), texts)) for kind, texts in spoilt(captions).items()}
    assert bad["shuffled words"] > 0.75
    assert bad["junk"] > 0.97


@given(st.lists(st.text(max_size=60), max_size=6))
def test_a_score_depends_on_its_own_text_only(texts: list[str]) -> None:
    total, tokens = embedded().score(texts)
    assert (total <= 0).all() and (tokens >= 1).all()
    for i, text in enumerate(texts):
        alone = embedded().score([text])
        assert (alone[0][0], alone[1][0]) == (total[i], tokens[i])


@given(st.text(max_size=80))
def test_pieces_are_the_tokenizers(text: str) -> None:
    assert word_pieces(text) == tokenizer().encode(text).ids


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Z")), max_size=80))
def test_the_short_way_gives_the_same_pieces(text: str) -> None:
    assert word_pieces(text) == tokenizer().encode(text).ids
    assert word_pieces(f"{text} [SEP]").count(END) == 1


def test_hostile_texts_are_scored() -> None:
    total, tokens = embedded().score(["", "\x00", "a\ud800b", "x" * 100_000, "[SEP][CLS]", "日" * 5000])
    assert np.isfinite(total).all() and (tokens >= 1).all()


def test_tables_are_sorted() -> None:
    tables = load_file(WEIGHTS)
    for name in ("pairs", "triples"):
        assert (np.diff(tables[name].astype(np.int64)) > 0).all()
