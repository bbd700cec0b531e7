"""Documents/s of each format of documents, beside the plain library's own writer on the same documents, in one run.

    python -m benchmarks documents_export

Documents are the 24 embedded pages, as the default mode reads them, forty times over with numbers in their texts. Plain:
webdataset's TarWriter with the same members; pyarrow's write_table of the same columns; open_clip's tokenizer, one array
per document, saved by numpy without being packed. One process each; rounds take turns and the best counts.
"""

from __future__ import annotations

import json as jsonlib
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

import curate
from benchmarks.export import Write, seconds
from curate.contracts import Exporter, NodeRecord, Record
from stages.export.documents.obelics import ObelicsParquet
from stages.export.documents.packed import Packed
from stages.export.documents.webdataset import Webdataset

COPIES = 40
ARCHIVES = Path(__file__).parent.parent / "manifests" / "sample" / "documents"


def pages() -> list[Record]:
    """The embedded pages, every node kept that has its bytes, as exporters get them."""
    recipe = {
        "name": "pages",
        "max_failed": 1,
        "pool": {"step": "stages.ingest.warc.Warc", "path": f"{ARCHIVES}/*.warc.gz"},
        "export": {"samples_per_shard": 1000, "formats": [{"step": "stages.export.documents.webdataset.Webdataset"}]},
    }
    with tempfile.TemporaryDirectory() as root:
        file = Path(root) / "pages.yaml"
        file.write_text(yaml.safe_dump(recipe))
        curate.run(file, root=root, executor="inline", quiet=True)
        (shard,) = Path(root).glob("runs/pages/export/documents/*.tar")
        with tarfile.open(shard) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    return [_record(jsonlib.loads(data), files) for name, data in files.items() if name.endswith(".json")]


def _record(said: dict[str, object], files: dict[str, bytes]) -> Record:
    nodes = said["nodes"]
    assert isinstance(nodes, list)
    made = tuple(_node(node, files) for node in nodes)
    key, uid, title = (str(said[name]) for name in ("key", "uid", "title"))
    return Record(key, uid, b"", "", title, {"uid": uid, "url": said["url"]}, made)


def _node(said: dict[str, str], files: dict[str, bytes]) -> NodeRecord:
    if said["kind"] == "text":
        return NodeRecord("text", said["uid"], said["text"], meta={"url": None, "caption": None})
    meta = {"url": said["url"], "caption": said["caption"]}
    return NodeRecord("image", said["uid"], said["alt"], files[said["file"]], said["file"].rsplit(".")[-1], meta)


def repeated(records: Sequence[Record], copies: int) -> list[Record]:
    """The same documents with other texts and keys, so that nothing is known from before."""
    found = []
    for copy in range(copies):
        for i, record in enumerate(records):
            nodes = tuple(replace(n, text=f"{n.text} {copy}") if n.kind == "text" else n for n in record.nodes)
            found.append(replace(record, key=f"{0:08d}{copy * len(records) + i:06d}", nodes=nodes))
    return found


def plain_webdataset(records: Sequence[Record], path: Path) -> None:
    """TarWriter, as webdataset's documentation has it."""
    import webdataset

    with path.open("wb") as file, webdataset.TarWriter(file, encoder=False) as sink:
        for r in records:
            images = {f"{i:02d}.{n.ext}": n.image for i, n in enumerate(n for n in r.nodes if n.kind == "image")}
            said = {"uid": r.uid, "nodes": [n.text for n in r.nodes]}
            sink.write({"__key__": r.key, "json": jsonlib.dumps(said).encode(), **images})


def plain_parquet(records: Sequence[Record], path: Path) -> None:
    """One table, written at once."""
    rows = [
        {
            "images": [n.meta["url"] for n in r.nodes],
            "texts": [n.text for n in r.nodes],
            "bytes": [n.image for n in r.nodes if n.kind == "image"],
        }
        for r in records
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


def plain_tokens(records: Sequence[Record], path: Path) -> None:
    """open_clip's tokenizer; documents end to end, not packed, the images as they are behind them."""
    from open_clip import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    tokens = [np.array(tokenizer.encode(n.text), np.uint16) for r in records for n in r.nodes if n.kind == "text"]
    images = b"".join(n.image for r in records for n in r.nodes)
    with path.open("wb") as file:
        np.save(file, np.concatenate(tokens))
        file.write(images)


def main(json: bool = False) -> None:
    """Print documents/s of each format, and how many times its plain writer's that is."""
    records = repeated(pages(), COPIES)
    pairs: dict[str, tuple[Exporter, Write]] = {
        "documents": (Webdataset(), plain_webdataset),
        "obelics": (ObelicsParquet(), plain_parquet),
        "packed": (Packed(), plain_tokens),
    }
    writers: dict[str, Write] = {}
    for name, (exporter, plain) in pairs.items():
        writers |= {name: exporter.write, f"plain {name}": plain}
    rates = {name: len(records) / took for name, took in seconds(writers, records).items()}
    with tempfile.TemporaryDirectory() as folder:
        counts = Packed().write(records, Path(folder) / "a.arrow")
    padding = counts["padding"] / (counts["tokens"] + counts["padding"])
    if json:
        print(jsonlib.dumps({"benchmark": "documents_export", "unit": "documents/s", "rates": rates, **counts}))
        return
    print(f"documents/s, one process, {len(records)} documents of {counts['tokens'] / len(records):.0f} tokens")
    for name in pairs:
        ours, plain_rate = rates[name], rates[f"plain {name}"]
        print(f"{name:12}{ours:>10,.0f}   plain {plain_rate:>8,.0f}   {ours / plain_rate:.2f}x")
    print(f"packed: {counts['sequences']} sequences of 2,048 tokens, {padding:.2%} of their places empty")
