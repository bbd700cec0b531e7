"""References for `stages.signals.contamination`: what tells the items of an evaluation set, without their images.

Of images on disk: `python -m stages.export.reference OUT.parquet --benchmark NAME PATH…`, where a path is an image, a
folder of them, or a webdataset's tar. Of a pool: the exporter, behind whatever signals its recipe has.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tarfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, PrivateAttr

from curate.columns import to_arrow
from curate.contracts import Batch, Exporter, Record, Signal
from curate.errors import PoolError, SampleError
from curate.image import decode
from stages.export.meta import meta_of
from stages.ingest.tar import IMAGES, MAX_IMAGE, MAX_TEXT
from stages.signals.copies import CopyDescriptor
from stages.signals.hashes import Pdq, PHash

BATCH = 256
"""Images that are held at a time."""


class Reference(Exporter):
    """Columns: `benchmark`, `key`, `sha256` of the image, `text`, then the meta columns that the recipe names."""

    format: ClassVar[str] = "reference"
    suffix: ClassVar[str] = ".parquet"

    benchmark: str = Field(min_length=1, description="name of the evaluation set, as the ledger will give it")

    _types: dict[str, pa.DataType] = PrivateAttr(default_factory=dict)

    def typed(self, types: Mapping[str, pa.DataType]) -> Self:
        """The same exporter with the types of meta columns."""
        exporter = self.model_copy()
        exporter._types = dict(types)
        return exporter

    def write(self, records: Sequence[Record], path: Path) -> None:
        """One file, a row per record; the images stay out of it."""
        meta = [meta_of(record) for record in records]
        rows = [hashlib.sha256(record.image).digest() for record in records]
        table = table_of(self.benchmark, [r.key for r in records], rows, [r.text for r in records])
        for name in sorted({name for row in meta for name in row} - set(table.column_names)):
            table = table.append_column(name, pa.array([row.get(name) for row in meta], self._types.get(name)))
        pq.write_table(table, path, compression="zstd")


class Item(NamedTuple):
    """One image of an evaluation set and, if a `.txt` lies beside it, its text."""

    key: str
    image: bytes
    text: str | None


def table_of(benchmark: str, keys: Sequence[str], digests: Sequence[bytes], texts: Sequence[str | None]) -> pa.Table:
    """The columns that every reference of images has."""
    columns: dict[str, tuple[Sequence[Any], pa.DataType]] = {
        "benchmark": ([benchmark] * len(keys), pa.string()),
        "key": (keys, pa.string()),
        "sha256": (digests, pa.binary(32)),
        "text": (texts, pa.string()),
    }
    return pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})


def write_reference(
    paths: Iterable[Path], benchmark: str, out: Path, signals: Sequence[Signal] = (PHash(), Pdq())
) -> tuple[int, int]:
    """Write the reference of images; returns how many are in it, and how many could not be read.

    `signals` need an image and no column. `out` appears whole or stays as it was. Raises PoolError where there is no
    image.
    """
    temporary = out.with_name(f".{out.name}-{uuid.uuid4().hex}")  # on the same disk; no name of a Parquet file
    try:
        written, unreadable = _write(temporary, paths, benchmark, signals)
        if not written + unreadable:
            raise PoolError(f"there is no image to make {out} of: name images, folders of them, or tars")
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return written, unreadable


def _write(path: Path, paths: Iterable[Path], benchmark: str, signals: Sequence[Signal]) -> tuple[int, int]:
    written = unreadable = 0
    held: list[Item] = []
    with ExitStack() as files:
        writer: pq.ParquetWriter | None = None
        for item in chain(_items(paths), [None]):
            if item is not None:
                held.append(item)
            if held and (item is None or len(held) == BATCH):
                table = _described(held, benchmark, signals)
                if writer is None:
                    writer = files.enter_context(pq.ParquetWriter(path, table.schema, compression="zstd"))
                writer.write_table(table)
                written, unreadable = written + table.num_rows, unreadable + len(held) - table.num_rows
                held = []
    return written, unreadable


def _described(items: Sequence[Item], benchmark: str, signals: Sequence[Signal]) -> pa.Table:
    """The rows of those items that decode."""
    levels = sorted({signal.image for signal in signals if signal.image in ("thumb", "full")})
    opened: list[tuple[Item, dict[str, Any]]] = []
    for item in items:
        try:
            opened.append(
                (item, {level: decode(item.image, "full" if level == "full" else "thumb") for level in levels})
            )
        except SampleError:
            continue
    whole = [item for item, _ in opened]
    digests = [hashlib.sha256(item.image).digest() for item in whole]
    table = table_of(benchmark, [item.key for item in whole], digests, [item.text for item in whole])
    for signal in signals:
        found = signal.compute(Batch({}, images=[images[str(signal.image)] for _, images in opened]))
        for name, kind in signal.gives().items():
            table = table.append_column(name, to_arrow(found[name], kind, len(whole), name))
    return table


def _items(paths: Iterable[Path]) -> Iterator[Item]:
    for path in paths:
        if path.suffix == ".tar":
            yield from _packed(path)
        elif path.is_dir():
            for file in sorted(file for file in path.rglob("*") if _is_image(file.name)):
                yield _loose(file, str(file.relative_to(path)))
        elif path.is_file() and _is_image(path.name):
            yield _loose(path, path.name)
        else:
            raise PoolError(f"{path} is no image, no folder and no .tar")


def _is_image(name: str) -> bool:
    return name.rpartition(".")[2].lower() in IMAGES


def _loose(path: Path, key: str) -> Item:
    beside = path.with_suffix(".txt")
    text = beside.read_bytes()[:MAX_TEXT].decode("utf-8", "replace").strip() if beside.is_file() else None
    return Item(key, path.read_bytes(), text)


def _packed(path: Path) -> Iterator[Item]:
    try:
        with tarfile.open(path, "r:") as tar:
            members = {member.name: member for member in tar if member.isfile() and member.size <= MAX_IMAGE}
            for name, member in members.items():
                if _is_image(name):
                    beside = members.get(f"{name.rpartition('.')[0]}.txt")
                    text = _bytes(tar, beside)[:MAX_TEXT].decode("utf-8", "replace").strip() if beside else None
                    yield Item(name, _bytes(tar, member), text)
    except tarfile.TarError as error:
        raise PoolError(f"{path} is no uncompressed tar: {error}") from error


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.export.reference", description="reference of an evaluation set"
    )
    parser.add_argument("out", type=Path, help="the Parquet file to write")
    parser.add_argument("paths", type=Path, nargs="+", help="images, folders of images, webdataset tars")
    parser.add_argument("--benchmark", required=True, help="name of the evaluation set")
    parser.add_argument("--descriptor", help="also embed: a model as stages.signals.copies.CopyDescriptor takes it")
    asked = parser.parse_args(arguments)
    signals: list[Signal] = [PHash(), Pdq()]
    if asked.descriptor:
        signals.append(CopyDescriptor(model=asked.descriptor))
    written, unreadable = write_reference(asked.paths, asked.benchmark, asked.out, signals)
    print(f"{asked.out}: {written} items of {asked.benchmark}, {unreadable} images could not be read")


if __name__ == "__main__":
    main()
