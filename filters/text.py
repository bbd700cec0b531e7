"""Decisions about captions."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from curate.contracts import Bounds, Columns, Filter
from filters.thresholds import all_within, within


class CaptionLength(Filter):
    """Keeps captions within limits of words (`text.split()`) and characters (code points), all inclusive."""

    min_words: int | None = Field(default=None, ge=0)
    max_words: int | None = Field(default=None, ge=0)
    min_chars: int | None = Field(default=None, ge=0)
    max_chars: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if not self.bounds():
            raise ValueError("give at least one of min_words, max_words, min_chars, max_chars")
        return self

    def inputs(self) -> tuple[str, ...]:
        """Only the counts that are limited."""
        return tuple(self.bounds())

    def bounds(self) -> Bounds:
        """Limits per count."""
        limits: Bounds = {
            "caption_words": (self.min_words, self.max_words),
            "caption_chars": (self.min_chars, self.max_chars),
        }
        return {name: pair for name, pair in limits.items() if pair != (None, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return all_within(columns, self.bounds())


class Language(Filter):
    """Keeps captions whose most probable language is one of `keep`, with at least the probability `min_score`.

    Short captions are often taken for another language with a low probability: `certainty` keeps those for which the other
    language's probability is below it. At 0.5 a caption is dropped when another language is likelier than all else together.
    """

    model_config = ConfigDict(populate_by_name=True)

    needs: ClassVar[tuple[str, ...]] = ("lang", "lang_score")

    languages: str | tuple[str, ...] | dict[str, float] = Field(
        alias="keep",
        min_length=1,
        description="ISO 639 codes, one or a list, or each with its least probability: `en`, `[en, de]`, `{en: .5, de: .7}`",
    )
    min_score: float = Field(default=0.0, ge=0, le=1, description="least probability of a language without its own")
    certainty: float = Field(
        default=0.0, ge=0, le=1, description="probability from which another language drops a caption"
    )

    @model_validator(mode="after")
    def _one_least_probability(self) -> Self:
        if isinstance(self.languages, dict):
            if self.min_score:
                raise ValueError("each language has its own probability: leave out min_score")
            if not all(0 <= score <= 1 for score in self.languages.values()):
                raise ValueError("a probability is a number from 0 to 1")
        return self

    def bounds(self) -> Bounds:
        """The lowest probability that stays, where one counts for all languages."""
        return {"lang_score": (self.min_score, None)} if self.min_score > 0 else {}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a caption without a language."""
        named = np.array([lang is not None for lang in columns["lang"]], bool)
        lang, score = columns["lang"].astype(str), columns["lang_score"]
        wanted, enough = np.zeros(len(named), bool), np.zeros(len(named), bool)
        for language, least in self._least().items():
            wanted |= named & (lang == language)
            enough |= (lang == language) & within(score, least, None)
        doubtful = named & ~wanted & (score < self.certainty)
        return doubtful | (wanted & enough)

    def _least(self) -> dict[str, float]:
        """Each language's least probability."""
        if isinstance(self.languages, dict):
            return self.languages
        names = (self.languages,) if isinstance(self.languages, str) else self.languages
        return dict.fromkeys(names, self.min_score)


