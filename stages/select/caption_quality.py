"""A caption's quality by its words alone, learned by fastText from labels that a user supplies."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Columns, PoolFact, Scan, State
from curate.errors import MissingExtra, RecipeError
from stages.select.labels import label_file, read_labels
from stages.select.quality import cross_validated, labelled
from stages.signals.classifier import PREFIX, line, open_classifier, probabilities

GOOD, BAD = "good", "bad"
_END: Final = "</s>"
"""What fastText puts at the end of each line."""


class CaptionQuality(PoolFact):
    """Probability that a caption is good, by a linear classifier of its words and word pairs (Joulin et al. 2017).

    Trained with one thread from labels of samples in the pool; a label counts as good from the middle of its scale on.
    fastText 0.9.3 leaves nine tenths of its matrix as memory happens to be when it runs in one thread (its ten blocks
    are filled by ten threads), so every row is given by a hash of its word: equal labels and captions, equal bytes.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)

    labels: str = Field(description="CSV or Parquet file with a column of names and one of labels")
    by: Literal["uid", "key"] = Field(default="uid", description="its names, also the column's")
    label: str = Field(default="label", description="its column: 0 and 1, or grades; the highest is best")
    dimensions: int = Field(default=16, ge=2, le=300)
    epochs: int = Field(default=25, ge=1, le=1000)
    rate: float = Field(default=0.1, gt=0, le=1, description="learning rate at the start; it falls to 0")
    folds: int = Field(default=5, ge=2, le=20)

    def inputs(self) -> tuple[str, ...]:
        """The caption, and the key if the labels go by it."""
        return ("text", *(("key",) if self.by == "key" else ()))

    def files(self) -> tuple[str, ...]:
        """The labels."""
        return (label_file(self.labels),)

    def gives(self) -> dict[str, pa.DataType]:
        """caption_quality: 0 to 1, null without a caption; caption_quality_auc: of captions that it was not learned from,
        the same in every row."""
        return {"caption_quality": pa.float32(), "caption_quality_auc": pa.float32()}

    def fit(self, scan: Scan, seed: int) -> State:
        """State: the `model` file, uint8; `labelled` rows; `auc` of each fold, and their mean. Raises RecipeError."""
        known = read_labels(self.labels, self.by, self.label)
        uids, labels, columns = labelled(scan, known, ("text",), self.labels)
        lines = np.array([_tokens(text) for text in columns["text"].tolist()], object)
        good = labels >= 0.5

        def score(train: np.ndarray, test: np.ndarray) -> np.ndarray:
            return _scores(self._train(lines[train], good[train], seed), lines[test])

        folds = cross_validated(score, uids, labels, self.folds, seed)
        model = self._train(lines, good, seed)
        return {"model": model, "labelled": np.array(len(labels)), "folds": folds, "auc": np.nanmean(folds)}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Caption by caption."""
        texts = columns["text"].tolist()
        scores = _scores(state["model"], [_tokens(text) for text in texts]).tolist()
        auc = np.full(len(texts), state["auc"], np.float32)
        return {
            "caption_quality": [None if text is None else score for text, score in zip(texts, scores, strict=True)],
            "caption_quality_auc": auc,
        }

    def _train(self, lines: np.ndarray, good: np.ndarray, seed: int) -> np.ndarray:
        try:
            import fasttext
        except ImportError as error:
            raise MissingExtra("fasttext", extra="text") from error
        with tempfile.TemporaryDirectory(prefix="curate-fasttext-") as folder:
            examples, vectors, model = (Path(folder) / name for name in ("examples.txt", "words.vec", "model.bin"))
            labelled_lines = zip(np.where(good, GOOD, BAD).tolist(), lines.tolist(), strict=True)
            examples.write_text("".join(f"{PREFIX}{label} {text}\n" for label, text in labelled_lines), "utf-8")
            vectors.write_text(_vectors(lines, self.dimensions, seed), "utf-8")
            words_only = {"wordNgrams": 1, "bucket": 0, "minn": 0, "maxn": 0}
            settings = {
                "dim": self.dimensions,
                "epoch": self.epochs,
                "lr": self.rate,
                "pretrainedVectors": str(vectors),
            }
            try:
                trained = fasttext.train_supervised(
                    str(examples), thread=1, seed=0, verbose=0, **words_only, **settings
                )
            except RuntimeError as error:  # its gradient has no limit
                raise RecipeError(f"fastText did not learn: {error}; lower `rate` ({self.rate})") from error
            trained.save_model(str(model))
            return np.frombuffer(model.read_bytes(), np.uint8)


def _tokens(text: str | None) -> str:
    """Words, then pairs of neighbours as words of their own."""
    words = line(text or "").replace(_END, "").split()
    return " ".join([*words, *(f"{one}_{two}" for one, two in pairwise(words))])


def _vectors(lines: np.ndarray, dimensions: int, seed: int) -> str:
    """A start for every word that stands in the lines: uniform within 1 / dimensions, by a hash of (seed, word)."""
    words = sorted({word for text in lines.tolist() for word in text.split()} | {_END})
    rows = [f"{len(words)} {dimensions}"]
    for word in words:
        digest = hashlib.blake2b(f"{seed}/{word}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        start = np.random.default_rng(int.from_bytes(digest, "little")).uniform(-1, 1, dimensions) / dimensions
        rows.append(f"{word} {' '.join(f'{value:.7f}' for value in start)}")
    return "\n".join(rows) + "\n"


def _scores(model: np.ndarray, lines: Sequence[str] | np.ndarray) -> np.ndarray:
    """float32 (n,)."""
    return probabilities(_opened(model.tobytes()), list(lines), GOOD)


@lru_cache(maxsize=2)
def _opened(blob: bytes) -> Any:
    """The binding that the bytes hold; fastText opens nothing but files."""
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(blob)
        file.flush()
        return open_classifier(Path(file.name), hashlib.sha256(blob).hexdigest())
