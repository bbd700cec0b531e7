"""One quality score for a pair, learned from labels that a user supplies, with its parts visible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Columns, PoolFact, Scan, State
from curate.errors import RecipeError
from curate.schema import hash_words
from stages.select import logistic
from stages.select.labels import Labels, label_file, read_labels
from stages.select.logistic import Category, Model, Number, Term, Vector, auc, rows_of, sigmoid


class Quality(PoolFact):
    """Probability that a pair is good, by a logistic model of columns that the pool already has.

    Learned from the labelled rows that are found in the pool, and from nothing else; there is no weight that a person
    chose. Each feature adds one part to the log-odds (see `stages.select.logistic`): numbers piecewise linearly, texts
    (`lang`, `caption_faults`) by value, embeddings linearly. How well it does is measured on rows that it did not see:
    the labelled rows fall into `folds` by a hash of (seed, uid), and each is scored by a model of the others.
    """

    version: ClassVar[int] = 2

    labels: str = Field(description="CSV or Parquet file with a column of names and one of labels")
    by: Literal["uid", "key"] = Field(default="uid", description="its names, also the column's")
    label: str = Field(default="label", description="its column: 0 and 1, or grades; the highest is best")
    features: tuple[str, ...] = Field(min_length=1, description="columns of numbers, texts or embeddings")
    l2: float = Field(default=1.0, gt=0, description="penalty on the squared weights; more of it, flatter parts")
    knots: int = Field(default=5, ge=2, le=64, description="of a number's term, at quantiles; 2 is a straight line")
    categories: int = Field(default=16, ge=1, le=256, description="values of a text that have a weight of their own")
    folds: int = Field(default=5, ge=2, le=20)

    def inputs(self) -> tuple[str, ...]:
        """The features, and the key if the labels go by it."""
        return (*self.features, *(("key",) if self.by == "key" else ()))

    def files(self) -> tuple[str, ...]:
        """The labels."""
        return (label_file(self.labels),)

    def gives(self) -> dict[str, pa.DataType]:
        """quality: 0 to 1; quality_prior plus each feature's quality_NAME are its log-odds; quality_auc: of the score on
        rows that it was not learned from, 0 to 1. Prior and AUC are the same in every row."""
        parts = {f"quality_{name}": pa.float32() for name in self.features}
        return {"quality": pa.float32(), **parts, "quality_prior": pa.float32(), "quality_auc": pa.float32()}

    def fit(self, scan: Scan, seed: int) -> State:
        """State: the model, `labelled` rows, `auc` of each fold, and their mean. Raises RecipeError without labelled rows."""
        known = read_labels(self.labels, self.by, self.label)
        uids, labels, features = labelled(scan, known, self.features, self.labels)
        learn = partial(logistic.fit, l2=self.l2, knots=self.knots, categories=self.categories)
        model = learn(features, labels)

        def score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
            return learn(rows_of(features, train), labels[train]).odds(rows_of(features, test))

        folds = cross_validated(score, uids, labels, self.folds, seed)
        return {**_to_state(model), "labelled": np.array(len(labels)), "folds": folds, "auc": np.nanmean(folds)}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Row by row from the stored columns."""
        model = _from_state(state, self.features)
        numbers = {name for name, term in model.terms.items() if isinstance(term, Number)}
        parts = model.parts({name: _feature(columns[name], name in numbers) for name in self.features})
        odds = model.prior + np.sum(list(parts.values()), axis=0)
        rows = len(odds)
        same = {"quality_prior": np.full(rows, model.prior), "quality_auc": np.full(rows, state["auc"])}
        named = {f"quality_{name}": part for name, part in parts.items()}
        found = {"quality": sigmoid(odds), **named, **same}
        return {name: values.astype(np.float32) for name, values in found.items()}


def labelled(
    scan: Scan, labels: Labels, names: Sequence[str], path: str
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """The pool's labelled rows, sorted by uid: uid words (n, 2), labels (n,), features. Memory is these rows.

    Raises RecipeError where they do not tell good from bad.
    """
    wanted = [*names, *(["key"] if labels.by == "key" else [])]
    parts = [part for part in scan.map(partial(_labelled_rows, labels, tuple(names)), *wanted) if len(part["label"])]
    found = sum(len(part["label"]) for part in parts)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    if not parts or columns["label"].min() == columns["label"].max():
        raise RecipeError(
            f"{path}: {found} of its {len(labels.names)} samples are in the pool with all features, "
            f"{'all with one label' if found else 'by ' + labels.by}: nothing can be learned"
        )
    uid = columns["uid"]
    order = np.lexsort((columns["position"], uid[:, 1], uid[:, 0]))
    return uid[order], columns["label"][order], {name: _feature(columns[name][order]) for name in names}


def _labelled_rows(labels: Labels, names: tuple[str, ...], columns: Columns) -> dict[str, np.ndarray]:
    values = labels.of(columns)
    rows = np.flatnonzero(np.isfinite(values))
    ids = {"uid": columns["uid"][rows], "position": columns["position"][rows], "label": values[rows]}
    return {**ids, **{name: columns[name][rows] for name in names}}


def _feature(values: np.ndarray, number: bool = False) -> np.ndarray:
    """Numbers as float64 (n,), NaN where missing or not finite; embeddings and texts as they are.

    Booleans are numbers, also with nulls among them, when a column holds objects. One of nulls alone is a number if a
    model says so (`number`).
    """
    if values.ndim == 2:
        return values
    if values.dtype == object:
        known = [value for value in values.tolist() if value is not None]
        if not number and not (known and all(isinstance(value, bool | int | float) for value in known)):
            return values
    numbers = values.astype(np.float64)  # None becomes NaN
    return np.where(np.isfinite(numbers), numbers, np.nan)


def cross_validated(
    score: Callable[[np.ndarray, np.ndarray], np.ndarray], uids: np.ndarray, labels: np.ndarray, folds: int, seed: int
) -> np.ndarray:
    """AUC per fold, float64 (folds,): `score(train, test)` ranks rows `test` after learning from `train`.

    Equal uids share a fold. A label counts as good from 0.5 on. NaN for a fold without good or without bad rows.
    """
    fold = hash_words(seed, uids, "quality") % np.uint64(folds)
    found = np.full(folds, np.nan)
    for number in range(folds):
        test = fold == number
        good = labels[test] >= 0.5
        if test.any() and 0 < good.sum() < len(good) and labels[~test].min(initial=1) < labels[~test].max(initial=0):
            found[number] = auc(score(np.flatnonzero(~test), np.flatnonzero(test)), good)
    return found


def _to_state(model: Model) -> State:
    state: State = {"prior": np.array(model.prior)}
    for name, term in model.terms.items():
        kind: dict[str, np.ndarray] = (
            {"mean": term.mean, "scale": term.scale}
            if isinstance(term, Vector)
            else {"values": term.values}
            if isinstance(term, Category)
            else {"knots": term.knots}
            if isinstance(term, Number)
            else {}
        )
        state |= {f"{name}:{part}": values for part, values in kind.items()}
        state[f"{name}:weights"] = model.weights[name]
    return state


def _from_state(state: State, names: Sequence[str]) -> Model:
    terms: dict[str, Term] = {}
    for name in names:
        if f"{name}:knots" in state:
            terms[name] = Number(state[f"{name}:knots"])
        elif f"{name}:values" in state:
            terms[name] = Category(state[f"{name}:values"])
        else:
            terms[name] = Vector(state[f"{name}:mean"], state[f"{name}:scale"])
    weights: Mapping[str, np.ndarray] = {name: state[f"{name}:weights"] for name in names}
    return Model(float(state["prior"]), terms, weights)
