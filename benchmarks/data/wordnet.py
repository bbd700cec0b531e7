"""The two word lists of `stages/signals/wordnet.py`, made from WordNet 3.0 and from timm's list of ImageNet-21k.

python -m benchmarks.data.wordnet --root DIR   # writes the same bytes into DIR/data/wordnet, to compare
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.data.packages import Package, fetch

WORDNET: Final = Package("deb", "wordnet-base")
TIMM: Final = Package("pypi", "timm", "1.0.31")
IDS_SHA256: Final = "66362bdedf36d933382edca5493fc562dcc17128ce36403c9e730a75f48cb2f2"
"""Of the list that DataComp pins for `imagenet21k_wordnet_ids`."""
PARTS: Final = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}


def first_synsets(folder: Path, part: str) -> dict[str, int]:
    """Lemma -> offset of its first, most frequent synset, from index.noun and its like (wndb(5WN))."""
    found = {}
    for line in _lines(folder / f"index.{PARTS[part]}"):
        if not line.startswith("  "):  # the licence, at the head of the file
            words = line.split()
            found[words[0]] = int(words[-int(words[2])])
    return found


def irregular(folder: Path, part: str, first: dict[str, int]) -> dict[str, int]:
    """Inflected form -> offset by noun.exc and its like; 0 where no base form is a lemma. Lemmas themselves are left out."""
    found = {}
    for line in _lines(folder / f"{PARTS[part]}.exc"):
        form, *bases = line.split()
        if form not in first:
            found[form] = next((first[base] for base in bases if base in first), 0)
    return found


def lexicon(folder: Path) -> Iterator[str]:
    """Lines `n02084071 dog domestic_dog | dogs`: a synset, lemmas of which it is the first, and their irregular forms."""
    for part in PARTS:
        first = first_synsets(folder, part)
        lemmas, forms = defaultdict(list), defaultdict(list)
        for lemma, offset in first.items():
            lemmas[offset].append(lemma)
        for form, offset in irregular(folder, part, first).items():
            forms[offset].append(form)
        for offset in sorted({*lemmas, *forms}):
            tail = ["|", *sorted(forms[offset])] if offset in forms else []
            yield " ".join([f"{part}{offset:08d}", *sorted(lemmas[offset]), *tail])


def build(cache: Path, folder: Path) -> list[Path]:
    """Write lexicon.txt.xz and imagenet21k.txt.xz. Raises PackageError, ValueError where timm's list has changed."""
    words = fetch(WORDNET, cache) / "usr" / "share" / "wordnet"
    ids = fetch(TIMM, cache) / "timm" / "data" / "_info" / "imagenet21k_goog_synsets.txt"
    if hashlib.sha256(ids.read_bytes()).hexdigest() != IDS_SHA256:
        raise ValueError(f"{ids} is not the list that DataComp pins")
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"lexicon.txt.xz": "\n".join(lexicon(words)) + "\n", "imagenet21k.txt.xz": ids.read_text(encoding="ascii")}
    for name, text in texts.items():
        (folder / name).write_bytes(lzma.compress(text.encode("ascii"), preset=9 | lzma.PRESET_EXTREME))
    return [folder / name for name in texts]


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="ascii") as file:
        yield from file


def main() -> None:
    """Build both files."""
    parser = argparse.ArgumentParser("python -m benchmarks.data.wordnet", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("CURATE_ROOT", "workspace")))
    data = parser.parse_args().root / "data"
    for path in build(data / "packages", data / "wordnet"):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
