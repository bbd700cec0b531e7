"""Joint balance: both sides even out, sizes are met, and each side alone is what it was."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.contracts import Columns
from curate.scan import MemoryScan
from stages.select.balance import ClusterCap
from stages.select.joint import JointBalance, Sides, cap_for, entropy, fit_factors, fit_to_size
from stages.select.metaclip import EntryBalance, entry_probabilities, mentions

T = TypeVar("T")
SIZES = st.lists(st.integers(0, 500), min_size=1, max_size=30).filter(any)


def made(n: int = 3000, seed: int = 0, clusters: int = 40) -> tuple[list[list[int] | None], np.ndarray]:
    """Few of 500 entries and few of the clusters hold most pairs; some pairs lack one side."""
    rng = np.random.default_rng(seed)
    entries: list[list[int] | None] = [
        np.unique(np.minimum(rng.zipf(1.4, size), 500)).tolist() or None for size in rng.integers(0, 5, n)
    ]
    cluster = np.minimum(rng.zipf(1.5, n), clusters).astype(float) - 1
    cluster[rng.random(n) < 0.05] = np.nan
    return entries, cluster


def pool(entries: Sequence[list[int] | None], cluster: np.ndarray, shards: int = 1, order: object = None) -> MemoryScan:
    rng = np.random.default_rng(len(entries))
    found = np.empty(len(entries), object)
    found[:] = entries
    uid = rng.integers(0, 2**63, (len(entries), 2)).astype(np.uint64)
    places = np.arange(len(entries)) if order is None else np.asarray(order)
    return MemoryScan({"entries": found[places], "cluster": cluster[places], "uid": uid[places]}, shards)


def sides(entries: Sequence[list[int] | None], cluster: np.ndarray) -> Sides:
    there = [i for i, found in enumerate(entries) if found and not np.isnan(cluster[i])]
    return Sides(*mentions([entries[i] for i in there]), cluster[there].astype(np.int64))


def kept(step: JointBalance | EntryBalance | ClusterCap, scan: MemoryScan, seed: int = 0) -> np.ndarray:
    return step.apply(scan.columns, step.fit(scan, seed), seed) > 0


def test_no_entry_and_no_cluster_gives_more_than_its_threshold() -> None:
    both = sides(*made())
    fitted = fit_factors(both, 15.0)
    left = fitted.b[both.clusters]
    assert (fitted.a * both.mentioned(left)).max() <= 15 * 1.01
    assert both.filled(fitted.kept).max() <= fitted.s * (1 + 1e-9)
    assert ((fitted.a >= 0) & (fitted.a <= 1)).all()
    assert ((fitted.b > 0) & (fitted.b <= 1)).all()


@pytest.mark.parametrize("fraction", [0.05, 0.4, 0.95, 1.0])
def test_the_size_is_met(fraction: float) -> None:
    entries, cluster = made()
    both, scan = sides(entries, cluster), pool(entries, cluster, 3)
    assert fit_to_size(both, fraction * both.n).kept.sum() == pytest.approx(fraction * both.n, rel=1e-3)
    state = JointBalance(fraction=fraction).fit(scan, 0)
    assert state["eligible"] == both.n
    assert state["expected"] == pytest.approx(fraction * both.n, rel=1e-3)
    drawn = JointBalance(fraction=fraction).apply(scan.columns, state, 0).sum()
    assert abs(drawn - fraction * both.n) <= 5 * np.sqrt(both.n * fraction)
    total = JointBalance(total=round(fraction * both.n)).fit(scan, 0)
    assert total["expected"] == pytest.approx(round(fraction * both.n), rel=1e-3)


def test_both_sides_even_out_where_one_alone_leaves_the_other() -> None:
    entries, cluster = made(6000)
    both = sides(entries, cluster)
    everyone = np.ones(both.n)
    text, image = both.entropies(everyone)
    fitted = fit_to_size(both, 0.3 * both.n)
    text_joint, image_joint = both.entropies(fitted.kept)
    scan = pool(*_eligible(entries, cluster))
    text_alone = both.entropies(kept(EntryBalance(fraction=0.3), scan).astype(float))
    image_alone = both.entropies(kept(ClusterCap(alpha=0, fraction=0.3), scan).astype(float))
    assert text_joint > text + 0.5
    assert image_joint > image + 0.5
    assert image_joint > text_alone[1] + 0.5
    assert text_joint > image_alone[0] + 0.5


def _eligible(entries: list[list[int] | None], cluster: np.ndarray) -> tuple[list[list[int] | None], np.ndarray]:
    there = [i for i, found in enumerate(entries) if found and not np.isnan(cluster[i])]
    return [entries[i] for i in there], cluster[there]


def test_with_one_cluster_it_is_metaclip() -> None:
    entries, _ = made()
    both = sides(entries, np.zeros(len(entries)))
    fitted = fit_factors(both, 9.0)
    a = entry_probabilities(both.mentioned(np.ones(both.n)), 9.0)
    assert np.allclose(fitted.kept, both.by_entries(a))


def test_with_one_entry_it_is_a_cap_on_clusters() -> None:
    _, cluster = made()
    cluster = np.nan_to_num(cluster)
    both = sides([[7]] * len(cluster), cluster)
    fitted = fit_to_size(both, 0.2 * both.n)
    sizes = both.filled(np.ones(both.n))
    assert np.allclose(both.filled(fitted.kept), np.minimum(sizes, cap_for(sizes, 0.2 * both.n)), rtol=0.02)


@given(st.permutations(range(60)), st.sampled_from([{"fraction": 0.4}, {"fraction": 0.5, "sample": 20}]))
def test_shards_and_order_do_not_matter(order: list[int], fields: dict[str, float]) -> None:
    entries, cluster = made(60, seed=4)
    step = JointBalance.model_validate(fields)
    scan, moved = pool(entries, cluster), pool(entries, cluster, 4, order)
    assert step.fit(scan, 0)["a"].tolist() == step.fit(moved, 0)["a"].tolist()
    uids = scan.columns["uid"][kept(step, scan)].tolist()
    assert sorted(uids) == sorted(moved.columns["uid"][kept(step, moved)].tolist())


def test_a_sample_stands_for_the_pool() -> None:
    entries, cluster = made(8000)
    scan = pool(entries, cluster)
    step = JointBalance(fraction=0.4, sample=2000)
    whole, part = JointBalance(fraction=0.4).fit(scan, 0), step.fit(scan, 0)
    assert len(part["a"]) < len(whole["a"])
    assert part["t"] == pytest.approx(whole["t"], rel=0.35)
    drawn = step.apply(scan.columns, part, 0).sum()
    assert drawn == pytest.approx(0.4 * whole["eligible"], rel=0.1)


def test_pairs_that_lack_a_side_are_dropped_and_the_seed_draws() -> None:
    entries, cluster = made()
    scan = pool(entries, cluster)
    stays = kept(JointBalance(fraction=0.5), scan)
    lacking = np.array([not found for found in entries]) | np.isnan(cluster)
    assert lacking.any()
    assert not stays[lacking].any()
    assert not np.array_equal(stays, kept(JointBalance(fraction=0.5), scan, seed=1))


def test_nothing_to_draw_from() -> None:
    scan = pool([None, [1]], np.array([0.0, np.nan]))
    step = JointBalance(fraction=0.5)
    state = step.fit(scan, 0)
    assert step.apply(scan.columns, state, 0).tolist() == [0, 0]
    assert step.threshold(state) == "no pair has entries and a cluster"


def test_the_learned_rule_in_words() -> None:
    entries, cluster = made()
    step = JointBalance(fraction=0.5)
    said = step.threshold(step.fit(pool(entries, cluster), 0))
    assert said.startswith("t = ")
    assert "pairs expected; entropy of entries " in said


@given(SIZES, st.floats(0.01, 1))
def test_a_cap_keeps_the_total(sizes: list[int], share: float) -> None:
    have = np.array(sizes, float)
    cap = cap_for(have, share * have.sum())
    assert np.minimum(have, cap).sum() == pytest.approx(share * have.sum(), rel=1e-9)


@given(SIZES)
def test_entropy_is_highest_for_equal_shares(sizes: list[int]) -> None:
    have = np.array(sizes, float)
    many = np.count_nonzero(have)
    assert -1e-9 <= entropy(have) <= np.log2(many) + 1e-9
    assert entropy(np.full(many, 3.0)) == pytest.approx(np.log2(many))
    assert entropy(np.zeros(3)) == 0


def test_one_measure_only() -> None:
    for fields in ({}, {"fraction": 0.1, "total": 3}):
        with pytest.raises(ValidationError):
            JointBalance.model_validate(fields)


class Remote(MemoryScan):
    """What is given to `map` travels to another process, as on a cluster."""

    def map(self, function: Callable[[Columns], T], *names: str) -> Iterator[T]:
        """Results in shard order."""
        return super().map(pickle.loads(pickle.dumps(function)), *names)


def test_the_step_travels() -> None:
    scan = pool(*made(400))
    there, here = (JointBalance(fraction=0.3).fit(one, 0) for one in (Remote(scan.columns, 3), scan))
    assert all(np.array_equal(there[name], here[name]) for name in here)
