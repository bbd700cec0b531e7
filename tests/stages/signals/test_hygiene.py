"""Unicode hygiene: each fault is found, and what a script needs is none."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import Batch
from filters.text import CleanUnicode
from stages.signals.hygiene import FAULTS, Hygiene, hygiene


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("Caf\ufffd", ["replacement"]),
        ("CafÃ© in the old town", ["mojibake"]),
        ("donâ€™t panic", ["mojibake"]),
        ("ðŸ˜€ party", ["mojibake"]),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", ["mojibake"]),
        ("ã‚«ãƒ¡ãƒ©", ["mojibake"]),
        ("Cafe\u0301", ["not_nfc"]),
        ("p\u0430ypal login", ["mixed_script"]),
        ("ΑBC news", ["mixed_script"]),
        ("𝐁𝐔𝐘 now", ["styled"]),
        ("via\u200bgra", ["invisible"]),
        ("\ufeffhello", ["invisible"]),
        ("a cat\U000e0041\U000e0042", ["invisible"]),
        ("abc\u202edef", ["bidi"]),
        ("\u2067abc\u2069", ["bidi"]),
    ],
)
def test_faults(text: str, faults: list[str]) -> None:
    assert hygiene(text) == faults


@pytest.mark.parametrize(
    "text",
    [
        "a plain caption",
        "Café – “naïve” coöperation, 5 €",
        "Привет, мир",
        "5 kΩ, 3 μm, ΔT",
        "می\u200cخواهم",
        "क्\u200dष",
        "👩\u200d👩\u200d👧 ❤️\u200d🔥",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\u2067עברית\u2069 text",
        "ที่\u200bนี่",
        "\u200bបាល់\u200b\u200bក្រិក",
        "“MANHÔ",
        "déjà\u00a0»",
        "日本語のカメラ",
        "Москва USB-кабель",
    ],
)
def test_what_a_script_needs_is_no_fault(text: str) -> None:
    assert hygiene(text) == []


@given(st.text())
def test_faults_are_named_once_in_order(text: str) -> None:
    found = hygiene(text)
    assert found == [fault for fault in FAULTS if fault in found]
    assert ("not_nfc" in found) == (unicodedata.normalize("NFC", text) != text)


@given(st.text(st.characters(codec="latin-1", categories=("Ll", "Lu", "Zs")), min_size=1))
def test_utf8_read_as_windows_1252_is_seen(text: str) -> None:
    accented = f"é{text}"
    broken = accented.encode().decode("cp1252", "ignore")
    assert "mojibake" in hygiene(broken)


def test_signal_and_filter() -> None:
    texts = np.array(["a cat", "CafÃ©", "Cafe\u0301", None], object)
    facts = {"caption_hygiene": np.array(Hygiene().compute(Batch({"text": texts}))["caption_hygiene"], object)}
    assert facts["caption_hygiene"].tolist() == ["", "mojibake", "not_nfc", None]
    assert CleanUnicode()(facts).tolist() == [True, False, False, False]
    assert CleanUnicode(allow=("not_nfc",))(facts).tolist() == [True, False, True, False]
