"""Interleaved documents in plain tars, one group of members per document, as the `webdataset` package reads them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from curate.contracts import Exporter, Record
from stages.export.images import readable
from stages.export.meta import counts_of, document_of, node_of


class Webdataset(Exporter):
    """One tar per shard: KEY.json, then the document's images KEY.00.jpg|png|webp, KEY.01.…, adjacent.

    The JSON holds `uid`, `key`, `url`, `title`, `meta` and `nodes` in reading order: `{"kind": "text", "uid", "text"}` or
    `{"kind": "image", "uid", "file", "alt", "caption", "url"}`, and `meta` if `export.node_meta` names columns. Images are
    kept byte for byte unless `max_side` asks for smaller ones.
    """

    format: ClassVar[str] = "documents"
    suffix: ClassVar[str] = ".tar"
    documents: ClassVar[bool] = True

    max_side: int | None = Field(
        default=None, ge=16, description="longest side in px; larger images are reduced and stored as JPEG"
    )
    quality: int = Field(default=90, ge=1, le=95, description="JPEG quality of the images that are reduced")

    def write(self, records: Sequence[Record], path: Path) -> dict[str, int]:
        """Byte-identical for equal records: no times, no owners. SampleError names the record whose image is bad."""
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for record in records:
                for name, data in self._members(record):
                    info = tarfile.TarInfo(name)  # mtime 0, uid 0, gid 0, mode 0644
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        return counts_of(records)

    def _members(self, record: Record) -> Iterator[tuple[str, bytes]]:
        """Names and bytes: the JSON first, so that who reads a tar as a stream knows what comes."""
        nodes: list[dict[str, Any]] = []
        images: list[tuple[str, bytes]] = []
        for node in record.nodes:
            said = node_of(node)
            if node.kind == "image":
                ext, blob = readable(node.image, f"{record.key} ({node.uid})", self.max_side, self.quality)
                said["file"] = f"{record.key}.{len(images):02d}.{ext}"
                images.append((said["file"], blob))
            nodes.append(said)
        text = json.dumps({**document_of(record), "nodes": nodes}, ensure_ascii=False, sort_keys=True)
        yield f"{record.key}.json", text.encode()
        yield from images

    def index_files(self, counts: dict[str, int]) -> dict[str, bytes]:
        """`sizes.json`: documents per shard."""
        return {"sizes.json": (json.dumps(counts, indent=2, sort_keys=True) + "\n").encode()}


def documents_in(data: bytes) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Uid and node uids of each document of a shard. An image counts if its file is there."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = set(tar.getnames())
        for member in tar:
            file = tar.extractfile(member)
            if file is not None and member.name.endswith(".json"):
                said = json.loads(file.read())
                there = (node for node in said["nodes"] if node.get("file", member.name) in names)
                yield said["uid"], tuple(node["uid"] for node in there)
