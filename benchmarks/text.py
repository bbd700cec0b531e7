"""Captions per second of each caption signal and rule, beside a plain loop over the same libraries, in one run.

    python -m benchmarks text

Captions are made from a fixed vocabulary in five scripts with the faults that the web brings; batches hold 256, as a
chunk of a run does. One core. Outputs are compared before anything is timed.
"""

from __future__ import annotations

import json as jsonlib
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from curate.contracts import Batch, Columns, Signal
from curate.models.language import language_model
from curate.scan import MemoryScan
from filters.text import CaptionLength, CleanText, Language
from stages.select.frequency import CaptionFrequency, normal, template
from stages.signals import complexity, hygiene, pii, profanity, repetition
from stages.signals import text as signals
from stages.signals.faults import faults
from stages.signals.perplexity import Perplexity

CAPTIONS, BATCH = 20_000, 256
PARSED = 1_000
"""Captions for the parser, of which the plain loop manages a few hundred per second."""
VOCABULARY = (
    "a the of in on with red blue old small dog cat house street beach mountain photo portrait vintage poster market "
    "Hund Straße Schnee plage montagne fenêtre playa ventana собака улица снег 犬 雪 海岸 一只狗 कुत्ता समुद्र 😀 2019"
)
FAULTS = ("IMG_0042.jpg", "http://shop1.example.com/p?id=7", "<b>sale</b>", "\x07", "12345")


