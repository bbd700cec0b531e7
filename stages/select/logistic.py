"""Logistic regression whose parts can be read: every feature adds its own term to the log-odds, and nothing interacts.

A number's term is piecewise linear between knots at the quantiles of the labelled rows, so that too short and too long
may both be bad; a text's term is a weight per frequent value; an embedding's is linear. What is missing has a weight of
its own. (Generalised additive model: Hastie and Tibshirani 1986; fitted by Newton's method with an L2 penalty.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

BLOCK: Final = 4096
"""Rows whose design matrix is in memory at a time."""
STEPS, CLOSE = 100, 1e-9
"""Newton's method ends when no weight moves by more than `CLOSE`."""
DIGITS: Final = 9
"""Decimals of a weight: what the order of a sum could change is rounded away."""


class Term(Protocol):
    """How one feature becomes columns of the design matrix, and what it adds to the log-odds."""

    @property
    def width(self) -> int:
        """Columns, each with a weight."""
        ...

    def design(self, values: np.ndarray) -> np.ndarray:
        """float64 (n, width)."""
        ...

    def part(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """float64 (n,): `design(values) @ weights`, each row for itself."""
        ...


@dataclass(frozen=True)
class Number:
    """A numeric column, float64 (n,), NaN where missing."""

    knots: np.ndarray

    @property
    def width(self) -> int:
        """A weight per knot, and one for what is missing."""
        return len(self.knots) + 1

    def design(self, values: np.ndarray) -> np.ndarray:
        """Shares of the two knots around a value; beyond the ends all of the end's."""
        eye = np.eye(len(self.knots))
        shares = [np.interp(values, self.knots, column) for column in eye]
        missing = np.isnan(values)
        return np.column_stack([*(np.where(missing, 0.0, share) for share in shares), missing])

    def part(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Interpolated between the knots' weights."""
        return np.where(np.isnan(values), weights[-1], np.interp(values, self.knots, weights[:-1]))


@dataclass(frozen=True)
class Category:
    """A text column, object (n,), None where missing."""

    values: np.ndarray  # sorted

    @property
    def width(self) -> int:
        """A weight per value, one for other values, one for what is missing."""
        return len(self.values) + 2

    def _which(self, values: np.ndarray) -> np.ndarray:
        numbers: dict[str | None, int] = {str(value): i for i, value in enumerate(self.values)}
        numbers[None] = self.width - 1
        return np.array([numbers.get(value, self.width - 2) for value in values.tolist()], np.int64)

    def design(self, values: np.ndarray) -> np.ndarray:
        """One-hot."""
        return np.eye(self.width)[self._which(values)]

    def part(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The value's weight."""
        return weights[self._which(values)]


@dataclass(frozen=True)
class Vector:
    """An embedding column, float (n, d), NaN where missing: standardised, and nothing where missing."""

    mean: np.ndarray
    scale: np.ndarray

    @property
    def width(self) -> int:
        """A weight per dimension."""
        return len(self.mean)

    def design(self, values: np.ndarray) -> np.ndarray:
        """Standard deviations from the mean."""
        return np.nan_to_num((values.astype(np.float64) - self.mean) / self.scale)

    def part(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Summed row by row, so that a row does not depend on its neighbours."""
        return np.multiply(self.design(values), weights).sum(axis=1)


def make_term(values: np.ndarray, knots: int, categories: int) -> Term:
    """The term of a feature by its labelled rows: knots at quantiles, the most frequent values, mean and scale."""
    if values.ndim == 2:
        spread = np.nan_to_num(np.nanstd(values.astype(np.float64), axis=0))
        return Vector(np.nan_to_num(np.nanmean(values.astype(np.float64), axis=0)), np.where(spread > 0, spread, 1.0))
    if values.dtype == object:
        found, counts = np.unique([str(value) for value in values if value is not None], return_counts=True)
        return Category(np.sort(found[np.argsort(-counts, kind="stable")[:categories]]))
    known = values[np.isfinite(values)]
    quantiles = np.quantile(known, np.linspace(0, 1, knots)) if len(known) else np.zeros(1)
    return Number(np.unique(quantiles))


@dataclass(frozen=True)
class Model:
    """`prior`: log-odds of an average labelled row; `weights` per feature, whose parts are 0 on average."""

    prior: float
    terms: Mapping[str, Term]
    weights: Mapping[str, np.ndarray]

    def parts(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Per feature, float64 (n,): what it adds to the log-odds."""
        return {name: term.part(features[name], self.weights[name]) for name, term in self.terms.items()}

    def odds(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """float64 (n,): log-odds, the prior plus all parts in their order."""
        return self.prior + np.sum(list(self.parts(features).values()), axis=0)


def fit(features: Mapping[str, np.ndarray], labels: np.ndarray, l2: float, knots: int, categories: int) -> Model:
    """Maximum likelihood with penalty `l2 / 2 * |weights|^2`, the intercept free. Labels in [0, 1], float64 (n,)."""
    terms = {name: make_term(values, knots, categories) for name, values in features.items()}
    found = _newton(features, terms, labels, l2)
    ends = np.cumsum([1, *(term.width for term in terms.values())])
    prior, weights = float(found[0]), {}
    for (name, term), begin, end in zip(terms.items(), ends[:-1], ends[1:], strict=True):
        own = found[begin:end]
        if not isinstance(term, Vector):  # its columns sum to 1, so a shift only moves the prior
            mean = float(term.part(features[name], own).mean())
            own, prior = own - mean, prior + mean
        weights[name] = np.round(own, DIGITS)
    return Model(round(prior, DIGITS), terms, weights)


def _newton(features: Mapping[str, np.ndarray], terms: Mapping[str, Term], labels: np.ndarray, l2: float) -> np.ndarray:
    width = 1 + sum(term.width for term in terms.values())
    penalty = np.full(width, l2)
    penalty[0] = 0.0
    weights = np.zeros(width)
    mean = min(max(float(labels.mean()), 1e-6), 1 - 1e-6)
    weights[0] = np.log(mean / (1 - mean))
    loss = np.inf
    for _ in range(STEPS):
        now, gradient, curvature = _derivatives(features, terms, labels, weights, penalty)
        loss = now
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-6 and _loss(features, terms, labels, weights - size * step, penalty) > loss:
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < CLOSE:
            break
    return weights


def _blocks(
    features: Mapping[str, np.ndarray], terms: Mapping[str, Term], labels: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for begin in range(0, len(labels), BLOCK):
        rows = slice(begin, begin + BLOCK)
        columns = [term.design(features[name][rows]) for name, term in terms.items()]
        yield np.column_stack([np.ones(len(labels[rows])), *columns]), labels[rows]


def _derivatives(
    features: Mapping[str, np.ndarray],
    terms: Mapping[str, Term],
    labels: np.ndarray,
    weights: np.ndarray,
    penalty: np.ndarray,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Penalised loss, its gradient (d,) and its Hessian (d, d)."""
    loss = 0.5 * float(penalty @ weights**2)
    gradient, curvature = penalty * weights, np.diag(penalty)
    for x, y in _blocks(features, terms, labels):
        odds = x @ weights
        loss += float((np.logaddexp(0, odds) - y * odds).sum())
        p = sigmoid(odds)
        gradient = gradient + x.T @ (p - y)
        curvature = curvature + (x * np.maximum(p * (1 - p), 1e-12)[:, None]).T @ x
    return loss, gradient, curvature


def _loss(
    features: Mapping[str, np.ndarray],
    terms: Mapping[str, Term],
    labels: np.ndarray,
    weights: np.ndarray,
    penalty: np.ndarray,
) -> float:
    loss = 0.5 * float(penalty @ weights**2)
    for x, y in _blocks(features, terms, labels):
        odds = x @ weights
        loss += float((np.logaddexp(0, odds) - y * odds).sum())
    return loss


def sigmoid(odds: np.ndarray) -> np.ndarray:
    """Probability of log-odds."""
    return 0.5 * (1.0 + np.tanh(0.5 * odds))


def auc(scores: np.ndarray, good: np.ndarray) -> float:
    """Share of (good, bad) pairs in which the good one scores higher, ties by half (Mann-Whitney); NaN without pairs."""
    positive, negative = int(good.sum()), int((~good).sum())
    if not positive or not negative:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[good].sum() - positive * (positive + 1) / 2) / (positive * negative))


def rows_of(features: Mapping[str, np.ndarray], rows: np.ndarray | Sequence[int]) -> dict[str, np.ndarray]:
    """Some rows of every feature."""
    return {name: values[rows] for name, values in features.items()}
