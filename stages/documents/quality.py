"""One quality score for a document as a whole: its texts, their order, how images are spread over them, and their fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Kind, Signal
from curate.errors import ModelError
from curate.models.cache import file_sha256
from curate.models.specs import OWN
from stages.select.logistic import Model, Number, sigmoid

WEIGHTS: Final = OWN / "document_quality.json"
"""Learned by `python -m benchmarks.document_quality --learn`."""
DIGITS: Final = 6
"""Of a knot or weight in the file."""


class DocumentQuality(Signal):
    """Probability that nothing is wrong with a document, as a product over aspects that can go wrong by themselves.

    The product is a noisy-or of faults (Pearl 1988, section 4.3.2): one fault is enough, and what is right elsewhere does
    not make up for it, as it would in one sum. An aspect is a logistic model of few columns (`stages.select.logistic`),
    learned from real pages against the same pages with one fault made: menus kept, paragraphs shuffled, images moved to
    the end, images of other pages. A column that is null says nothing but what its weight for null says.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("document",)
    cost: ClassVar[float] = 0.01

    weights: str = Field(default="default", description="`default`, or a JSON file of the same form")

    def inputs(self) -> tuple[str, ...]:
        """The columns that the weights name."""
        return tuple(dict.fromkeys(name for model in self._aspects().values() for name in model.terms))

    def gives(self) -> dict[str, pa.DataType]:
        """document_quality and, per aspect, document_quality_NAME, whose product it is: 0 to 1."""
        return dict.fromkeys(["document_quality", *self._columns().values()], pa.float32())

    def models(self) -> tuple[str, ...]:
        """The file of weights."""
        return (f"file:{self._path()}",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Document by document, from stored columns."""
        found = probabilities(self._aspects(), batch.columns)
        whole = np.prod(list(found.values()), axis=0)
        parts = {self._columns()[name]: values.astype(np.float32) for name, values in found.items()}
        return {"document_quality": whole.astype(np.float32), **parts}

    def _path(self) -> Path:
        return WEIGHTS if self.weights == "default" else Path(self.weights)

    def _aspects(self) -> dict[str, Model]:
        path = self._path()
        if not path.is_file():
            raise ModelError(f"weights: there is no file {path}")
        return _read(path, file_sha256(path))

    def _columns(self) -> dict[str, str]:
        return {name: f"document_quality_{name}" for name in self._aspects()}


def probabilities(aspects: Mapping[str, Model], columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Per aspect, float64 (n,): the probability that it is as it should be."""
    names = {name for model in aspects.values() for name in model.terms}
    numbers = {name: columns[name].astype(np.float64) for name in names}
    return {name: sigmoid(model.odds(numbers)) for name, model in aspects.items()}


def read_weights(path: Path) -> dict[str, Model]:
    """Aspects by name. Raises ModelError for a file of another form.

    JSON: `aspects` -> name -> `prior` (log-odds) and `parts` -> column -> `knots`, `weights` (log-odds at each knot, linear
    between them, constant beyond) and `null` (log-odds where the column is null).
    """
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))["aspects"]
        return {name: _model(aspect["prior"], aspect["parts"]) for name, aspect in stated.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} holds no weights of a document's quality: {error!r}") from error


def _model(prior: float, parts: Mapping[str, Mapping[str, Any]]) -> Model:
    terms, weights = {}, {}
    for name, part in parts.items():
        knots = np.array(part["knots"], np.float64)
        found = np.array([*part["weights"], part["null"]], np.float64)
        if not len(knots) or len(found) != len(knots) + 1 or (np.diff(knots) <= 0).any():
            raise ValueError(f"{name} needs as many weights as knots, and knots that rise")
        terms[name], weights[name] = Number(knots), found
    return Model(float(prior), terms, weights)


def stated_weights(aspects: Mapping[str, Model]) -> dict[str, Any]:
    """What `read_weights` reads, without `aspects` around it."""
    found = {}
    for name, model in aspects.items():
        parts = {}
        for column, term in model.terms.items():
            assert isinstance(term, Number)
            weights = model.weights[column].round(DIGITS).tolist()
            parts[column] = {"knots": term.knots.round(DIGITS).tolist(), "weights": weights[:-1], "null": weights[-1]}
        found[name] = {"prior": round(model.prior, DIGITS), "parts": parts}
    return found


@lru_cache(maxsize=8)
def _read(path: Path, sha256: str) -> dict[str, Model]:
    return read_weights(path)
