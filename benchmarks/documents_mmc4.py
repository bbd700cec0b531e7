"""Whether images find their sentences, and strangers none: MMC4's assignment beside one that may leave an image unmarried.

    python -m benchmarks.documents_mmc4 [--root DIR] [--image text_embedding] RUN

Reads the embeddings of a run of manifests/documents/mmc4.yaml. Each document's images are married to its sentences together
with as many strangers, images of the next documents that have any. A match is near if its sentence is one of the two
around the place where the image stood on the page, or at most two further; by chance that is the share of such sentences.

`--image text_embedding` lets alt texts stand for the images: what the assignment is worth with an encoder that sees more
than the embedded one.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from curate.columns import to_numpy
from curate.documents import spans
from curate.inspect import open_run
from curate.schema import IMAGE, TEXT
from stages.documents.mmc4 import NONE, assign

WITHIN = 2
LEVELS = (0.2, 0.25, 0.3, 0.35)


@dataclass(frozen=True)
class Document:
    """`images` (n, d) and `texts` (m, d), unit vectors; `places` (n,): how many texts stand before each image."""

    images: np.ndarray
    texts: np.ndarray
    places: np.ndarray

    def near(self) -> np.ndarray:
        """Boolean (n, m): whether a text stands near an image's place."""
        at = np.arange(len(self.texts))
        after = at - self.places[:, None]
        return (after >= -1 - WITHIN) & (after <= WITHIN)


def documents(run: str, root: str | None, image: str) -> Iterator[Document]:
    """Those that have an image and a text with an embedding; `image`: column of the images'."""
    names = ("kind", image, "passage_embedding")
    table = open_run(run, root).table(*names)
    columns = {name: to_numpy(table[name]) for name in names}
    has = {name: ~np.isnan(columns[name]).any(axis=1) for name in names[1:]}
    for _, nodes in spans(columns):
        kind = columns["kind"][nodes]
        images = np.flatnonzero((kind == IMAGE) & has[image][nodes])
        texts = np.flatnonzero((kind == TEXT) & has["passage_embedding"][nodes])
        if len(images) and len(texts):
            vectors = [columns[name][nodes].astype(np.float32) for name in names[1:]]
            yield Document(vectors[0][images], vectors[1][texts], np.searchsorted(texts, images))


def strangers(found: Sequence[Document], number: int) -> np.ndarray:
    """As many images of the documents behind this one as it has itself."""
    wanted = len(found[number].images)
    others = [found[(number + step) % len(found)].images for step in range(1, min(len(found), wanted + 1))]
    return np.concatenate(others)[:wanted]


def measure(found: Sequence[Document], no_match: float | None, floor: float) -> tuple[float, float, float]:
    """Shares: of own images that have a match, of strangers that have one, of own matches that are near."""
    own = foreign = near = images = 0
    for number, document in enumerate(found):
        everyone = np.concatenate([document.images, strangers(found, number)])
        similarity = np.einsum("nd,md->nm", everyone, document.texts)
        matched = assign(similarity, no_match)
        matched[similarity[np.arange(len(matched)), matched] < floor] = NONE
        ours = matched[: len(document.images)]
        wed = np.flatnonzero(ours != NONE)
        images += len(ours)
        own += len(wed)
        foreign += int((matched[len(ours) :] != NONE).sum())
        near += int(document.near()[wed, ours[wed]].sum())
    return own / images, foreign / images, near / max(1, own)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser("python -m benchmarks.documents_mmc4", description=__doc__)
    parser.add_argument("--root", default=os.environ.get("CURATE_ROOT"))
    parser.add_argument("--image", default="image_embedding", help="column of the images' embeddings")
    parser.add_argument("run")
    asked = parser.parse_args()
    found = list(documents(asked.run, asked.root, asked.image))
    images = sum(len(document.images) for document in found)
    chance = sum(document.near().mean(axis=1).sum() for document in found) / images
    print(f"{len(found):,} documents, {images:,} images, {sum(len(d.texts) for d in found):,} sentences")
    print(f"near by chance: {chance:.3f}\n\n| | own matched | strangers matched | near, of own |\n|---|---:|---:|---:|")
    rows = [("mmc4", None, -2.0), *((f"mmc4, floor {level}", None, level) for level in LEVELS)]
    for name, no_match, floor in [*rows, *((f"no match {level}", level, -2.0) for level in LEVELS)]:
        print(f"| {name} | " + " | ".join(f"{share:.3f}" for share in measure(found, no_match, floor)) + " |")


if __name__ == "__main__":
    main()
