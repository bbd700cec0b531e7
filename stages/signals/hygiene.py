"""What is wrong with a caption's characters, whatever they say: broken decoding, disguised words, hidden characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal, get_args

import numpy as np
import pyarrow as pa

from curate.contracts import Batch, Signal

Fault = Literal["replacement", "mojibake", "not_nfc", "mixed_script", "styled", "invisible", "bidi"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)

# UTF-8 that was read as Windows-1252: a lead byte's letter, then the characters that continuation bytes 80-BF became.
_TAIL = f"[\x80-\xbf{bytes(range(0x80, 0xA0)).decode('cp1252', 'ignore')}]"
_MOJIBAKE = re.compile(
    rf"[ÂÃ](?![”’»](?:\W|\Z)){_TAIL}"  # closing quotes after a capital are no continuation: “MANHÔ
    rf"|â[€‚ƒ„…†‡ˆ‰œž]{_TAIL}|ðŸ{_TAIL}{_TAIL}"  # typographic punctuation, emoji
    rf"|(?:[Ä-ß]{_TAIL}){{2}}|(?:[à-ï]{_TAIL}{_TAIL}){{2}}"  # Greek, Cyrillic and so on; Indic, Chinese and so on
)
# Words in which Latin letters stand next to letters of a script that has lookalikes of them (Unicode TS 39, section 5).
# Of the Greek only the lookalikes: `kΩ` and `μm` are units.
_LATIN = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
_ALIEN = "\u0400-\u052f\u0531-\u0587\u13a0-\u13f5ονρυικτχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"
_MIXED = re.compile(f"[{_LATIN}][{_ALIEN}]|[{_ALIEN}][{_LATIN}]")
_STYLED = re.compile("[\U0001d400-\U0001d7ff\U0001f110-\U0001f169\U0001f170-\U0001f189\u24b6-\u24e9]{2}")
# Joiners belong to Arabic, Indic scripts and emoji, zero-width spaces to scripts without spaces: after a Latin, Greek
# or Cyrillic letter, after punctuation, at the beginning, or twice they hide something.
_INVISIBLE = re.compile(
    "[\u2060-\u2064\ufeff\u180e\u3164\uffa0]|(?:\\A|(?<=[\x00-\u052f\u2000-\u206f]))[\u200b-\u200d]"
    "|[\u200b-\u200d]{2}|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]"
)
_SPACELESS = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]")
_OVERRIDE = re.compile("[\u202d\u202e]")
_EMBEDDING = re.compile("[\u202a-\u202c\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")


class Hygiene(Signal):
    """Faults of a caption's characters as `hygiene` finds them. No caption, no fact."""

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 0.001

    def gives(self) -> dict[str, pa.DataType]:
        """caption_hygiene: `mojibake,not_nfc`, in the order of `FAULTS`; empty for a clean one."""
        return {"caption_hygiene": pa.string()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Caption by caption; in ASCII nothing can be wrong."""
        texts: Sequence[str | None] = batch.columns["text"].tolist()
        return {"caption_hygiene": [None if text is None else ",".join(hygiene(text)) for text in texts]}


def hygiene(text: str) -> list[Fault]:
    """The faults of a caption, in the order of `FAULTS`.

    `replacement`: U+FFFD, a decoder gave up. `mojibake`: UTF-8 read as Windows-1252 (`CafÃ©`). `not_nfc`: not in the
    normal form that the web writes (NFC). `mixed_script`: a word of Latin and lookalike letters (`pаypal`). `styled`:
    mathematical or enclosed letters in place of letters. `invisible`: zero-width characters where no script needs them.
    `bidi`: overrides of direction, or embeddings in a text without right-to-left letters.
    """
    if text.isascii():
        return []
    found: list[Fault] = []
    if "\ufffd" in text:
        found.append("replacement")
    if _MOJIBAKE.search(text):
        found.append("mojibake")
    if not unicodedata.is_normalized("NFC", text):
        found.append("not_nfc")
    if _MIXED.search(text):
        found.append("mixed_script")
    if _STYLED.search(text):
        found.append("styled")
    if (not text.isprintable() or "\u3164" in text or "\uffa0" in text) and _hides(text):
        found.append("invisible")
    if _OVERRIDE.search(text) or (_EMBEDDING.search(text) and not _RIGHT_TO_LEFT.search(text)):
        found.append("bidi")
    return found


def _hides(text: str) -> bool:
    """In South East Asia a zero-width space, and now and then two, stands between words: there it hides nothing."""
    return _INVISIBLE.search(text.replace("\u200b", "") if _SPACELESS.search(text) else text) is not None