def captions(n: int = CAPTIONS) -> list[str]:
    """The same n captions every time, 1 to 20 words, one in twelve with a fault."""
    words = VOCABULARY.split()
    draw = np.random.default_rng(7)
    lengths, faulty = draw.integers(1, 21, n), draw.random(n) < 1 / 12
    picked = draw.integers(0, len(words), int(lengths.sum()))
    ends = np.cumsum(lengths)
    made = [" ".join(words[i] for i in picked[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
    return [
        f"{FAULTS[i % len(FAULTS)]} {text}" if bad else text
        for i, (text, bad) in enumerate(zip(made, faulty, strict=True))
    ]


def plain_stats(texts: Sequence[str]) -> list[tuple[int, int, float, str]]:
    """Words, characters, share of letters and faults, caption by caption."""
    found = []
    for text in texts:
        solid = sum(not character.isspace() for character in text)
        letters = sum(map(str.isalpha, text)) / max(1, solid)
        found.append((len(text.split()), len(text), letters, ",".join(faults(text))))
    return found


def plain_language(texts: Sequence[str]) -> list[str]:
    """One call of the binding per caption (the class's own `predict` breaks with numpy 2)."""
    model = signals._fasttext(signals.language_model())
    return [model.predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")[0][1] for text in texts]


def plain_rules(columns: Columns) -> list[bool]:
    """Length, language and faults, caption by caption."""
    names = ("caption_words", "caption_chars", "lang", "lang_score", "caption_faults")
    return [
        bool(words >= 3 and 6 <= chars <= 200 and lang == "en" and score >= 0.3 and not faulty)
        for words, chars, lang, score, faulty in zip(*(columns[name] for name in names), strict=True)
    ]


def plain_repetition(texts: Sequence[str]) -> list[float]:
    """Every n-gram of every caption counted."""
    return [repetition.character_repetition(text) + _word_repetition(text) for text in texts]


def _word_repetition(text: str) -> float:
    words = repetition.split_words(text)
    counts = Counter(zip(*(words[i:] for i in range(5)), strict=False)).values()
    return sum(count for count in counts if count > 1) / max(1, sum(counts))


def plain_hygiene(texts: Sequence[str]) -> list[bool]:
    """Every pattern on every caption."""
    patterns = (hygiene._MOJIBAKE, hygiene._MIXED, hygiene._STYLED, hygiene._INVISIBLE, hygiene._OVERRIDE)
    found = [[bool(pattern.search(text)) for pattern in patterns] for text in texts]
    normals = [unicodedata.normalize("NFC", text) != text for text in texts]
    bidi = [bool(hygiene._EMBEDDING.search(t)) and not hygiene._RIGHT_TO_LEFT.search(t) for t in texts]
    return [
        any(row) or "\ufffd" in text or odd or turned
        for row, text, odd, turned in zip(found, texts, normals, bidi, strict=True)
    ]


def plain_pii(texts: Sequence[str]) -> list[bool]:
    """Every pattern on every caption."""
    checks: list[tuple[re.Pattern[str], Callable[[str], object]]] = [
        (pii._EMAIL, len),
        (pii._URL, len),
        (pii._IPV4, len),
        (pii._IPV6, pii._is_ipv6),
        (pii._IBAN, pii._is_iban),
        (pii._CARD, pii._is_card),
        (pii._PHONE, len),
    ]
    return [any([any(valid(m[0]) for m in pattern.finditer(text)) for pattern, valid in checks]) for text in texts]


def plain_profanity(texts: Sequence[str]) -> list[bool]:
    """One alternation of the English list; all lists as one pattern would be ten times slower still."""
    words = sorted(jsonlib.loads(profanity.LISTS.read_text(encoding="utf-8"))["en"], key=len, reverse=True)
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
    return [pattern.search(text) is not None for text in texts]


def plain_complexity(texts: Sequence[str]) -> list[int]:
    """spaCy, caption by caption."""
    nlp = complexity._parser()
    return [complexity.scene_graph(nlp(text)).complexity if re.search("[a-zA-Z]{2}", text) else 0 for text in texts]


def plain_frequency(texts: Sequence[str]) -> tuple[list[int], list[int]]:
    """Two counters over all captions in memory."""
    same, like = Counter(map(normal, texts)), Counter(map(template, texts))
    return [same[normal(text)] for text in texts], [like[template(text)] for text in texts]


def frequency(texts: Sequence[str]) -> tuple[list[int], list[int]]:
    """The same by the step that runs out of core."""
    scan, step = MemoryScan({"text": np.array(texts, object)}), CaptionFrequency()
    found = step.compute(scan.columns, scan.fit(step))
    return list(found["caption_count"]), list(found["template_count"])


def batched(work: Callable[[Batch], Any], texts: Sequence[str]) -> Callable[[], list[Any]]:
    """`work` over the captions in batches."""
    parts = [np.array(texts[i : i + BATCH], object) for i in range(0, len(texts), BATCH)]
    return lambda: [work(Batch({"text": part})) for part in parts]


def joined(step: Signal, column: str, texts: Sequence[str]) -> list[Any]:
    """One column of a signal over all captions."""
    return [value for part in batched(step.compute, texts)() for value in part[column]]


def rate(work: Callable[[], object], count: int = CAPTIONS) -> float:
    """Captions per second, the best of three."""
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return count / best


def check(texts: Sequence[str]) -> None:
    """Ours and the plain loops give the same."""
    counted = [sum(pair) for pair in zip(*(joined(repetition.Repetition(), c, texts) for c in REPETITION), strict=True)]
    assert np.allclose(counted, plain_repetition(texts))
    assert [bool(found) for found in joined(hygiene.Hygiene(), "caption_hygiene", texts)] == plain_hygiene(texts)
    assert [bool(found) for found in joined(pii.PersonalData(), "caption_pii", texts)] == plain_pii(texts)
    assert ["en:" in found for found in joined(profanity.Profanity(), "profanity", texts)] == plain_profanity(texts)
    assert joined(complexity.Complexity(), "caption_complexity", texts[:PARSED]) == plain_complexity(texts[:PARSED])
    assert frequency(texts) == plain_frequency(texts)


REPETITION = ("char_repetition", "word_repetition")


def measure() -> list[dict[str, float | str]]:
    """Per step, captions/s of ours and of the plain loop."""
    texts = captions()
    whole = Batch({"text": np.array(texts, object)})
    stats, language = signals.CaptionStats().compute(whole), signals.Language().compute(whole)
    assert [row[0] for row in plain_stats(texts)] == list(stats["caption_words"])
    assert [label.removeprefix("__label__") for label in plain_language(texts)] == list(language["lang"])
    facts: Columns = {name: np.asarray(values) for name, values in {**whole.columns, **stats, **language}.items()}
    rules = (CaptionLength(min_words=3, min_chars=6, max_chars=200), Language(keep="en", min_score=0.3), CleanText())

    def chosen() -> np.ndarray:
        return np.logical_and.reduce([rule(facts) for rule in rules])

    assert chosen().tolist() == plain_rules(facts)
    check(texts)
    model, few = language_model(), texts[:PARSED]
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "CaptionStats": (batched(signals.CaptionStats().compute, texts), lambda: plain_stats(texts)),
        "Language": (batched(signals.Language().compute, texts), lambda: plain_language(texts)),
        "Repetition": (batched(repetition.Repetition().compute, texts), lambda: plain_repetition(texts)),
        "Hygiene": (batched(hygiene.Hygiene().compute, texts), lambda: plain_hygiene(texts)),
        "PersonalData": (batched(pii.PersonalData().compute, texts), lambda: plain_pii(texts)),
        "Profanity": (batched(profanity.Profanity().compute, texts), lambda: plain_profanity(texts)),
        "Perplexity": (batched(Perplexity().compute, texts), lambda: [model.score([text]) for text in texts]),
        "CaptionFrequency": (lambda: frequency(texts), lambda: plain_frequency(texts)),
        "three rules": (chosen, lambda: plain_rules(facts)),
        "Complexity": (batched(complexity.Complexity().compute, few), lambda: plain_complexity(few)),
    }
    rows: list[dict[str, float | str]] = []
    for name, (ours, plain) in pairs.items():
        count = PARSED if name == "Complexity" else CAPTIONS
        rows.append({"step": name, "ours": rate(ours, count), "plain": rate(plain, count)})
    return rows


def main(json: bool = False) -> None:
    """Print captions/s per core, and how many times the plain loop that is."""
    rows = measure()
    if json:
        print(jsonlib.dumps({"benchmark": "text", "unit": "captions/s", "rows": rows}))
        return
    print(f"captions/s on one core\n{'':28}{'ours':>12}{'plain':>12}{'ratio':>8}")
    for row in rows:
        ratio = float(row["ours"]) / float(row["plain"])
        print(f"{row['step']:28}{row['ours']:12,.0f}{row['plain']:12,.0f}{ratio:7.1f}x")
