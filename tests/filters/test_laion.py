"""LAION's rules: boundaries stay, languages have thresholds of their own, missing scores are not low scores."""

from __future__ import annotations

import numpy as np
import pytest

from filters.laion import Below, LanguageSimilarity, OneOf, Size


def test_size() -> None:
    columns = {"caption_chars": np.array([5, 4, 5, np.nan]), "bytes": np.array([5000, 9000, 4999, 9000])}
    assert Size()(columns).tolist() == [True, False, False, False]
    assert Size(min_chars=0, min_bytes=0)(columns).tolist() == [True, True, True, False]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_language_similarity(kind: type[np.floating]) -> None:
    columns = {
        "lang": np.array(["en", "en", "de", "de", None, "en"], object),
        "similarity": np.array([0.28, 0.2799, 0.26, 0.2599, 0.27, np.nan], kind),
    }
    assert LanguageSimilarity()(columns).tolist() == [True, False, True, False, True, False]
    strict = LanguageSimilarity(thresholds={"de": 0.3}, other=0.1)
    assert strict(columns).tolist() == [True, True, False, False, True, False]
    assert strict.bounds() == {"similarity": (0.1, None)}


def test_below() -> None:
    columns = {"punsafe": np.array([0.0, 0.49, 0.5, np.nan])}
    assert Below(column="punsafe", max=0.5)(columns).tolist() == [True, True, False, False]
    assert Below(column="punsafe", max=0.5, missing="keep")(columns).tolist() == [True, True, False, True]
    whole = {"score": np.array([0, 1])}
    assert Below(column="score", max=1)(whole).tolist() == [True, False]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("limit", [0.5, 0.7, 0.8, 0.1])
def test_the_limit_itself_is_not_below_it(kind: type[np.floating], limit: float) -> None:
    columns = {"score": np.array([limit, np.nextafter(kind(limit), kind(0)), np.nan], kind)}
    assert Below(column="score", max=limit)(columns).tolist() == [False, True, False]


def test_one_of() -> None:
    columns = {"NSFW": np.array(["UNLIKELY", "NSFW", None], object)}
    assert OneOf(column="NSFW", values=("UNLIKELY", "UNSURE"))(columns).tolist() == [True, False, False]
