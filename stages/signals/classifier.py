"""A fastText classifier of captions: one's own quality model, or a published one (DCLM, NSFW words, topics), by path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal
from curate.errors import MissingExtra, ModelError
from curate.models.cache import file_sha256

PREFIX = "__label__"


class CaptionClassifier(Signal):
    """Probability that a fastText model (Joulin et al. 2017, `.bin` or `.ftz`) gives a label for the caption.

    The caption is read as one line, as `line` does it; train on captions that went through the same.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 0.02

    model: str = Field(description="path of the model")
    label: str = Field(description="the label whose probability is wanted, with or without `__label__`")

    def gives(self) -> dict[str, pa.DataType]:
        """caption_class_score: 0 to 1; no caption, no fact."""
        return {"caption_class_score": pa.float32()}

    def models(self) -> tuple[str, ...]:
        """The model's file as a spec."""
        return (f"file:{self.model}",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Raises ModelError for a file that is no fastText classifier, or one without the label."""
        path = Path(self.model)
        if not path.is_file():
            raise ModelError(f"there is no fastText model at {path}")
        texts: Sequence[str | None] = batch.columns["text"].tolist()
        scores = probabilities(open_classifier(path, file_sha256(path)), [text or "" for text in texts], self.label)
        return {"caption_class_score": [None if t is None else s for t, s in zip(texts, scores.tolist(), strict=True)]}


def line(text: str) -> str:
    """A caption as fastText reads it: lower case, one line, and nothing in it that fastText would take for a label."""
    return " ".join(text.lower().replace(PREFIX, "label ").split())


def probabilities(model: Any, texts: Sequence[str], label: str) -> np.ndarray:
    """float32 (n,) of the label for each text. `model`: as `open_classifier` gives it. Raises ModelError without it."""
    wanted = label if label.startswith(PREFIX) else PREFIX + label
    known = model.getLabels("strict")[0] if model.getArgs().model.name == "supervised" else []
    if wanted not in known:
        raise ModelError(
            f"the fastText model has no label {wanted!r}; its labels are: {', '.join(known[:8]) or 'none'}"
        )
    found = np.zeros(len(texts), np.float32)
    for i, text in enumerate(texts):
        scores = {name: score for score, name in model.predict(line(text) + "\n", -1, 0.0, "strict")}
        found[i] = min(scores.get(wanted, 0.0), 1.0)  # fastText adds 1e-5 to a probability before its logarithm
    return found


@lru_cache(maxsize=4)
def open_classifier(path: Path, digest: str) -> Any:
    """The binding below fastText's Python class, whose `predict` breaks with numpy 2. `digest` tells contents apart."""
    try:
        import fasttext
    except ImportError as error:
        raise MissingExtra("fasttext", extra="text") from error
    try:
        model = fasttext.load_model(str(path)).f
    except ValueError as error:
        raise ModelError(f"{path} is no fastText model: {error}") from error
    return model
