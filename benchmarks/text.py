"""Captions per second of each caption signal and rule, beside a plain loop over the same libraries, in one run.

    python -m benchmarks text

Captions are made from a fixed vocabulary in five scripts with the faults that the web brings; batches hold 256, as a
chunk of a run does. One core. Outputs are compared before anything is timed.
"""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from curate.contracts import Batch, Columns
from filters.text import CaptionLength, CleanText, Language
from stages.signals import text as signals
from stages.signals.faults import faults

CAPTIONS, BATCH = 20_000, 256
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


def batched(work: Callable[[Batch], Any], texts: Sequence[str]) -> Callable[[], list[Any]]:
    """`work` over the captions in batches."""
    parts = [np.array(texts[i : i + BATCH], object) for i in range(0, len(texts), BATCH)]
    return lambda: [work(Batch({"text": part})) for part in parts]


def rate(work: Callable[[], object]) -> float:
    """Captions per second, the best of three."""
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return CAPTIONS / best


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
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "CaptionStats": (batched(signals.CaptionStats().compute, texts), lambda: plain_stats(texts)),
        "Language": (batched(signals.Language().compute, texts), lambda: plain_language(texts)),
        "three rules": (chosen, lambda: plain_rules(facts)),
    }
    rows: list[dict[str, float | str]] = []
    for name, (ours, plain) in pairs.items():
        rows.append({"step": name, "ours": rate(ours), "plain": rate(plain)})
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
