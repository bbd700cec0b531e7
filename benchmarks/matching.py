"""Captions per second against 500,000 entries, beside the plain loop over all of them, in one run.

    python -m benchmarks matching

Entries are the embedded WordNet list and pairs and triples of its words; captions are made of the same words and those
that captions share. The loop is MetaCLIP's rule as published, `f" {entry} " in text` for every entry, over a few captions;
every mode's output is compared with its own loop before anything is timed. Memory is what the process grew by, each
mode in a process of its own. One core.
"""

from __future__ import annotations

import json as jsonlib
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import psutil

from stages.signals.matching import Mode, matcher, spaced, words
from stages.signals.metadata import entry_names

ENTRIES, CAPTIONS, LOOPED = 500_000, 20_000, 40
MODES: tuple[Mode, ...] = ("v1", "v2", "unicode")
COMMON = "a photo of the red Dog in an old house with blue sky and white snow, vintage poster (2019) New York U.S."


def entries() -> list[str]:
    """The same 500,000 distinct entries every time."""
    draw, names = random.Random(0), entry_names()
    found = dict.fromkeys(names)
    while len(found) < ENTRIES:
        found[" ".join(draw.choices(names, k=draw.choice((2, 2, 3))))] = None
    return list(found)


def captions() -> list[str]:
    """The same 20,000 captions every time, 3 to 18 words; half of them end in a full stop."""
    draw, names, common = random.Random(1), entry_names(), COMMON.split()
    made = []
    for number in range(CAPTIONS):
        chosen = [draw.choice(common if draw.random() < 0.6 else names) for _ in range(draw.randint(3, 18))]
        made.append(" ".join(chosen) + ("." if number % 2 else ""))
    return made


def plain_loop(mode: Mode, listed: Sequence[str]) -> Callable[[str], list[int]]:
    """Every entry is looked for in every caption; what is done to the entries is done before."""
    if mode == "unicode":
        keys = [f" {' '.join(words(entry))} " for entry in listed]
        return lambda text: _inside(keys, f" {' '.join(words(text))} ")
    if mode == "v1":
        keys = [f" {entry} " for entry in listed]
    else:
        keys = [f"{_side(entry[0])}{entry}{_side(entry[-1])}" for entry in listed]
    return lambda text: _inside(keys, spaced(text))


def _inside(keys: Sequence[str], text: str) -> list[int]:
    return [number for number, key in enumerate(keys) if key in text]


def _side(end: str) -> str:
    return " " if end.isalnum() else ""  # of these entries no end is in a script without spaces


def one_mode(mode: Mode) -> dict[str, float | str]:
    """Build time, memory and rate of ours, and the loop's rate."""
    listed, texts = entries(), captions()
    before, begin = psutil.Process().memory_info().rss, time.perf_counter()
    ours = matcher(listed, mode)
    build = time.perf_counter() - begin
    grown = psutil.Process().memory_info().rss - before
    rates = []
    for _ in range(3):
        begin = time.perf_counter()
        found = [ours.match(text) for text in texts]
        rates.append(CAPTIONS / (time.perf_counter() - begin))
    loop = plain_loop(mode, listed)
    begin = time.perf_counter()
    looped = [loop(text) for text in texts[:LOOPED]]
    rate = LOOPED / (time.perf_counter() - begin)
    alike = {key: number for number, key in reversed(list(enumerate(map(_read, listed))))} if mode == "unicode" else {}
    for mine, plain in zip(found, looped, strict=False):  # of entries that read alike ours gives the first
        assert mine == sorted({alike.get(_read(listed[number]), number) for number in plain})
    return {"mode": mode, "ours": max(rates), "loop": rate, "build s": build, "MB": grown / 1e6}


def _read(entry: str) -> str:
    return " ".join(words(entry))


def measure() -> list[dict[str, float | str]]:
    """One row per mode."""
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        return list(pool.map(one_mode, MODES))


def main(json: bool = False) -> None:
    """Print captions/s, how many times the plain loop that is, build time and memory."""
    rows = measure()
    if json:
        print(jsonlib.dumps({"benchmark": "matching", "unit": "captions/s", "rows": rows}))
        return
    print(
        f"captions/s on one core, {ENTRIES:,} entries\n{'':10}{'ours':>12}{'loop':>10}{'ratio':>9}{'build s':>9}{'MB':>7}"
    )
    for row in rows:
        ratio = float(row["ours"]) / float(row["loop"])
        print(
            f"{row['mode']:10}{row['ours']:12,.0f}{row['loop']:10,.1f}{ratio:8,.0f}x{row['build s']:9.1f}{row['MB']:7,.0f}"
        )