class Letters(Filter):
    """Keeps captions of which at least `min` of the characters that are not white space are letters, in any script."""

    needs: ClassVar[tuple[str, ...]] = ("caption_letters",)

    min: float = Field(gt=0, le=1)

    def bounds(self) -> Bounds:
        """The lowest share that stays."""
        return {"caption_letters": (self.min, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return all_within(columns, self.bounds())


class CleanText(Filter):
    """Drops captions that nobody wrote as one: addresses, file names, markup, control characters, a shop's phrases.

    `CaptionStats` finds the faults (`stages/signals/faults.py` has the rules); `allow` names those that may stay.
    """

    needs: ClassVar[tuple[str, ...]] = ("caption_faults",)

    allow: tuple[Literal["address", "filename", "markup", "control", "boilerplate"], ...] = ()

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return _only(columns["caption_faults"], self.allow)


class CleanUnicode(Filter):
    """Drops captions whose characters are at fault: broken decoding, disguised words, hidden characters.

    `Hygiene` finds the faults (`stages/signals/hygiene.py` has the rules); `allow` names those that may stay.
    """

    needs: ClassVar[tuple[str, ...]] = ("caption_hygiene",)

    allow: tuple[Literal["replacement", "mojibake", "not_nfc", "mixed_script", "styled", "invisible", "bidi"], ...] = ()

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return _only(columns["caption_hygiene"], self.allow)


class NoPersonalData(Filter):
    """Drops captions with personal data or addresses; `allow` names the kinds that may stay, such as `[url]`."""

    needs: ClassVar[tuple[str, ...]] = ("caption_pii",)

    allow: tuple[Literal["email", "url", "ip", "iban", "card", "phone"], ...] = ()

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return _only(columns["caption_pii"], self.allow)


class NoProfanity(Filter):
    """Keeps captions with at most `max` different profanities of the lists that count, `allow` left out.

    A word may be harmless in another language: only the list of the caption's own language counts and those in `always`;
    `languages` takes fixed lists instead, and then needs no language.
    """

    needs: ClassVar[tuple[str, ...]] = ("profanity",)

    max: int = Field(default=0, ge=0)
    languages: tuple[str, ...] | None = Field(default=None, min_length=1, description="lists; null: the caption's own")
    always: tuple[str, ...] = Field(default=("en",), description="lists that count beside the caption's own")
    allow: tuple[str, ...] = Field(default=(), description="words that may stay, in lower case")

    def inputs(self) -> tuple[str, ...]:
        """The language only where it decides."""
        return self.needs if self.languages else (*self.needs, "lang")

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        found = columns["profanity"]
        kept = found == ""
        for i in np.flatnonzero(~kept & (found != None)):  # noqa: E711
            lists = self.languages or (*self.always, columns["lang"][i])
            words = (entry.split(":", 1) for entry in found[i].split(","))
            kept[i] = len({word for lang, word in words if lang in lists and word not in self.allow}) <= self.max
        return kept


class Repetition(Filter):
    """Keeps captions that repeat themselves little: shares of repeated n-grams, as `Repetition` measures them.

    OBELICS drops paragraphs above 0.1 of either (Laurencon et al. 2023, appendix A). That is for paragraphs: a short
    caption in which a name stands twice has up to 0.3 and 0.4, a word said six times 0.3 and 1.
    """

    needs: ClassVar[tuple[str, ...]] = ("char_repetition", "word_repetition")

    max_characters: float = Field(default=0.3, ge=0, le=1)
    max_words: float = Field(default=0.5, ge=0, le=1)

    def bounds(self) -> Bounds:
        """The highest shares that stay."""
        return {"char_repetition": (None, self.max_characters), "word_repetition": (None, self.max_words)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return all_within(columns, self.bounds())


class Perplexity(Filter):
    """Keeps captions whose perplexity is within limits. What a value means depends on the model that gave it."""

    needs: ClassVar[tuple[str, ...]] = ("perplexity",)

    max: float = Field(gt=1, description="OBELICS took 1500 for paragraphs by KenLM on Wikipedia")
    min: float | None = Field(
        default=None, ge=1, description="below it a text is boilerplate that the model knows by heart"
    )

    def bounds(self) -> Bounds:
        """The limits."""
        return {"perplexity": (self.min, self.max)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a caption without a perplexity."""
        return all_within(columns, self.bounds())


class Complexity(Filter):
    """Keeps captions that say enough of an object: CAT's complexity (Radenovic et al. 2023, section 3.1, at least 1)."""

    needs: ClassVar[tuple[str, ...]] = ("caption_complexity",)

    min: int = Field(default=1, ge=1)

    def bounds(self) -> Bounds:
        """The lowest complexity that stays."""
        return {"caption_complexity": (self.min, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return all_within(columns, self.bounds())


class Action(Filter):
    """Keeps captions in which somebody or something acts: CAT's second criterion (Radenovic et al. 2023, section 3.1)."""

    needs: ClassVar[tuple[str, ...]] = ("caption_actions",)

    min: int = Field(default=1, ge=1, description="different actions")

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return np.array([bool(a) and a.count(",") + 1 >= self.min for a in columns["caption_actions"]], bool)


class Frequency(Filter):
    """Drops captions that too many pairs share, as such or as a template with numbers in it.

    ALIGN drops alt-texts of more than 10 images (Jia et al. 2021, section 3); it has no rule on templates.
    """

    max: int | None = Field(default=10, ge=1, description="pairs with the caption; null: any number")
    max_template: int | None = Field(default=None, ge=1, description="pairs with the caption's template")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if not self.bounds():
            raise ValueError("give at least one of max, max_template")
        return self

    def inputs(self) -> tuple[str, ...]:
        """Only the counts that are limited."""
        return tuple(self.bounds())

    def bounds(self) -> Bounds:
        """The highest counts that stay."""
        limits: Bounds = {"caption_count": (None, self.max), "template_count": (None, self.max_template)}
        return {name: pair for name, pair in limits.items() if pair != (None, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return all_within(columns, self.bounds())


def _only(flags: np.ndarray, allowed: Collection[str]) -> np.ndarray:
    """Boolean (n,): the flags of a row, `one,other`, are all allowed; a missing value is not."""
    kept = flags == ""
    if allowed:
        for i in np.flatnonzero(~kept & (flags != None)):  # noqa: E711
            kept[i] = set(flags[i].split(",")) <= set(allowed)
    return kept
