"""Axes and tallies: nothing is lost in a histogram, and bounded memory says what it costs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.inspect import Run
from curate.report.charts import BINS, histograms, make_axis
from curate.report.part import parts
from curate.report.svg import number, ticks
from curate.report.tallies import Examples, Groups, Texts, effective
from curate.report.visible import safe, shorten, visible

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)
LIMIT = st.none() | st.floats(-1e6, 1e6)


@given(VALUES, LIMIT, LIMIT, st.booleans())
@example([5e-324], None, None, False)
@example([5e-324] * 9 + [1e-322], 5e-324, None, False)
def test_an_axis_rises_and_holds_its_limits(
    values: list[float], low: float | None, high: float | None, whole: bool
) -> None:
    numbers = np.round(values) if whole else np.array(values)
    low, high = (None if bound is None else float(round(bound)) if whole else bound for bound in (low, high))
    axis = make_axis(numbers, low, high, whole)
    assert (np.diff(axis.edges) > 0).all()
    assert 1 <= len(axis.edges) - 1 <= BINS + 1
    start, end, slack = axis.edges[0], axis.edges[-1], 1e-6 * (axis.edges[-1] - axis.edges[0])
    for bound in axis.limits(low, high):
        assert bound is None or start - slack <= bound <= end + slack
    assert all(0 <= axis.place(edge) <= 1 for edge in axis.edges)
    shown = ticks(axis)
    assert shown
    assert all(start - slack <= tick <= end + slack for tick in shown)


def test_few_integers_get_a_bin_each_and_a_limit_lies_between_them() -> None:
    axis = make_axis(np.array([1.0, 2, 2, 3, 7]), 2, 5, whole=True)
    assert axis.edges.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert axis.limits(2, 5) == (2, 6)


def test_a_skewed_column_gets_a_logarithmic_axis() -> None:
    sizes = np.round(np.geomspace(100, 1e6, 500))
    axis = make_axis(sizes, 200, None, whole=True)
    assert axis.log
    assert (axis.edges == np.floor(axis.edges)).all()
    assert not make_axis(np.arange(1.0, 500), None, None, whole=True).log


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25"), (1200, "1200"), (35000, "35k"), (2.1e6, "2.1M"), (3e9, "3G"), (-0.5, "-0.5")]
)
def test_numbers_on_an_axis_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_histograms_count_every_sample_once_and_keep_nothing_beyond_a_limit(hostile_run: Run) -> None:
    decider = hostile_run.decider(hostile_run.plan)
    charts = histograms(hostile_run.manifest["rules"], decider)
    assert [chart.column for chart in charts] == ["caption_words", "width", "height", "aspect", "entropy", "sharpness"]
    for part in parts(hostile_run, decider):
        for chart in charts:
            chart.add(part)
    fates = hostile_run.table("fate", *(chart.column for chart in charts)).to_pylist()
    for chart in charts:
        known = [row for row in fates if row[chart.column] is not None]
        beyond = [
            row
            for row in known
            if (chart.low is not None and row[chart.column] < chart.low)
            or (chart.high is not None and row[chart.column] > chart.high)
        ]
        assert (chart.computed, chart.outside) == (len(known), len(beyond))
        assert chart.kept.sum() == sum(row["fate"] == "kept" for row in known)
        assert chart.kept.sum() + chart.dropped.sum() == len(known)
        low, high = chart.axis.limits(chart.low, chart.high)
        if low is not None and chart.axis.whole:
            assert chart.kept[chart.axis.edges[1:] <= low].sum() == 0
        if high is not None and chart.axis.whole:
            assert chart.kept[chart.axis.edges[:-1] >= high].sum() == 0


@pytest.mark.parametrize("most", [4, 10, 1000])
def test_bounded_counts_of_captions_are_low_by_at_most_what_they_say(hostile_run: Run, most: int) -> None:
    tally = Texts("text", most)
    for part in parts(hostile_run, hostile_run.decider(hostile_run.plan)):
        tally.add(part)
    truth = Counter(hostile_run.table("text")["text"].to_pylist())
    for text, (before, after) in tally.counts.items():
        assert truth[text] - tally.missed <= before <= truth[text]
        assert after <= before
    assert all(n <= tally.missed for text, n in truth.items() if text not in tally.counts)
    if most == 1000:
        assert (tally.missed, {text: pair[0] for text, pair in tally.counts.items()}) == (0, dict(truth))


def test_groups_are_the_largest_whatever_the_shards(hostile_run: Run) -> None:
    tally = Groups("dup_group", "dup_size", most=1, members=4)
    for part in parts(hostile_run, hostile_run.decider(hostile_run.plan)):
        tally.add(part)
    rows = [row for row in hostile_run.table("dup_group", "dup_size", "fate").to_pylist() if (row["dup_size"] or 1) > 1]
    sizes = Counter(row["dup_group"] for row in rows)
    assert (tally.rows, tally.groups) == (len(rows), len(sizes))
    largest = min(sizes, key=lambda group: (-sizes[group], group))
    (top,) = tally.top()
    assert top["size"] == sizes[largest] > 4
    assert top["kept"] == sum(row["fate"] == "kept" for row in rows if row["dup_group"] == largest) <= 1
    assert len(top["members"]) == 4


def test_examples_do_not_depend_on_the_order_of_shards(hostile_run: Run) -> None:
    whole = list(parts(hostile_run, hostile_run.decider(hostile_run.plan)))
    errors = list(hostile_run.funnel().failed)[:1]
    forward, backward = Examples(5, 3, 1, errors), Examples(5, 3, 1, errors)
    for part in whole:
        forward.add(part)
    for part in reversed(whole):
        backward.add(part)
    assert forward.found == backward.found
    assert len(forward.of("kept")) == 5
    assert [name for what, name, _ in forward.found if what == "error"] == errors
    assert len(forward.of("error", errors[0])) == 1
    assert all(value for _, value in forward.of("rule", "caption_length"))


@pytest.mark.parametrize(("sizes", "expected"), [([5, 5, 5], 3.0), ([9], 1.0), ([], 0.0), ([3, 0, 3], 2.0)])
def test_effective_number_of_clusters(sizes: list[int], expected: float) -> None:
    assert effective(sizes) == pytest.approx(expected)


@given(st.text(st.characters(), max_size=80))
def test_text_is_harmless_whatever_it_is(text: str) -> None:
    shown = visible(text)
    shown.encode()  # lone surrogates are gone
    assert visible(shown) == shown
    assert not set(safe(text)) & set("<>\"'")
    assert len(shorten(text, 10)) <= 10
