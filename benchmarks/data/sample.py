"""The embedded sample: about a thousand real pairs with labelled trouble, in four webdataset tars.

Built from packages only; equal packages and an equal Pillow give equal bytes. Every choice is a hash of a row's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from benchmarks.data import emoji, openclipart, photos
from benchmarks.data.openclipart import Drawing
from benchmarks.data.placing import deal, split_of, with_meta, without_lookalikes
from benchmarks.data.planted import COPIES, IMAGE_FAULTS
from benchmarks.data.planted_text import CAPTION_FAULTS, DUPLICATE_UIDS, MISMATCHED, NON_ENGLISH, mismatched
from benchmarks.data.row import Row, draw
from benchmarks.data.sample_card import write_card, write_truth
from benchmarks.data.shards import Pair, write_tar
from benchmarks.data.stock import (
    MIN_SIDE,
    Stock,
    dirty,
    dirty_row,
    drawing_row,
    emoji_row,
    english,
    has_stable_hash,
    is_clean,
    is_english,
    large_row,
    photo_row,
    phrase,
    titled,
    workable,
)

DRAWINGS, EMOJI = 520, 220  # clean rows before faults are planted into some of them
LARGE, LONGEST = 5, 2000  # rows that keep up to 2000 px on the longer side
REAL = {"repeated_title": 40, "short_title": 40, "unknown_words": 20}
SMALL, FOREIGN_WORDS = 16, 5


def build_sample(cache: Path, folder: Path) -> int:
    """Write tars, truth, licences and README into `folder`; returns the number of rows."""
    shards = deal(compose(cache))
    keyed = [[(f"{shard:05d}{row:04d}", one) for row, one in enumerate(rows)] for shard, rows in enumerate(shards)]
    folder.mkdir(parents=True, exist_ok=True)
    for shard, rows in enumerate(keyed):
        pairs = ((key, Pair(one.image, one.extension, one.caption, one.meta)) for key, one in rows)
        write_tar(pairs, folder / f"{shard:05d}.tar")
    write_truth(keyed, folder / "truth.parquet")
    write_card(keyed, cache, folder)
    return sum(map(len, shards))


def compose(cache: Path) -> list[Row]:
    """All rows, faulty ones included, with their metadata; no two look alike except planted copies."""
    dictionary, stock = english(cache), Stock()
    everything = list(openclipart.drawings(cache))
    own = [(one, phrase(one, dictionary)) for one in titled(everything, dictionary)]
    usable = [(one, caption) for one, caption in own if workable(one)]
    largest = sorted(usable, key=lambda pair: -min(pair[0].size))
    named = sorted(emoji.emoji(cache), key=lambda one: draw(one.character))
    ground = _first(map(photo_row, photos.photos(cache)), 100, stock, dictionary)
    ground += _first((large_row(*pair, LONGEST) for pair in largest), LARGE, stock, dictionary)
    donors = _first((drawing_row(*pair) for pair in usable), DRAWINGS, stock, dictionary)
    donors += _first(map(emoji_row, named), EMOJI, stock, dictionary)
    donors.sort(key=lambda row: draw(row.name, "role"))
    rows = [*ground, *plant(donors), *_foreign(named, stock, dictionary), *_dirty(everything, stock, dictionary)]
    rows += _small(own, stock)
    clock, text = map(photo_row, photos.flawed(cache))
    rows += [clock.spoiled("real:blurred", "motion blur"), text.spoiled("real:text_only", "hand-written formulas")]
    return with_meta(without_lookalikes(rows))


def plant(donors: list[Row]) -> Iterator[Row]:
    """Each donor once, clean or with one fault; then copies of clean ones."""
    rest = iter(donors)
    for count, spoil in (*IMAGE_FAULTS.values(), *CAPTION_FAULTS.values()):
        for _ in range(count):
            yield spoil(next(rest))
    second_of_uid = [next(rest) for _ in range(DUPLICATE_UIDS)]
    clean = list(rest)
    for first, second in _opposites(clean, MISMATCHED // 2):
        clean.remove(first)
        clean.remove(second)
        yield from mismatched(first, second)
    yield from clean
    originals = iter(clean)
    for row in second_of_uid:
        yield row.spoiled("duplicate_uid", "uid of its mate", mate=next(originals).name)
    for count, copy in COPIES.values():
        yield from map(copy, islice(originals, count))


def _first(rows: Iterable[Row], count: int, stock: Stock, dictionary: frozenset[str]) -> list[Row]:
    """The first `count` rows that are clean and look like no other."""
    found: list[Row] = []
    for row in rows:
        if len(found) == count:
            break
        if is_clean(row, dictionary) and has_stable_hash(row) and stock.accept(row):
            found.append(row)
    return found


def _opposites(rows: list[Row], count: int) -> list[tuple[Row, Row]]:
    """`count` disjoint pairs of one split each and of different sources or folders, so that a swap is a mismatch."""
    left = list(rows)
    found: list[tuple[Row, Row]] = []
    while len(found) < count:
        first = left.pop(0)
        partner = next(row for row in left if split_of(row) == split_of(first) and _subject(row) != _subject(first))
        left.remove(partner)
        found.append((first, partner))
    return found


def _subject(row: Row) -> str:
    return f"{row.source}/{row.path.split('/')[0]}"


def _foreign(named: list[emoji.Emoji], stock: Stock, dictionary: frozenset[str]) -> Iterator[Row]:
    """Emoji that no clean row shows, captioned in the other languages by turns, long enough to tell the language."""
    done = 0
    for one in named:
        lang = emoji.LANGUAGES[done % len(emoji.LANGUAGES)]
        if done == NON_ENGLISH or lang not in one.names:
            continue
        row = emoji_row(one, lang)
        long_enough = len(row.caption.split()) >= FOREIGN_WORDS
        if long_enough and not is_english(row.caption, dictionary, least=0.4) and stock.accept(row):
            done += 1
            yield row.spoiled("non_english", lang)


def _dirty(everything: list[Drawing], stock: Stock, dictionary: frozenset[str]) -> Iterator[Row]:
    left = dict(REAL)
    for fault, drawing in dirty(everything, dictionary):
        if not left[fault]:
            continue
        row = dirty_row(drawing, fault)
        if stock.accept(row, new_caption=False):
            left[fault] -= 1
            yield row


def _small(own: list[tuple[Drawing, str]], stock: Stock) -> Iterator[Row]:
    little = ((one, caption) for one, caption in own if 40 <= min(one.size) < MIN_SIDE)
    rows = (drawing_row(one, caption, original=True) for one, caption in little)
    for row in islice(filter(stock.accept, rows), SMALL):
        side = min(row.look.width, row.look.height) if row.look else 0
        yield row.spoiled("real:small_image", f"{side} px on the shorter side")
