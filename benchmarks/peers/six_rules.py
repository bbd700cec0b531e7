"""The specification of the caption chain: six rules of web-text curation, as plain functions of one caption.

A caption is kept when every rule keeps it. Words, length, letters and digits, and special characters are those of
common filter sets (Data-Juicer's stock operators, OBELICS, ROOTS) with limits that suit captions; repetition is that of
OBELICS (Laurencon et al. 2023, appendix A.2). Imports nothing, so that every peer can run it.
"""

import re
from collections import Counter
from collections.abc import Callable
from math import isqrt

MIN_WORDS, MAX_WORDS = 3, 128
MIN_CHARS, MAX_CHARS = 5, 1024
MIN_ALNUM, MAX_SPECIAL = 0.6, 0.25
CHARS_NGRAM, WORDS_NGRAM, MAX_REPETITION = 10, 3, 0.3
WORD = re.compile(r"[^\W\d_](?:\S*[^\W\d_])?")


def words(text: str) -> bool:
    """3 to 128 words between white space."""
    return MIN_WORDS <= len(text.split()) <= MAX_WORDS


def length(text: str) -> bool:
    """5 to 1,024 characters."""
    return MIN_CHARS <= len(text) <= MAX_CHARS


def alnum(text: str) -> bool:
    """At least 60 % of all characters are letters or digits."""
    return bool(text) and sum(map(str.isalnum, text)) / len(text) >= MIN_ALNUM


def special(text: str) -> bool:
    """At most 25 % of all characters are neither letter, digit nor white space."""
    return bool(text) and sum(not (c.isalnum() or c.isspace()) for c in text) / len(text) <= MAX_SPECIAL


def character_repetition(text: str) -> bool:
    """The commonest repeated 10-grams, at most sqrt(distinct) of them, make up at most 30 % of all 10-grams."""
    grams = (text[i : i + CHARS_NGRAM] for i in range(len(text) - CHARS_NGRAM + 1))
    counts = sorted(Counter(grams).values(), reverse=True)
    few = min(isqrt(len(counts)), len(counts) - counts.count(1))
    return not counts or sum(counts[:few]) / sum(counts) <= MAX_REPETITION


def word_repetition(text: str) -> bool:
    """3-grams of words (lower case, first letter to last letter) that stand more than once: at most 30 %."""
    found = WORD.findall(text.lower())
    counts = Counter(tuple(found[i : i + WORDS_NGRAM]) for i in range(len(found) - WORDS_NGRAM + 1)).values()
    return not counts or sum(count for count in counts if count > 1) / sum(counts) <= MAX_REPETITION


RULES: dict[str, Callable[[str], bool]] = {
    "words": words,
    "length": length,
    "alnum": alnum,
    "special": special,
    "character_repetition": character_repetition,
    "word_repetition": word_repetition,
}
"""In the order in which a chain runs them."""
