"""How often a pool speaks of a concept, shows it, and does both at once (Udandarao et al. 2024, arXiv:2404.04125).

    report = concept_frequency(curate.open_run("workspace/runs/concepts"), ["dog", "hot dog"], min_similarity=0.4)
    report.table                            # one row per concept
    Path("concepts.svg").write_text(report.chart())

Reads columns that the run has: `lemmas` (stages.signals.lemmas.Lemmas) and `image_embedding` (ClipScore).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from curate.columns import to_numpy
from curate.contracts import Signal
from curate.errors import RunError
from curate.schema import KEPT
from stages.signals.lemmas import is_stop_word, lemma

if TYPE_CHECKING:
    from curate.inspect import Run

PROMPT: Final = "a photo of a {}"
"""How a concept is put to the encoder (Radford et al. 2021, section 3.1.4)."""

WIDTH, LEFT, BASE = 420, 44, 200
"""Of the chart, in pixels: its width, where its curves begin, and their height."""
COLOURS: Final = ("#1f6feb", "#d9822b", "#2f8f5b")

Unknown = Literal["drop", "none"]
"""What becomes of a concept's words that no caption has: left out of the search, as published, or nothing is found."""


class Misalignment(NamedTuple):
    """Samples whose caption and image show concepts, but none in common; and how many the larger side shows any in."""

    misaligned: int
    extracted: int

    def degree(self, size: int | None = None) -> float:
        """Share of misaligned samples among `size`, by default among those that were extracted; 0 of none."""
        return self.misaligned / (self.extracted if size is None else size) if self.misaligned else 0.0


@dataclass(frozen=True)
class ConceptReport:
    """`table`: per concept how many samples mention it (`texts`), show it (`images`) and do both (`both`), and of those that
    the run kept the same (`texts_kept`, ...), int64, most frequent texts first."""

    table: pa.Table
    misalignment: Misalignment
    misalignment_kept: Misalignment

    def chart(self) -> str:
        """Counts against rank, both axes logarithmic, as an SVG document."""
        names = {"texts": "captions", "images": "images", "both": "both"}
        return rank_chart({label: self.table[name].to_numpy() for name, label in names.items()})


def rank_chart(series: Mapping[str, np.ndarray]) -> str:
    """An SVG document of counts (k,) against their rank, each series sorted by itself, both axes logarithmic."""
    ordered = {label: np.sort(counts[counts > 0])[::-1] for label, counts in series.items()}
    ranks = max((len(counts) for counts in ordered.values()), default=0)
    top = max((int(counts[0]) for counts in ordered.values() if len(counts)), default=1)
    decades = np.log10(max(ranks, 2)), np.log10(max(top, 2))
    parts = []
    for place, (label, counts) in enumerate(ordered.items()):
        x = LEFT + (WIDTH - LEFT) * np.log10(np.arange(1, len(counts) + 1)) / decades[0]
        y = BASE * (1 - np.log10(np.maximum(counts, 1)) / decades[1])
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x + 4, y + 14, strict=True))
        parts.append(f'<polyline fill="none" stroke="{COLOURS[place]}" stroke-width="2" points="{points}"/>')
        parts.append(
            f'<text x="{WIDTH - 4}" y="{24 + 15 * place}" text-anchor="end" fill="{COLOURS[place]}">{label}</text>'
        )
    for power in range(int(decades[0]) + 1):
        at = LEFT + 4 + (WIDTH - LEFT) * power / decades[0]
        parts.append(f'<text x="{at:.1f}" y="{BASE + 32}" text-anchor="middle">{10**power:,}</text>')
    for power in range(int(decades[1]) + 1):
        parts.append(
            f'<text x="{LEFT}" y="{18 + BASE * (1 - power / decades[1]):.1f}" text-anchor="end">{10**power:,}</text>'
        )
    box = f'viewBox="0 0 {WIDTH + 24} {BASE + 40}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="11">{"".join(parts)}</svg>'
    )


def terms(concept: str) -> list[str]:
    """The words of a concept's name in lower case: what stands between white space and underscores."""
    return [word for word in re.split(r"[_\s]+", concept.lower()) if word]


def search(index: Mapping[str, Iterable[int]], wanted: Sequence[str], unknown: Unknown = "none") -> list[int]:
    """Documents, sorted, that have all wanted terms. `index`: term -> documents, repeated ones counting once."""
    known = [set(index[term]) for term in wanted if term in index]
    if not known or (unknown == "none" and len(known) < len(wanted)):
        return []
    return sorted(set.intersection(*known))


def misalignment(images: Mapping[int, Iterable[int]], texts: Mapping[int, Iterable[int]]) -> Misalignment:
    """From the concepts that each sample's image and caption show; samples without any are in neither mapping."""
    both = images.keys() & texts.keys()
    apart = sum(set(images[sample]).isdisjoint(texts[sample]) for sample in both)
    return Misalignment(apart, max(len(images), len(texts)))


