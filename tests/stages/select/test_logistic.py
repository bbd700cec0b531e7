"""The model: its optimum, its parts, and the AUC, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.select.logistic import Category, Number, Vector, auc, fit, make_term, sigmoid

NUMBERS = st.floats(-100, 100)


def pool(rows: int = 400) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Good where `size` is neither small nor large and the language is English; `noise` says nothing."""
    draw = np.random.default_rng(0)
    size = draw.uniform(0, 10, rows)
    size[::17] = np.nan
    lang = draw.choice(np.array(["en", "de", None], object), rows)
    odds = 3 - np.abs(np.nan_to_num(size, nan=5.0) - 5) * 1.5 + 2 * (lang == "en")
    features = {"size": size, "lang": lang, "noise": draw.normal(size=rows), "vector": draw.normal(size=(rows, 4))}
    return features, (draw.random(rows) < sigmoid(odds)).astype(np.float64)


def test_it_finds_the_optimum_of_its_own_loss() -> None:
    features, labels = pool()
    model = fit(features, labels, 1.0, 5, 8)
    x = np.column_stack([term.design(features[name]) for name, term in model.terms.items()])
    raw = np.concatenate(list(model.weights.values()))

    def loss(prior: float, weights: np.ndarray) -> float:
        odds = prior + x @ weights
        return float((np.logaddexp(0, odds) - labels * odds).sum() + 0.5 * (weights**2).sum())

    # Parts are centred, which moves a constant from weights into the prior: undo it where the penalty is least.
    begin, prior, best = 0, model.prior, raw.copy()
    for term in model.terms.values():
        if not isinstance(term, Vector):
            shift = best[begin : begin + term.width].mean()
            best[begin : begin + term.width] -= shift
            prior += shift
        begin += term.width
    least = loss(prior, best)
    draw = np.random.default_rng(1)
    for _ in range(200):
        assert loss(prior + draw.normal() * 1e-2, best + draw.normal(size=len(best)) * 1e-2) > least


def test_parts_add_up_are_zero_on_average_and_show_the_shape() -> None:
    features, labels = pool()
    model = fit(features, labels, 0.1, 5, 8)
    parts = model.parts(features)
    assert np.allclose(model.prior + sum(parts.values()), model.odds(features))
    for name in ("size", "lang", "noise"):
        assert abs(parts[name].mean()) < 1e-8
    shape = model.terms["size"].part(np.array([0.0, 5.0, 10.0]), model.weights["size"])
    assert shape[1] > shape[0] + 1
    assert shape[1] > shape[2] + 1  # neither small nor large: no straight line says that
    english, german = model.terms["lang"].part(np.array(["en", "de"], object), model.weights["lang"])
    assert english > german + 0.5


def test_order_and_neighbours_do_not_show() -> None:
    features, labels = pool()
    order = np.random.default_rng(2).permutation(len(labels))
    one, two = (
        fit(features, labels, 1.0, 5, 8),
        fit({k: v[order] for k, v in features.items()}, labels[order], 1.0, 5, 8),
    )
    for name, weights in one.weights.items():
        assert np.allclose(weights, two.weights[name], atol=1e-7)
    alone = [one.odds({k: v[i : i + 1] for k, v in features.items()})[0] for i in range(50)]
    assert alone == one.odds(features)[:50].tolist()


def test_separable_labels_and_graded_ones() -> None:
    values = np.linspace(0, 1, 50)
    assert np.isfinite(fit({"x": values}, (values > 0.5).astype(float), 1e-3, 2, 1).odds({"x": values})).all()
    graded = fit({"x": values}, values, 1e-6, 8, 1)
    assert np.abs(sigmoid(graded.odds({"x": values})) - values).max() < 0.08


@given(st.lists(NUMBERS | st.none(), min_size=1, max_size=30), st.integers(2, 8))
def test_a_part_is_the_design_times_the_weights(values: list[float | None], knots: int) -> None:
    column = np.array([np.nan if value is None else value for value in values])
    term = make_term(column, knots, 4)
    assert isinstance(term, Number)
    weights = np.arange(term.width, dtype=np.float64)
    assert np.allclose(term.part(column, weights), term.design(column) @ weights)
    assert np.allclose(term.design(column).sum(axis=1), 1)


@given(st.lists(st.sampled_from(["a", "b", "c", "dd", None]), min_size=1, max_size=30), st.integers(1, 3))
def test_frequent_values_have_weights_of_their_own(values: list[str | None], most: int) -> None:
    column = np.array(values, object)
    term = make_term(column, 2, most)
    assert isinstance(term, Category)
    assert len(term.values) == min(most, len({value for value in values if value}))
    weights = np.arange(term.width, dtype=np.float64)
    assert np.allclose(term.part(column, weights), term.design(column) @ weights)
    for value, part in zip(values, term.part(column, weights).tolist(), strict=True):
        known = term.width - 1 if value is None else term.width - 2
        assert part == (term.values.tolist().index(value) if value in term.values else known)


def test_a_missing_embedding_adds_nothing() -> None:
    features, labels = pool()
    model = fit({"vector": features["vector"]}, labels, 1.0, 5, 8)
    row = np.full((1, 4), np.nan)
    assert model.parts({"vector": row})["vector"].tolist() == [0.0]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_share_of_pairs(pairs: list[tuple[int, bool]]) -> None:
    scores, good = np.array([score for score, _ in pairs], float), np.array([label for _, label in pairs])
    wins = [1.0 if g > b else 0.5 if g == b else 0.0 for g in scores[good] for b in scores[~good]]
    found = auc(scores, good)
    assert np.isnan(found) if not wins else found == pytest.approx(np.mean(wins))
