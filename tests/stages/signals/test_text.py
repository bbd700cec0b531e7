"""Caption counts against plain Python, and the language model against its own single-caption call."""

from __future__ import annotations

from pathlib import Path

import fasttext
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.contracts import Batch
from curate.errors import ModelError
from stages.signals.text import CaptionStats, Language, detect, language_model

TEXT = st.text(max_size=40)
CAPTIONS = st.lists(st.none() | TEXT | st.sampled_from(["", " ", "a\u00a0b", "一只狗", "\x1f x \x85", "dog\n\ncat "]))


def stats(*captions: str | None) -> dict[str, list[object]]:
    column = np.empty(len(captions), object)
    column[:] = captions
    return {name: list(values) for name, values in CaptionStats().compute(Batch({"text": column})).items()}


@given(CAPTIONS)
@example([None, None])
@example(["", "", "a"])
def test_counts_are_those_of_python(captions: list[str | None]) -> None:
    found = stats(*captions)
    given = [(i, text) for i, text in enumerate(captions) if text is not None]
    for i, text in given:
        solid = sum(not c.isspace() for c in text)
        assert found["caption_words"][i] == len(text.split())
        assert found["caption_chars"][i] == len(text)
        assert found["caption_letters"][i] == pytest.approx(sum(map(str.isalpha, text)) / max(1, solid))
    missing = set(range(len(captions))) - {i for i, _ in given}
    assert all(values[i] is None for values in found.values() for i in missing)


def test_faults_are_named() -> None:
    found = stats("see HTTPS://c.d <br>", "a red bus", None, "awww.dogs are here")
    assert found["caption_faults"] == ["address,markup", "", None, ""]


def test_languages() -> None:
    codes, scores = detect(
        ["a photo of a dog in the snow", "ein Hund im tiefen Schnee", "雪の中の犬の写真", "chien\ndans la neige"]
    )
    assert codes == ["en", "de", "ja", "fr"]
    assert scores.dtype == np.float32
    assert ((scores > 0.3) & (scores <= 1)).all()


def test_a_batch_says_what_single_captions_say() -> None:
    captions = ["a red bus", "un autobús rojo\nen la calle", "", "красный автобус", "1234", "🚌🚌"]
    model = fasttext.load_model(str(language_model())).f
    single = [model.predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")[0] for text in captions]
    codes, scores = detect(captions)
    assert codes == [label.removeprefix("__label__") for _, label in single]
    assert scores.tolist() == pytest.approx([min(1.0, score) for score, _ in single])


def test_no_caption_has_no_language() -> None:
    column = np.array([None, "the cat sat on the mat"], object)
    found = Language().compute(Batch({"text": column}))
    assert list(found["lang"]) == [None, "en"]
    assert found["lang_score"][0] is None


def test_a_model_that_changes_is_opened_again(tmp_path: Path) -> None:
    path, texts = tmp_path / "lid.ftz", tmp_path / "train.txt"
    for label in ("en", "fr"):
        texts.write_text(f"__label__{label} a cat on a mat\n" * 50)
        size = 4 if label == "en" else 8  # thread=10: fastText 0.9.3 fills a tenth of its matrix per thread
        model = fasttext.train_supervised(str(texts), dim=size, bucket=0, epoch=1, thread=10, verbose=0)
        model.save_model(str(path))
        assert detect(["a cat"], str(path))[0] == [label]
    path.write_bytes(b"broken")
    with pytest.raises(ModelError, match="is no fastText model"):
        detect(["a cat"], str(path))


def test_a_model_by_path() -> None:
    step = Language(model=str(language_model()))
    assert step.models() == Language().models() == (f"file:{language_model()}",)
    with pytest.raises(ModelError, match=r"there is no fastText model at /nowhere/lid\.176\.bin"):
        Language(model="/nowhere/lid.176.bin").models()
