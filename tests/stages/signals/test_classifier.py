"""A real fastText model, trained here, as a signal."""

from __future__ import annotations

from pathlib import Path

import fasttext
import numpy as np
import pytest

from curate.contracts import Batch
from curate.errors import ModelError
from stages.signals.classifier import CaptionClassifier, line


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Tells `sale` from `lake`; ten threads, because fastText initialises its matrix with ten."""
    folder = tmp_path_factory.mktemp("fasttext")
    lines = ["__label__ad buy now sale today", "__label__fine a quiet lake at dawn"] * 200
    (folder / "examples.txt").write_text("\n".join(lines) + "\n")
    trained = fasttext.train_supervised(str(folder / "examples.txt"), thread=10, verbose=0, dim=8, bucket=0, epoch=20)
    trained.save_model(str(folder / "model.bin"))
    return str(folder / "model.bin")


def score(step: CaptionClassifier, *texts: str | None) -> list[float | None]:
    return list(step.compute(Batch({"text": np.array(texts, object)}))["caption_class_score"])


def test_probability_of_a_label(model: str) -> None:
    found = score(CaptionClassifier(model=model, label="ad"), "Buy now!\nSALE", "a quiet LAKE", None, "")
    assert found[0] is not None
    assert found[1] is not None
    assert found[0] > 0.9
    assert found[1] < 0.1
    assert found[2] is None
    assert found[3] is not None
    other = score(CaptionClassifier(model=model, label="__label__fine"), "Buy now!\nSALE")
    assert found[0] + (other[0] or 0) == pytest.approx(1, abs=1e-3)


def test_a_caption_is_one_line_and_carries_no_label() -> None:
    assert line("A\n__label__ad  Dog\t") == "a label ad dog"


def test_what_is_no_classifier_is_refused(model: str, tmp_path: Path) -> None:
    (tmp_path / "broken.bin").write_bytes(b"no model")
    for path, label, message in (
        (model, "other", "no label '__label__other'"),
        (str(tmp_path / "broken.bin"), "ad", "is no fastText model"),
        (str(tmp_path / "gone.bin"), "ad", "there is no fastText model"),
    ):
        with pytest.raises(ModelError, match=message):
            score(CaptionClassifier(model=path, label=label), "a dog")
