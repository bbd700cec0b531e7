"""Decisions about captions: each rule catches its fault and lets real captions pass."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from curate.contracts import Batch, Columns
from filters.text import Action, CaptionLength, CleanText, Complexity, Language, Letters, Perplexity
from stages.signals.text import CaptionStats


def column(*texts: str | None) -> Columns:
    values = np.empty(len(texts), object)
    values[:] = texts
    return {"text": values}


def counted(*texts: str | None) -> Columns:
    return {name: np.array(v) for name, v in CaptionStats().compute(Batch(column(*texts))).items()}


def test_caption_length_is_inclusive() -> None:
    columns = {"caption_words": np.array([1, 2, 5, 6]), "caption_chars": np.array([9, 9, 9, 9])}
    assert CaptionLength(min_words=2, max_words=5)(columns).tolist() == [False, True, True, False]
    assert CaptionLength(min_chars=9, max_chars=9)(columns).all()


def test_caption_length_needs_only_what_it_limits() -> None:
    assert CaptionLength(max_chars=9).inputs() == ("caption_chars",)
    assert CaptionLength(min_words=1, max_chars=9).bounds() == {"caption_words": (1, None), "caption_chars": (None, 9)}
    with pytest.raises(ValidationError, match="give at least one of"):
        CaptionLength()


def test_a_missing_count_drops() -> None:
    columns = {"caption_words": np.array([np.nan, 3.0])}
    assert CaptionLength(max_words=5)(columns).tolist() == [False, True]


def test_language_takes_one_or_many() -> None:
    columns = {
        "lang": np.array(["en", "de", None, "en"], object),
        "lang_score": np.array([0.9, 0.9, np.nan, 0.4], np.float32),
    }
    assert Language(keep="en")(columns).tolist() == [True, False, False, True]
    assert Language(keep=("en", "de"), min_score=0.5)(columns).tolist() == [True, True, False, False]
    assert Language(keep="en", certainty=0.95)(columns).tolist() == [True, True, False, True]
    with pytest.raises(ValidationError, match="at least 1 item"):
        Language(keep=())


def test_each_language_has_its_own_least_probability() -> None:
    columns = {
        "lang": np.array(["en", "de", "de", "fr", None], object),
        "lang_score": np.array([0.5, 0.69, 0.7, 0.2, np.nan], np.float32),
    }
    step = Language.model_validate({"keep": {"en": 0.5, "de": 0.7}})
    assert step(columns).tolist() == [True, False, True, False, False]
    assert step.bounds() == {}
    doubting = Language.model_validate({"keep": {"en": 0.5, "de": 0.7}, "certainty": 0.3})
    assert doubting(columns).tolist() == [True, False, True, True, False]
    with pytest.raises(ValidationError, match="leave out min_score"):
        Language.model_validate({"keep": {"en": 0.5}, "min_score": 0.3})
    with pytest.raises(ValidationError, match="from 0 to 1"):
        Language.model_validate({"keep": {"en": 1.5}})


def test_perplexity_complexity_and_action_are_inclusive() -> None:
    assert Perplexity(min=2, max=10)({"perplexity": np.array([1.9, 2, 10, 10.1, np.nan])}).tolist() == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert Complexity()({"caption_complexity": np.array([0.0, 1, np.nan])}).tolist() == [False, True, False]
    actions = {"caption_actions": np.array(["", "run", "run,jump", None], object)}
    assert Action()(actions).tolist() == [False, True, True, False]
    assert Action(min=2)(actions).tolist() == [False, False, True, False]


def test_letters() -> None:
    columns = counted("a red bus", "!!! @@ 1", "красный 1 автобус", "#### ab")
    assert Letters(min=0.5)(columns).tolist() == [True, False, True, False]


def test_clean_text_drops_faults_that_are_not_allowed() -> None:
    columns = counted("a red bus", "IMG_1.jpg", "a &amp; b", "see http://a.b <b>now</b>", None)
    assert CleanText()(columns).tolist() == [True, False, False, False, False]
    assert CleanText(allow=("markup",))(columns).tolist() == [True, False, True, False, False]
    assert CleanText(allow=("address", "markup"))(columns).tolist() == [True, False, True, True, False]
    with pytest.raises(ValidationError):
        CleanText.model_validate({"allow": ["spam"]})
