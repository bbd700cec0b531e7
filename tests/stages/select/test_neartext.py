"""Near-duplicate texts: the groups of an all-pairs comparison, whatever the shards, the order and the memory."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from random import Random
from typing import Any, Final, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.data import captions_planted
from curate.contracts import Columns
from curate.scan import MemoryScan
from stages.select import neartext
from stages.select.dedup import OnePerGroup
from stages.select.neartext import NearDuplicateText

WORDS = st.sampled_from(["a", "b", "c", "d", "E", "f"])
CAPTIONS = st.lists(
    st.one_of(
        st.none(),
        st.just(" \t"),
        st.lists(WORDS, max_size=9).map(" ".join),
        st.sampled_from(["a b c d e f", "A b c d e f g", "red car", "red  car ", "red"]),
    ),
    min_size=1,
    max_size=20,
)


GENERATORS: Final[tuple[Literal["exact", "minhash"], ...]] = ("exact", "minhash")


def pool(captions: list[str | None], shards: int = 1, partitions: int = 1, uids: list[int] | None = None) -> MemoryScan:
    numbers = np.array(uids or range(len(captions)), np.uint64)
    return MemoryScan(
        {
            "text": np.array([*captions, None], object)[:-1],
            "quality": np.array([len(text or "") % 3 for text in captions], np.float32),
            "uid": np.column_stack([numbers * np.uint64(7919) % np.uint64(1 << 20), numbers]),
        },
        shards,
        partitions,
    )


def facts(step: NearDuplicateText, scan: MemoryScan) -> Columns:
    found = step.compute(scan.columns, scan.fit(step))
    return {name: np.asarray(values) for name, values in found.items()}


def grams(text: str, words: int) -> set[str]:
    split = text.lower().split()
    return {" ".join(split[i : i + words]) for i in range(max(1, len(split) - words + 1))}


def grouped(captions: list[str | None], bound: Fraction, words: int) -> list[int]:
    """Per caption the lowest index of its group, by comparing all pairs."""
    root = list(range(len(captions)))
    sets = [grams(text, words) if text is not None and text.split() else None for text in captions]
    for _ in captions:
        for i, a in enumerate(sets):
            for j, b in enumerate(sets):
                if a is not None and b is not None and Fraction(len(a & b), len(a | b)) >= bound:
                    root[i] = root[j] = min(root[i], root[j])
    return root


@given(
    CAPTIONS,
    st.sampled_from([0.3, 0.5, 0.7, 1.0]),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([None, "quality"]),
    st.sampled_from([2, 1 << 20]),
)
def test_groups_are_components_and_the_best_comes_first(
    captions: list[str | None],
    similarity: float,
    words: int,
    shards: int,
    partitions: int,
    best: str | None,
    counters: int,
) -> None:
    scan = pool(captions, shards, partitions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neartext, "COUNTERS", counters)
        found = facts(NearDuplicateText(similarity=similarity, words=words, best=best), scan)
    joined = grouped(captions, Fraction(str(similarity)), words)

    def standing(i: int) -> tuple[Any, ...]:
        quality = -scan.columns["quality"][i] if best else 0
        return quality, *scan.columns["uid"][i].tolist()

    for i in range(len(captions)):
        members = sorted((j for j in range(len(captions)) if joined[j] == joined[i]), key=standing)
        assert found["text_group"][i] == members[0]
        assert found["text_rank"][i] == members.index(i)
        assert found["text_size"][i] == len(members)


@given(CAPTIONS, st.randoms(use_true_random=False), st.sampled_from(GENERATORS))
def test_groups_do_not_depend_on_order(
    captions: list[str | None], random: Random, candidates: Literal["exact", "minhash"]
) -> None:
    step = NearDuplicateText(candidates=candidates, permutations=16, bands=8)
    order = list(range(len(captions)))
    random.shuffle(order)
    straight = facts(step, pool(captions))
    shuffled = facts(step, pool([captions[i] for i in order], 2, 2, uids=order))
    for name in ("text_rank", "text_size"):
        assert shuffled[name].tolist() == straight[name][order].tolist()
    firsts = [order[first] for first in shuffled["text_group"]]
    assert firsts == straight["text_group"][order].tolist()


@given(CAPTIONS)
def test_what_is_left_has_no_duplicates(captions: list[str | None]) -> None:
    step = NearDuplicateText()
    scan = pool(captions)
    found = facts(step, scan)
    select = OnePerGroup(groups="text")
    both = MemoryScan({**scan.columns, **found})
    kept = select.apply(both.columns, both.fit(select), 0).astype(bool)
    assert kept.tolist() == (found["text_rank"] == 0).tolist()
    again = MemoryScan({name: values[kept] for name, values in scan.columns.items() if name != "position"})
    assert (facts(step, again)["text_size"] == 1).all()


def test_groups_of_planted_captions_are_those_of_all_pairs() -> None:
    texts, _ = captions_planted.captions(4000)
    scan = MemoryScan({"text": np.array(texts, object)}, shards=3, partitions=2)
    assert facts(NearDuplicateText(), scan)["text_group"].tolist() == captions_planted.groups(texts)


def test_minhash_adds_nothing_and_finds_what_is_very_similar() -> None:
    draw = np.random.default_rng(2)
    captions: list[str | None] = []
    for i in range(300):
        words = [f"word{j}" for j in draw.integers(0, 500, 40)]
        captions.append(" ".join(words))
        words[int(draw.integers(40))] = f"other{i}"
        captions.append(" ".join(words))
    exact = facts(NearDuplicateText(), pool(captions))
    near = facts(NearDuplicateText(candidates="minhash"), pool(captions, 3, 2))
    assert (exact["text_size"] == 2).all()
    assert (near["text_size"] == 2).mean() > 0.99
    members = near["text_size"] == 2
    assert (near["text_group"] == exact["text_group"])[members].all()


def test_a_caption_that_stands_a_thousand_times_is_compared_once() -> None:
    captions: list[str | None] = [*["photo of gramastar"] * 1375, "photo of gramastar today and", "a cat"]
    found = facts(NearDuplicateText(), pool(captions, 3))
    assert found["text_size"].tolist() == [1375] * 1375 + [1, 1]
    assert found["text_group"].tolist() == [0] * 1375 + [1375, 1376]


def test_of_copies_in_a_shard_one_brings_its_set() -> None:
    """All copies of a text meet in one partition, where their sets would take a gigabyte for a million of them."""
    text = " ".join(f"word{i}" for i in range(120))
    captions: list[str | None] = [text, "a cat", *[text] * 2000]
    scan = pool(captions, 3)
    parts = list(scan.map(partial(neartext._texts, NearDuplicateText()), "text"))
    assert [part["tokens"].is_valid().to_pylist().count(True) for part in parts] == [2, 1, 1]
    assert sum(part.nbytes for part in parts) < 100 * len(captions)
    assert facts(NearDuplicateText(), scan)["text_group"].tolist() == [0, 1, *[0] * 2000]


def test_texts_of_tens_of_thousands_of_words() -> None:
    """They meet at thousands of keys, where sending all their words each time would take gigabytes."""
    words = [f"word{i}" for i in np.random.default_rng(4).integers(0, 5000, 30_000)]
    captions: list[str | None] = [" ".join(words), " ".join([*words[:-1], "end"]), " ".join(words[::-1])]
    for candidates in GENERATORS:
        assert facts(NearDuplicateText(candidates=candidates), pool(captions))["text_size"].tolist() == [2, 2, 1]


def test_another_column_and_a_pool_without_words() -> None:
    scan = MemoryScan({"page": np.array(["a b c", None, "a b c"], object)}, shards=3)
    assert facts(NearDuplicateText(column="page"), scan)["text_size"].tolist() == [2, 1, 2]
    empty = MemoryScan({"text": np.array([None, "", " "], object)}, shards=2, partitions=2)
    for candidates in GENERATORS:
        assert facts(NearDuplicateText(candidates=candidates), empty)["text_size"].tolist() == [1, 1, 1]


def test_bands_divide_the_permutations() -> None:
    with pytest.raises(ValidationError, match="do not make 5 bands"):
        NearDuplicateText(candidates="minhash", permutations=128, bands=5)
    with pytest.raises(ValidationError):
        NearDuplicateText(similarity=0)
