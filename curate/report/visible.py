"""Text from the web, made safe to look at: nothing in it can hide, reorder or disguise what stands around it."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from markupsafe import Markup, escape

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's general categories of controls, of format characters (bidirectional overrides and marks, zero-width space,
soft hyphen, tags), of lone surrogates, and of line and paragraph separators."""
_HARMLESS: Final = frozenset("\t\n\u200c\u200d")
"""Spacing that HTML folds, and the joiners that scripts and emoji are written with."""


def visible(text: str) -> str:
    """Characters that cannot be seen, or that move others, as their code point: ⟨202E⟩."""
    return "".join(
        f"\u27e8{ord(c):04X}\u27e9" if unicodedata.category(c) in _HIDDEN and c not in _HARMLESS else c for c in text
    )


def shorten(text: object, limit: int) -> str:
    """At most `limit` characters; an ellipsis tells that there were more."""
    whole = "" if text is None else str(text)
    return whole if len(whole) <= limit else whole[: limit - 1].rstrip() + "…"


def safe(text: object) -> Markup:
    """For HTML text and quoted attributes: `visible`, then escaped."""
    return escape(visible(str(text)))


def finalize(value: Any) -> Any:
    """For the template: every string that it prints is made visible before it is escaped. Markup is ours, and passes."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
