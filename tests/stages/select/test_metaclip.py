"""Balanced sampling: its laws, its sizes, and that neither shards nor order show."""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.contracts import Batch, Columns, State
from curate.errors import PoolError
from curate.scan import MemoryScan
from stages.select.metaclip import (
    EntryBalance,
    entry_probabilities,
    keep_probabilities,
    mentions,
    tail_share,
    tail_threshold,
)
from stages.signals.entries import Entries

T = TypeVar("T")
TEXTS = st.lists(
    st.none() | st.lists(st.sampled_from([0, 0, 0, 1, 1, 5, 9]).map(int), max_size=4, unique=True), max_size=60
)


def pool(
    texts: Sequence[list[int] | None],
    shards: int = 1,
    lang: Sequence[str | None] | None = None,
    order: np.ndarray | None = None,
) -> MemoryScan:
    rng = np.random.default_rng(len(texts))
    entries = np.empty(len(texts), object)
    entries[:] = texts
    columns: dict[str, np.ndarray] = {
        "entries": entries,
        "uid": rng.integers(0, 2**63, (len(texts), 2)).astype(np.uint64),
    }
    if lang is not None:
        columns["lang"] = np.array(lang, object)
    if order is not None:
        columns = {name: values[order] for name, values in columns.items()}
    return MemoryScan(columns, shards)


def zipf(rows: int, seed: int = 0) -> list[list[int] | None]:
    """Captions that mention one to four of 2,000 entries, few of them often; some mention none."""
    rng = np.random.default_rng(seed)
    found = [np.unique(np.minimum(rng.zipf(1.4, size), 2000)).tolist() for size in rng.integers(0, 5, rows)]
    return [entries or None for entries in found]


def kept(step: EntryBalance, scan: MemoryScan, seed: int = 0) -> np.ndarray:
    return step.apply(scan.columns, step.fit(scan, seed), seed) > 0


@given(TEXTS.filter(len), st.floats(0.1, 40))
def test_a_pair_stays_with_the_closed_form(texts: list[list[int] | None], t: float) -> None:
    state = EntryBalance(t=t).fit(pool(texts, 3), 0)
    counts = np.bincount(mentions(texts)[1], minlength=10)
    wanted = sum(1 - np.prod([1 - min(1, t / counts[e]) for e in text or []]) for text in texts)
    assert state["expected"][0] == pytest.approx(wanted, abs=1e-6)
    assert state["matched"] == sum(bool(text) for text in texts)


@given(TEXTS.filter(len), st.randoms(), st.sampled_from([EntryBalance(t=3), EntryBalance(fraction=0.4)]))
@settings(deadline=None)
def test_shards_and_order_do_not_matter(texts: list[list[int] | None], random: object, step: EntryBalance) -> None:
    order = np.random.default_rng(random.randrange(2**32)).permutation(len(texts))  # type: ignore[attr-defined]
    scan, moved = pool(texts), pool(texts, 4, order=order)
    assert step.fit(scan, 0)["thresholds"].tolist() == step.fit(moved, 0)["thresholds"].tolist()
    uids = scan.columns["uid"][kept(step, scan)].tolist()
    assert sorted(uids) == sorted(moved.columns["uid"][kept(step, moved)].tolist())


def test_the_tail_stays_whole_and_what_mentions_nothing_goes() -> None:
    texts = zipf(4000)
    counts = np.bincount(mentions(texts)[1])
    stays = kept(EntryBalance(t=20), pool(texts))
    for text, there in zip(texts, stays, strict=True):
        if not text:
            assert not there
        elif min(counts[text]) <= 20:
            assert there
    head = int(counts.argmax())
    alone = [i for i, text in enumerate(texts) if text == [head]]
    assert stays[alone].sum() < 20 + 5 * np.sqrt(20) < len(alone)


