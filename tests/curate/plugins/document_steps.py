"""A source of written documents and facts about them; a plugin package for the tests."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from PIL import Image

from curate.contracts import Columns, DocumentFact, Ingested, Kind, Source, State, Unit
from curate.documents import owners, spans
from curate.schema import DOCUMENT_INDEX, make_uid


class Written(Source):
    """Documents from text files, one file a shard: `# title` begins one, `! side` is an image, `?` a
    damaged page, other lines are texts."""

    documents: ClassVar[bool] = True
    path: str

    def units(self) -> list[Unit]:
        files = sorted(Path(self.path).glob("*.txt"))
        return [Unit(f.stem, hashlib.sha256(f.read_bytes()).hexdigest(), {"file": str(f)}) for f in files]

    def ingest(self, unit: Unit, target: Path) -> Ingested:
        rows: list[dict[str, Any]] = []
        parent = 0
        with tarfile.open(target, "w") as tar:
            for line in Path(unit.args["file"]).read_text().splitlines():
                row: dict[str, Any] = dict.fromkeys(DOCUMENT_INDEX.names)
                row["key"] = f"{unit.name}/{len(rows):04d}"
                if line.startswith("?"):
                    row |= {"kind": "document", "error": "damaged"}
                elif line.startswith("#"):
                    parent = len(rows)
                    row |= {"kind": "document", "text": line[2:], "url": f"http://pages.example/{line[2:]}"}
                elif line.startswith("!"):
                    row |= {"kind": "image", "parent": parent, "tag": "img", **_image(tar, row["key"], line[2:])}
                else:
                    row |= {"kind": "text", "parent": parent, "tag": "p", "text": line}
                row["uid"] = make_uid(row["key"], row["text"], row["sha256"] or b"")
                rows.append(row)
        return Ingested(pa.Table.from_pylist(rows, DOCUMENT_INDEX))


def _image(tar: tarfile.TarFile, key: str, side: str) -> dict[str, Any]:
    """A JPEG of the given side; no number: no image."""
    if not side.isdigit():
        return {"error": f"missing image: {side}"}
    noise = np.random.default_rng(int(side)).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((int(side), int(side))).save(out, "JPEG")
    data = b"no image at all" if side == "13" else out.getvalue()
    member = tarfile.TarInfo(f"{key}.jpg")
    member.size = len(data)
    offset = tar.offset + 512
    tar.addfile(member, io.BytesIO(data))
    return {"offset": offset, "size": len(data), "ext": "jpg", "sha256": hashlib.sha256(data).digest()}


class Remaining(DocumentFact):
    """What is left of a document: its texts, its images, and its words."""

    def gives(self) -> dict[str, pa.DataType]:
        return {"texts_left": pa.int32(), "images_left": pa.int32(), "words_left": pa.string()}

    def inputs(self) -> tuple[str, ...]:
        return ("text",)

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        found = {name: np.full(len(columns["kind"]), None, object) for name in self.gives()}
        for document, nodes in spans(columns):
            kinds = columns["kind"][nodes]
            words = [text for text, kind in zip(columns["text"][nodes], kinds, strict=True) if kind == "text"]
            found["texts_left"][document] = int((kinds == "text").sum())
            found["images_left"][document] = int((kinds == "image").sum())
            found["words_left"][document] = " ".join(words)
        return {name: values.tolist() for name, values in found.items()}


class Place(DocumentFact):
    """How many nodes of its page stand before a node, whatever rules say."""

    kinds: ClassVar[tuple[Kind, ...]] = ("text", "image")
    sees: ClassVar[Literal["page", "kept"]] = "page"

    def gives(self) -> dict[str, pa.DataType]:
        return {"place": pa.int32()}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        first = np.flatnonzero(columns["kind"] == "document")
        return {"place": np.arange(len(columns["kind"])) - first[owners(columns)] - 1}


class Longest(DocumentFact):
    """The largest value of a column over a document and its nodes."""

    column: str

    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        return {"longest": pa.float64()}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        found = np.full(len(columns["kind"]), np.nan)
        for document, nodes in spans(columns):
            values = columns[self.column][document : nodes.stop].astype(np.float64)
            found[document] = values[~np.isnan(values)].max(initial=-1)
        return {"longest": found}
