"""Noun phrases of an English caption by spaCy's tagger and parser, as in Kosmos-2 (arXiv:2306.14824, section 2.1)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from curate.models.english import english

ABOUT_THE_PICTURE: Final = frozenset(
    (
        "background",
        "close-up",
        "closeup",
        "clipart",
        "drawing",
        "icon",
        "illustration",
        "image",
        "logo",
        "painting",
        "photo",
        "photograph",
        "picture",
        "rendering",
        "scene",
        "screenshot",
        "sketch",
        "text",
        "view",
    )
)
"""Heads of phrases that name the picture, or all of it, and nothing that has a place in it."""

MAX_CHARACTERS: Final = 1000
"""Captions are parsed up to here: the time of a parse grows with its length."""


class NounPhrase(NamedTuple):
    """`caption[start:end] == text`, without its article; `head` is its noun in lower case."""

    text: str
    start: int
    end: int
    head: str


def noun_phrases(caption: str) -> list[NounPhrase]:
    """Base noun phrases in the caption's order; pronouns and phrases about the picture itself are left out.

    Captions are parsed one by one, so that the result does not depend on what else is in a batch.
    """
    found = []
    for chunk in _parser()(caption[:MAX_CHARACTERS]).noun_chunks:
        words = [word for word in chunk if not word.is_space]
        while words and (words[0].pos_ in ("DET", "PRON") or words[0].is_punct):
            words = words[1:]
        if not words or chunk.root.pos_ == "PRON" or chunk.root.lower_ in ABOUT_THE_PICTURE:
            continue
        start, end = words[0].idx, words[-1].idx + len(words[-1])
        found.append(NounPhrase(caption[start:end], start, end, chunk.root.lower_))
    return found


def is_stop_word(word: str) -> bool:
    """Whether spaCy counts the word among the most frequent of English."""
    return word.lower() in _parser().Defaults.stop_words


def _parser() -> Any:
    return english(("ner", "lemmatizer"))
