"""Documents in the column form of OBELICS (Laurençon et al. 2023, and the data set's card), which `datasets` loads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from curate.contracts import Exporter, NodeRecord, Record
from curate.errors import SampleError
from curate.image import header
from stages.export.documents.batches import batches
from stages.export.meta import counts_of, document_of, strict
from stages.html.media import file_words

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
OBELICS = pa.schema(
    [
        ("images", pa.list_(pa.string())),  # URL, or null where there is a text
        ("texts", pa.list_(pa.string())),  # text, or null where there is an image
        ("metadata", pa.string()),  # JSON list of the same length: what is known of each image, null for a text
        ("general_metadata", pa.string()),  # JSON: url, title and the columns of `export.meta`
        ("image_files", pa.list_(IMAGE)),  # the images themselves, in their order
        ("nodes", pa.string()),  # JSON list, as long as `images`: uid, and the columns of `export.node_meta`
        ("uid", pa.string()),
        ("key", pa.string()),
    ],
    {
        "huggingface": json.dumps(
            {"info": {"features": {"image_files": {"_type": "List", "feature": {"_type": "Image"}}}}}
        )
    },
)
ROWS = 100
"""Documents of a row group at most."""
BYTES = 256 << 20
"""Image bytes after which a row group ends: a binary column holds less than 2 GiB."""


class ObelicsParquet(Exporter):
    """Columns of OBELICS: `images`, `texts`, `metadata`, `general_metadata`; beside them `image_files`, the bytes that
    OBELICS leaves to be downloaded, as Hugging Face's Image feature, and `nodes`, `uid`, `key`.

    `images` and `texts` are lists of the same length with exactly one non-null at each place. Neighbouring texts stay
    apart (OBELICS joins them by an empty line). An image without a URL (it came as a `data:` URI) is named by its uid,
    `uid:…`.
    """

    format: ClassVar[str] = "obelics"
    suffix: ClassVar[str] = ".parquet"
    documents: ClassVar[bool] = True

    def write(self, records: Sequence[Record], path: Path) -> dict[str, int]:
        """One file; `datasets.load_dataset("parquet", ...)` decodes its images."""
        with pq.ParquetWriter(path, OBELICS, compression="zstd") as writer:
            for group in batches(records, _size, ROWS, BYTES):
                rows = [_row(record) for record in group]
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=OBELICS))
        return counts_of(records)


def _size(record: Record) -> int:
    return sum(len(node.image) for node in record.nodes)


def _row(record: Record) -> dict[str, Any]:
    images = [node for node in record.nodes if node.kind == "image"]
    about = document_of(record)
    if sum(len(node.image) for node in images) >= 1 << 31:
        raise SampleError(
            f"{record.key} ({record.uid}): its images have 2 GiB or more, which a Parquet list cannot hold"
        )
    return {
        "images": [_name(node) if node.kind == "image" else None for node in record.nodes],
        "texts": [node.text if node.kind == "text" else None for node in record.nodes],
        "metadata": _dump([_about(node, about["url"]) if node.kind == "image" else None for node in record.nodes]),
        "general_metadata": _dump({"url": about["url"], "title": about["title"], **about["meta"]}),
        "image_files": [{"bytes": node.image, "path": f"{node.uid}.{node.ext}"} for node in images],
        "nodes": _dump(
            [{**{name: strict(value) for name, value in n.meta.items()}, "uid": n.uid} for n in record.nodes]
        ),
        "uid": record.uid,
        "key": record.key,
    }


def _name(node: NodeRecord) -> str:
    return node.meta["url"] or f"uid:{node.uid}"


def _about(node: NodeRecord, page: str) -> dict[str, Any]:
    """By OBELICS' names; it has two more, `unformatted_src` and the displayed size, which an index does not keep.

    `formatted_filename`: the words of the image's file name.
    """
    facts = header(node.image)
    return {
        "document_url": page,
        "src": node.meta["url"],
        "formatted_filename": file_words(node.meta["url"] or "") or None,
        "alt_text": node.text,
        "caption": node.meta["caption"],
        "original_width": facts.width,
        "original_height": facts.height,
        "format": facts.format.lower(),
    }


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=isinstance(value, dict))


def documents_in(data: bytes) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Uid and node uids of each document of a shard. An image counts if its bytes are there."""
    names = ["uid", "images", "texts", "image_files", "nodes"]
    file = pq.ParquetFile(pa.BufferReader(data))
    for group in range(file.num_row_groups):
        for row in file.read_row_group(group, names).to_pylist():
            files = [bool(image["bytes"]) for image in row["image_files"]]
            there = iter(files if len(files) == sum(name is not None for name in row["images"]) else ())
            kept = [text is not None or next(there, False) for text in row["texts"]]
            yield row["uid"], tuple(n["uid"] for n, has in zip(json.loads(row["nodes"]), kept, strict=True) if has)
