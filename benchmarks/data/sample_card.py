"""Truth, notices and README beside the tars of the embedded sample."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import PIL
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data.packages import CLDR, OPENCLIPART_PNG, SKIMAGE, fetch
from benchmarks.data.row import CLEAN, Row

Keyed = list[list[tuple[str, Row]]]
TRUTH = pa.schema(
    [(name, pa.string()) for name in ("shard", "key", "fault", "fault_detail", "source", "licence", "mate")]
)


def write_truth(shards: Keyed, path: Path) -> None:
    """One row per key in shard order: its fault (`clean` when none), and the key of the row it copies or swaps with."""
    keys = {row.name: key for rows in shards for key, row in rows}
    truth = [
        (f"{shard:05d}.tar", key, row.fault, row.detail, row.source, row.licence, keys.get(row.mate))
        for shard, rows in enumerate(shards)
        for key, row in rows
    ]
    columns = [pa.array(column, pa.string()) for column in zip(*truth, strict=True)]
    pq.write_table(pa.Table.from_arrays(columns, schema=TRUTH), path, compression="zstd")


def write_card(shards: Keyed, cache: Path, folder: Path) -> None:
    """LICENSES/ with each source's notice, and README.md with the counts."""
    notices = folder / "LICENSES"
    notices.mkdir(exist_ok=True)
    openclipart = fetch(OPENCLIPART_PNG, cache) / "usr/share/doc/openclipart-png/copyright"
    (notices / "openclipart.txt").write_bytes(openclipart.read_bytes())
    (notices / "cldr-Unicode-3.0.txt").write_bytes((fetch(CLDR, cache) / "package/LICENSE").read_bytes())
    (notices / "fluent-emoji-MIT.txt").write_text(_MIT)
    (notices / "scikit-image.txt").write_text(_photo_notices(shards))
    rows = [row for shard in shards for _, row in shard]
    (folder / "README.md").write_text(_readme(rows, len(shards)), encoding="utf-8")


def _photo_notices(shards: Keyed) -> str:
    files = {
        (row.path.split("#")[0], row.licence) for rows in shards for _, row in rows if row.source == "scikit-image"
    }
    stated = "\n".join(f"{name}: {licence}. {_PHOTOS[name]}" for name, licence in sorted(files))
    return f"Files of scikit-image {SKIMAGE.version}, skimage/data/, and what skimage.data says of each:\n\n{stated}\n"


def _readme(rows: list[Row], shards: int) -> str:
    faults, sources = Counter(row.fault for row in rows), Counter((row.source, row.licence) for row in rows)
    order = sorted(faults, key=lambda name: (name != CLEAN, name.startswith("real:"), name))
    table = "\n".join(f"| `{name}` | {faults[name]} | {MEANING[name]} |" for name in order)
    origin = "\n".join(f"| {source} | {licence} | {count} |" for (source, licence), count in sorted(sources.items()))
    total = f"{len(rows):,}"
    return _README.format(total=total, shards=shards, table=table, origin=origin, pillow=PIL.__version__)


MEANING = {
    CLEAN: "at least 200 x 200 px, aspect at most 3, sharp, not uniform, 3 English words or more, like no other clean image",
    "corrupt": "bytes that are not an image",
    "truncated": "JPEG or PNG cut off after 40 to 70 % of its bytes",
    "zero_byte": "an empty image file",
    "bomb": "a few kilobytes that declare more than 200 Mpx",
    "tiny": "32 px or less",
    "extreme_aspect": "6 : 1 or more",
    "blurred": "strong Gaussian blur",
    "low_entropy": "a blank page with a few specks",
    "text_only": "rendered words, equal to the caption",
    "exact_duplicate": "same bytes as `mate`",
    "near_duplicate": "`mate`, resized or encoded again",
    "empty_caption": "nothing, or white space",
    "one_word_caption": "one word of the true caption",
    "non_english": "CLDR name and keywords in another language (`fault_detail`), five words or more",
    "spam_caption": "URL, file name or boilerplate",
    "markup_caption": "HTML around the true caption",
    "control_characters": "control or direction-changing characters in the true caption",
    "mismatched": "the caption of `mate`, which has this row's",
    "duplicate_uid": "the uid of `mate`; image and caption are its own and clean",
    "real:repeated_title": "ten drawings or more share the title",
    "real:short_title": "the drawing's own title has one or two words",
    "real:unknown_words": "fewer than half of the title's words are in an English word list",
    "real:small_image": "the drawing itself is 40 to 199 px on its shorter side",
    "real:blurred": "a photograph blurred by motion",
    "real:text_only": "a photograph of writing",
}