@given(st.floats(1, 50), st.floats(1, 50))
@settings(max_examples=15, deadline=None)
def test_a_larger_t_only_adds_pairs(a: float, b: float) -> None:
    scan = pool(zipf(500))
    fewer, more = (kept(EntryBalance(t=t), scan) for t in sorted((a, b)))
    assert not (fewer & ~more).any()


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.9, 1.0])
def test_t_is_found_for_a_size(fraction: float) -> None:
    texts = zipf(3000)
    scan = pool(texts, 5)
    matched = sum(text is not None for text in texts)
    state = EntryBalance(fraction=fraction).fit(scan, 0)
    assert state["expected"][0] == pytest.approx(fraction * matched, rel=2e-4)
    again = EntryBalance(total=round(fraction * matched)).fit(scan, 0)
    assert again["expected"][0] == pytest.approx(round(fraction * matched), rel=2e-4)
    drawn = EntryBalance(fraction=fraction).apply(scan.columns, state, 0).sum()
    assert abs(drawn - fraction * matched) <= 5 * np.sqrt(fraction * matched)


def test_draws_follow_the_probabilities() -> None:
    scan = pool([[0]] * 4000 + [[0, 1]] * 4000)
    stays = kept(EntryBalance(t=800), scan)
    assert stays[:4000].mean() == pytest.approx(0.1, abs=0.025)
    assert stays[4000:].mean() == pytest.approx(1 - 0.9 * 0.8, abs=0.035)
    assert not np.array_equal(stays, kept(EntryBalance(t=800), scan, seed=1))


def by_language() -> tuple[list[list[int] | None], list[str | None]]:
    """English with a long head; German, a tenth as large, with the same shape; one caption without a language."""
    english, german = zipf(3000), zipf(3000, seed=1)[:300]
    return [*english, *german, [7]], [*["en"] * 3000, *["de"] * 300, None]


def test_each_language_gets_the_t_of_an_equal_tail() -> None:
    texts, lang = by_language()
    scan = pool(texts, 4, lang)
    step = EntryBalance(t=40, reference="en")
    state = step.fit(scan, 0)
    assert state["languages"].tolist() == ["", "de", "en"]
    _, german, english = (
        np.bincount(mentions([t for t, spoken in zip(texts, lang, strict=True) if spoken == one])[1])
        for one in (None, "de", "en")
    )
    share = tail_share(english, 40)
    assert state["thresholds"].tolist() == [1, tail_threshold(german[german > 0], share), 40]
    german_stays = kept(step, scan)[3000:3300]
    alone = kept(EntryBalance(t=state["thresholds"][1]), pool(texts[3000:3300]))
    assert abs(int(german_stays.sum()) - int(alone.sum())) < 40  # other draws, the same chances
    assert step.threshold(state).startswith("t = 40, tail ")
    assert "2 other languages by equal tails" in step.threshold(state)


def test_a_size_over_languages() -> None:
    texts, lang = by_language()
    state = EntryBalance(fraction=0.5, reference="en").fit(pool(texts, 2, lang), 0)
    assert state["expected"][0] == pytest.approx(0.5 * state["matched"], rel=0.05)  # other languages move in steps


def test_a_size_that_other_languages_exceed_is_refused() -> None:
    texts: list[list[int] | None] = [*[[0]] * 100, *[[1]] * 10, *[[2]] * 20]
    scan = pool(texts, 2, ["en"] * 100 + ["de"] * 10 + ["de"] * 20)  # of German 10 and half of 20 stay at least
    for step in (EntryBalance(total=20, reference="en"), EntryBalance(fraction=0.1, reference="en")):
        with pytest.raises(PoolError, match="the smallest size is 21"):
            step.fit(scan, 0)
    for total in (21, 22, 25):
        state = EntryBalance(total=total, reference="en").fit(scan, 0)
        assert state["expected"][0] == pytest.approx(total, rel=2e-4)
        assert state["expected"][0] <= total + 1e-6


def test_a_reference_that_nobody_speaks() -> None:
    with pytest.raises(PoolError, match="'fr'"):
        EntryBalance(t=5, reference="fr").fit(pool([[1], [2]], lang=["en", "de"]), 0)


