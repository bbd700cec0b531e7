"""The joint score: a product of aspects, from weights that can be read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from curate.contracts import Batch
from curate.errors import ModelError
from curate.fingerprint import fingerprint
from stages.documents.quality import WEIGHTS, DocumentQuality, probabilities, read_weights, stated_weights
from stages.select import logistic

TOY = {
    "aspects": {
        "order": {"prior": 0.0, "parts": {"order_words": {"knots": [0, 2], "weights": [-1, 3], "null": 0}}},
        "text": {"prior": 1.0, "parts": {"prose_links": {"knots": [0, 1], "weights": [1, -5], "null": -1}}},
    }
}


def toy(folder: Path, **changed: object) -> DocumentQuality:
    path = folder / "weights.json"
    path.write_text(json.dumps({**TOY, **changed}))
    return DocumentQuality(weights=str(path))


def odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def test_one_fault_is_enough(tmp_path: Path) -> None:
    step = toy(tmp_path)
    columns = {"order_words": np.array([2.0, 1.0, -9.0, np.nan]), "prose_links": np.array([0.0, 0.0, 0.0, np.nan])}
    found = {name: np.asarray(values) for name, values in step.compute(Batch(columns)).items()}
    assert list(found) == list(step.gives()) == ["document_quality", "document_quality_order", "document_quality_text"]
    assert [odds(p) for p in found["document_quality_order"]] == pytest.approx([3, 1, -1, 0], abs=1e-5)
    assert [odds(p) for p in found["document_quality_text"]] == pytest.approx([2, 2, 2, 0], abs=1e-5)
    product = found["document_quality_order"] * found["document_quality_text"]
    assert found["document_quality"] == pytest.approx(product)
    assert (found["document_quality"] <= np.minimum(*list(found.values())[1:])).all()


def test_shipped_weights_are_read_and_ask_for_columns_that_steps_give() -> None:
    step = DocumentQuality()
    assert set(step.gives()) == {
        "document_quality",
        *(f"document_quality_{a}" for a in ("text", "order", "spread", "fit")),
    }
    assert {"order_words", "prose_edges", "image_place", "mean_relevance_alt"} <= set(step.inputs())
    nothing = {name: np.full(2, np.nan) for name in step.inputs()}
    found = np.asarray(step.compute(Batch(nothing))["document_quality"])
    assert (found > 0).all() and (found < 1).all()
    card = json.loads(WEIGHTS.read_text())
    assert card["command"] == "python -m benchmarks.document_quality --learn"


def test_what_is_learned_is_what_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(400) < 0.1, np.nan, rng.normal(size=400))
    labels = (np.nan_to_num(values) + rng.normal(size=400) > 0).astype(np.float64)
    model = logistic.fit({"order_words": values}, labels, 1.0, 4, 1)
    path = tmp_path / "weights.json"
    path.write_text(json.dumps({"aspects": stated_weights({"order": model})}))
    read = probabilities(read_weights(path), {"order_words": values})["order"]
    assert read == pytest.approx(logistic.sigmoid(model.odds({"order_words": values})), abs=1e-4)


def test_other_weights_are_other_facts(tmp_path: Path) -> None:
    first = fingerprint(toy(tmp_path), {})
    changed = {**TOY["aspects"], "text": {**TOY["aspects"]["text"], "prior": 2.0}}
    assert fingerprint(toy(tmp_path, aspects=changed), {}) != first
    assert toy(tmp_path).inputs() == ("order_words", "prose_links")


@pytest.mark.parametrize(
    "aspects",
    [
        [],
        {"text": {"parts": {}}},
        {"text": {"prior": "much", "parts": {}}},
        {"text": {"prior": 0, "parts": {"prose_links": {"knots": [0, 0], "weights": [1, 2], "null": 0}}}},
        {"text": {"prior": 0, "parts": {"prose_links": {"knots": [0, 1], "weights": [1], "null": 0}}}},
        {"text": {"prior": 0, "parts": {"prose_links": {"knots": [], "weights": [], "null": 0}}}},
    ],
)
def test_files_of_another_form_are_refused(aspects: object, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no weights"):
        toy(tmp_path, aspects=aspects).inputs()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no file"):
        DocumentQuality(weights=str(tmp_path / "none.json")).gives()
