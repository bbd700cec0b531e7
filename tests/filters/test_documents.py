"""Columns of words, and words that may stand there."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from filters.documents import OneOf, Without


def test_one_of() -> None:
    columns = {"format": np.array(["JPEG", "GIF", None, "jpeg"], object)}
    assert OneOf(column="format", values=("JPEG", "PNG"))(columns).tolist() == [True, False, False, False]
    assert OneOf(column="format", values=("JPEG",), missing=True)(columns).tolist() == [True, False, True, False]
    with pytest.raises(ValidationError):
        OneOf(column="format", values=())


def test_without() -> None:
    urls = np.array(
        ["https://x/favicon.png", "https://x/Logo.png", "https://x/essex.jpg", None, "https://x/a.png"], object
    )
    assert Without(column="url", parts=("logo", "icon", "sex"))({"url": urls}).tolist() == [
        False,
        True,
        False,
        True,
        True,
    ]
    with pytest.raises(ValidationError):
        Without(column="url", parts=())