def test_nothing_to_draw_from() -> None:
    for step in (EntryBalance(t=5), EntryBalance(fraction=0.5)):
        scan = pool([None, []])
        state = step.fit(scan, 0)
        assert step.apply(scan.columns, state, 0).tolist() == [0, 0]
        assert step.threshold(state) == "no caption mentions an entry"


def test_the_learned_rule_in_words() -> None:
    scan = pool([[0], [0], [0], [0], [1], None])
    step = EntryBalance(t=2)
    assert step.threshold(step.fit(scan, 0)) == "t = 2, tail 20.0%: 3 of 5 pairs expected"


def test_draws_per_mention_agree_with_one_draw_per_text() -> None:
    texts = zipf(200)
    rows, entries = mentions(texts)
    probabilities = entry_probabilities(np.bincount(entries), 5)
    rng = np.random.default_rng(0)
    often = np.zeros(200)
    for _ in range(2000):
        often[np.unique(rows[rng.random(len(rows)) < probabilities[entries]])] += 1  # as first published
    assert np.allclose(often / 2000, keep_probabilities(rows, probabilities[entries], 200), atol=0.06)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.floats(0, 1))
def test_a_tail_threshold_is_the_nearest(counts: list[int], share: float) -> None:
    have = np.array(counts)
    t = tail_threshold(have, share)
    assert t in counts
    inclusive = {c: abs(np.cumsum(np.sort(have)) / have.sum() - share) for c in counts}
    reached = abs(np.cumsum(np.sort(have)) / have.sum() - share).min()
    assert min(inclusive[t]) == reached


def test_one_measure_only() -> None:
    for fields in ({}, {"t": 5, "fraction": 0.1}, {"fraction": 0.1, "total": 5}, {"t": 0}):
        with pytest.raises(ValidationError):
            EntryBalance.model_validate(fields)


def test_a_state_is_plain_arrays() -> None:
    state: State = EntryBalance(t=2).fit(pool([[0], [0], [3]]), 0)
    assert {name: values.dtype.kind for name, values in state.items()} == {
        "languages": "U", "keys": "i", "counts": "i", "matched": "i", "thresholds": "f", "expected": "f",
    }  # fmt: skip


def test_the_sample_s_planted_captions_have_the_expected_fate() -> None:
    folder = Path(__file__).parents[3] / "manifests/sample"
    truth = {(row["shard"], row["key"]): row["fault"] for row in pq.read_table(folder / "truth.parquet").to_pylist()}
    texts, faults = [], []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".txt") and (file := tar.extractfile(member)) is not None:
                    texts.append(file.read().decode("utf-8", "replace"))
                    faults.append(truth[path.name, member.name.removesuffix(".txt")])
    entries = Entries().compute(Batch({"text": np.array(texts, object)}))["entries"]
    stays = kept(EntryBalance(t=1), pool(list(entries)))
    share = {fault: stays[[other == fault for other in faults]].mean() for fault in set(faults)}
    assert share["empty_caption"] == 0
    assert share["clean"] > 0.75
    for rare in (
        "one_word_caption",
        "non_english",
        "real:repeated_title",
    ):  # English metadata, one mention, one of many
        assert share[rare] < share["clean"] / 1.5


class Remote(MemoryScan):
    """What is given to `map` travels to another process, as on a cluster."""

    def map(self, function: Callable[[Columns], T], *names: str) -> Iterator[T]:
        """Results in shard order."""
        return super().map(pickle.loads(pickle.dumps(function)), *names)


def test_the_steps_travel() -> None:
    texts, lang = by_language()
    scan = pool(texts, 3, lang)
    for step in (EntryBalance(fraction=0.3), EntryBalance(t=9, reference="en")):
        there, here = step.fit(Remote(scan.columns, 3), 0), step.fit(scan, 0)
        assert all(np.array_equal(there[name], here[name]) for name in here)