_PHOTOS = {
    "astronaut.png": "NASA Great Images; no known copyright restrictions, released into the public domain.",
    "brick.png": "CC0Textures, Bricks25; Creative Commons CC0.",
    "camera.png": "CC0 by the photographer, Lav Varshney.",
    "cell.png": "Paul Mueller et al.; CC0, dedicated to the public domain.",
    "chelsea.png": "CC0 by the photographer, Stefan van der Walt.",
    "clock_motion.png": "Released into the public domain by the photographer, Stefan van der Walt.",
    "coffee.png": "CC0 by the photographer, Rachel Michetti; courtesy of Pikolo Espresso Bar.",
    "grass.png": "DeviantArt, linolafett; Creative Commons CC0.",
    "gravel.png": "CC0Textures, Gravel04; Creative Commons CC0.",
    "horse.png": "openclipart 158377; CC0 given by the owner, Andreas Preuss (marauder).",
    "hubble_deep_field.jpg": "Captured by NASA, may be freely used in the public domain.",
    "retina.jpg": "Mikael Haggstrom, Wikimedia Commons; CC0 1.0 Universal Public Domain Dedication.",
    "rocket.jpg": "SpaceX Photos; released in the public domain.",
    "text.png": "Wikipedia, File:Corner.png; no known copyright restrictions, released into the public domain.",
}

_MIT = """Fluent emoji, npm package @lobehub/fluent-emoji-3d 1.1.0.
Artwork: Copyright (c) Microsoft Corporation. Package: Copyright (c) 2023 LobeHub.

MIT License

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

_README = """# Embedded sample

{total} image-text pairs in {shards} webdataset tars: real pairs with real dirt, and trouble planted on purpose. Each member
group is `key.jpg|png|webp`, `key.txt` (caption), `key.json` (source, path, licence, split, for some a title, `uid` or
`url`; urls point to the reserved domain example.org). `truth.parquet` names the fault of every key. It serves tests and
measurements only: no threshold was or may be tuned on it.

## Faults
| fault | rows | meaning |
|---|---|---|
{table}

One fault per row is meant; what follows from it (a tiny image is also of few pixels) is not listed again. `mate` is the
key of the original (copies, `duplicate_uid`) or of the partner (`mismatched`). An original is `clean`, lies before its
copies, and of a group of copies exactly one should survive. Of the rows labelled `real:`, those with a title
at fault may also be smaller than 200 px (`fault_detail` says so).

## Sources and licences
| source | licence | rows |
|---|---|---|
{origin}

Notices are in `LICENSES/`. OpenClipart 0.18 (Debian packages openclipart-png and -svg; drawings whose SVG states no
licence, or the GPL, are left out), Fluent emoji (npm @lobehub/fluent-emoji-3d 1.1.0) with names from CLDR
(cldr-annotations-full 48.2.0), and the photographs of scikit-image 0.26.0 that it declares public domain or CC0.

## How it was built
`python -m benchmarks.data sample --root DIR` downloads the packages and writes the same bytes into `DIR/data/sample`
(Pillow {pillow}; another version may encode pixels otherwise). Drawings are scaled down to 208 to 352 px on the longer
side (but not under 204 on the shorter), or kept byte for byte where small; five are JPEGs of up to 2000 px, emoji are
256 px. Captions of clean drawings are the source's title in a phrase, with its description or its keywords, such as "A
clip art picture of ..., tagged with ..."; those of clean emoji are name and keywords; those of photographs and of the
regions cut from them were written by hand. Whether a caption is English was judged by the Debian word list
`wamerican`, never by the language identifier under test; likeness by a perceptual hash (clean rows are more than 8 of
64 bits apart), both with transparency laid on white and with transparency ignored. Drawings whose hash changes by
more than 4 bits when they are enlarged and encoded again, plain stripes for instance, are in no clean row.

`split` holds out one group of look-alikes in five as `test`, by a hash of the perceptual hash: an original and its
copies, and both rows of a swapped pair, are always on the same side.

Documents with images are in `documents/`, which has a README of its own.
"""