def concept_frequency(
    run: Run, concepts: Sequence[str], *, min_similarity: float, unknown: Unknown = "none"
) -> ConceptReport:
    """Count concepts over a finished run, shard by shard.

    A caption mentions a concept if it has the lemmas of all the concept's words (but 'of' and the like; as published with
    `unknown="drop"`: of all that any caption has). An image shows it if the cosine of its embedding and that of 'a photo of a
    CONCEPT' is at least `min_similarity`, by the encoder that the run used (0.4 is about right for the default one).
    Raises RunError if the run has no column `lemmas`, or none `image_embedding`.
    """
    wanted = [_lemmas(concept, unknown) for concept in concepts]
    prompts = _prompts(run, concepts)
    known = _known(run, {term for words in wanted for term in words})
    counts = np.zeros((6, len(concepts)), np.int64)
    apart = np.zeros((2, 3), np.int64)  # entered and kept: misaligned, with text concepts, with image concepts
    for found, vectors, kept in _shards(run):
        texts = _mentioned(found, wanted, known, unknown)
        images = _shown(vectors, prompts, min_similarity)
        sides = (texts, images, texts & images)
        counts += np.array([side.sum(axis=0) for side in (*sides, *(side[kept] for side in sides))])
        for place, rows in enumerate((np.ones(len(kept), bool), kept)):
            in_text, in_image = texts[rows].any(axis=1), images[rows].any(axis=1)
            together = in_text & in_image & ~sides[2][rows].any(axis=1)
            apart[place] += together.sum(), in_text.sum(), in_image.sum()
    names = ("texts", "images", "both", "texts_kept", "images_kept", "both_kept")
    table = pa.table({"concept": list(concepts), **dict(zip(names, counts, strict=True))})
    entered, kept_ones = (Misalignment(int(row[0]), int(row[1:].max())) for row in apart)
    return ConceptReport(table.sort_by([("texts", "descending"), ("concept", "ascending")]), entered, kept_ones)


def _lemmas(concept: str, unknown: Unknown) -> list[str]:
    words = terms(concept)
    telling = words if unknown == "drop" else [word for word in words if not is_stop_word(word)]
    return [lemma(word) for word in telling or words]


def _known(run: Run, wanted: Container[str]) -> set[str]:
    """Which of these lemmas any caption of the run has."""
    decider = run.decider(run.plan)
    known: set[str] = set()
    for shard in run.shards:
        for found in decider.column(shard, "lemmas")[0].to_pylist():
            known.update(term for term in found or () if term in wanted)
    return known


def _shards(run: Run) -> Iterator[tuple[Sequence[Sequence[str] | None], np.ndarray, np.ndarray]]:
    """Per shard: lemmas of each row, embeddings (n, d) with NaN where there is none, and which rows were kept."""
    decider = run.decider(run.plan)
    for shard in run.shards:
        fate = run.shard_ledger(shard)["fate"].to_pylist()
        vectors = to_numpy(decider.column(shard, "image_embedding")[0])
        yield decider.column(shard, "lemmas")[0].to_pylist(), vectors, np.array([one == KEPT for one in fate], bool)


def _prompts(run: Run, concepts: Sequence[str]) -> np.ndarray:
    """float32 (concepts, d) by the encoder that gave the run's image embeddings."""
    from curate.models import image_text_encoder

    for column, signal in (("lemmas", "stages.signals.lemmas.Lemmas"), ("image_embedding", "ClipScore")):
        if column not in run.plan.giver:
            raise RunError(f"run {run.name!r} has no column {column!r}: add the signal {signal} to its recipe")
    giver = run.plan.giver["image_embedding"].step
    if not isinstance(giver, Signal):
        raise RunError(f"run {run.name!r}: 'image_embedding' comes from no encoder that could embed concepts")
    return image_text_encoder(giver.models()[0]).texts([PROMPT.format(name.replace("_", " ")) for name in concepts])


def _mentioned(
    found: Sequence[Sequence[str] | None], wanted: Sequence[Sequence[str]], known: set[str], unknown: Unknown
) -> np.ndarray:
    """bool (n, concepts): rows that have all of a concept's lemmas. `known`: lemmas that the pool has anywhere."""
    index: dict[str, list[int]] = {term: [] for term in known}
    for row, lemmas in enumerate(found):
        for term in lemmas or ():
            if term in index:
                index[term].append(row)
    mentioned = np.zeros((len(found), len(wanted)), bool)
    for place, words in enumerate(wanted):
        mentioned[search(index, words, unknown), place] = True
    return mentioned


def _shown(vectors: np.ndarray, prompts: np.ndarray, least: float) -> np.ndarray:
    """bool (n, concepts): rows whose embedding is that near to the concept's."""
    if vectors.ndim != 2:  # no row of the shard has an embedding
        return np.zeros((len(vectors), len(prompts)), bool)
    return vectors.astype(np.float32) @ prompts.T >= least
