"""Columns of words, and words that may stand there."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from filters.documents import OneOf


def test_one_of() -> None:
    columns = {"format": np.array(["JPEG", "GIF", None, "jpeg"], object)}
    assert OneOf(column="format", values=("JPEG", "PNG"))(columns).tolist() == [True, False, False, False]
    assert OneOf(column="format", values=("JPEG",), missing=True)(columns).tolist() == [True, False, True, False]
    with pytest.raises(ValidationError):
        OneOf(column="format", values=())
