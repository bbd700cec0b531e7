"""Which evaluation sets a sample is part of, told by a reference (see `stages.select.decontaminate`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.contracts import Batch, Columns, Lane, Signal
from stages.select import decontaminate
from stages.select.looks import HASHES

Means = Literal["bytes", "phash", "pdq", "embedding", "text"]
MATCHES: Final = pa.list_(
    pa.struct(
        [
            pa.field("benchmark", pa.string()),
            pa.field("key", pa.string()),  # of the nearest item in it
            pa.field("by", pa.string()),
            pa.field("value", pa.float32()),  # bits that differ (bytes: 0); cosine; share of the item's n-grams
        ]
    )
)


class Contamination(Signal):
    """Per evaluation set and means the nearest item that a sample matches.

    Images match by equal bytes, by a pHash at most `distance` or a PDQ hash at most `pdq_distance` bits apart, with mean
    colours at most `color` levels apart, or by a cosine above `cosine`. A caption matches an item's text (a caption, a
    question) of at least `words` words if it has the share `overlap` of its word n-grams or more: 70 % of the 8-grams
    (Chowdhery et al. 2022, "PaLM", section 8).
    """

    version: ClassVar[int] = 2
    lane: ClassVar[Lane] = "model"  # in long-lived workers, which keep the indexes; and after the images' hashes
    cost: ClassVar[float] = 1.0

    references: str = Field(description="a Parquet file, a folder of them, or a glob; an empty folder matches nothing")
    by: tuple[Means, ...] = Field(default=("bytes", "phash"), min_length=1)
    distance: int = Field(default=4, ge=0, le=16, description="of pHash's 64 bits")
    pdq_distance: int = Field(default=31, ge=0, le=31, description="of PDQ's 256 bits")
    color: int | None = Field(default=16, ge=0, le=255, description="levels of 256 that may differ; null: any colour")
    embedding: str = Field(default="image_embedding", description="column, here and in the reference")
    cosine: float = Field(default=0.95, ge=-1, le=1, description="every model has its own scale; SSCD's is 0.75")
    text: str = Field(default="text", description="column, here and in the reference")
    words: int = Field(default=8, ge=1, description="of an n-gram")
    overlap: float = Field(default=0.7, gt=0, le=1)

    def inputs(self) -> tuple[str, ...]:
        """The columns of the means."""
        columns = {"bytes": ("sha256",), "embedding": (self.embedding,), "text": (self.text,)}
        hashes = {name: kind.columns(self.color is not None) for name, kind in HASHES.items()}
        return tuple(dict.fromkeys(name for by in self.by for name in (columns | hashes)[by]))

    def gives(self) -> dict[str, pa.DataType]:
        """contamination: the matches; contaminated_by: `name by phash, …`. Null where there is none."""
        return {"contamination": MATCHES, "contaminated_by": pa.string()}

    def models(self) -> tuple[str, ...]:
        """The reference's files as specs."""
        return tuple(f"file:{path}" for path in decontaminate.reference_files(self.references))

    def note(self) -> str:
        """Says when there is nothing to compare with."""
        there = decontaminate.reference_files(self.references)
        return "" if there else f"no evaluation set is described in {self.references}, so nothing is found contaminated"

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Raises ModelError for references that cannot be read, or that lack what one of the means compares."""
        source = decontaminate.source_of(self.references)
        found: list[list[dict[str, Any]]] = [[] for _ in batch.columns[self.inputs()[0]]]
        for by in self.by if source else ():
            items, matches = self._matches(source, by, batch.columns)
            nearest = decontaminate.nearest_per_benchmark(matches, items, by in ("bytes", "phash", "pdq"))
            named = items.select(["benchmark", "key"]).take(pa.array(nearest.items)).to_pylist()
            for row, item, value in zip(nearest.rows, named, nearest.values, strict=True):
                found[row].append({**item, "by": by, "value": float(value)})
        words = [", ".join(f"{match['benchmark']} by {match['by']}" for match in matches) for matches in found]
        return {
            "contamination": [matches or None for matches in found],
            "contaminated_by": [text or None for text in words],
        }

    def _matches(
        self, source: decontaminate.Source, by: Means, columns: Columns
    ) -> tuple[pa.Table, decontaminate.Matches]:
        """The items that can be compared by these means, and which rows match them."""
        if by == "bytes":
            return decontaminate.items_of(source, "sha256"), decontaminate.same_bytes(source, columns)
        if by == "embedding":
            matches = decontaminate.near_vectors(source, self.embedding, self.cosine, columns)
            return decontaminate.items_of(source, self.embedding), matches
        if by == "text":
            matches = decontaminate.shared_grams(source, self.text, self.words, self.overlap, columns)
            return decontaminate.items_of(source, self.text), matches
        distance = self.distance if by == "phash" else self.pdq_distance
        names = HASHES[by].columns(self.color is not None)
        matches = decontaminate.near_hashes(source, by, distance, self.color, columns)
        return decontaminate.items_of(source, *names), matches


def per_benchmark(contamination: pa.ChunkedArray) -> pa.Table:
    """How many samples match each benchmark by each means: columns benchmark, by, samples, sorted.

    `contamination`: the column of that name, for instance `curate.open_run(RUN).table("contamination")[0]`.
    """
    matches = pc.list_flatten(contamination)
    columns = {name: pc.struct_field(matches, name) for name in ("benchmark", "by")}
    counts = (
        pa.table({**columns, "samples": columns["by"]}).group_by(["benchmark", "by"]).aggregate([("samples", "count")])
    )
    return counts.rename_columns(["benchmark", "by", "samples"]).sort_by(
        [("benchmark", "ascending"), ("by", "ascending")]
    )
