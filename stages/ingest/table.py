"""Tables of captions or URLs: CSV, TSV, JSONL and Parquet, cut into parts and read part by part, never as a whole."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curate.catalog import nearest
from curate.errors import PoolError
from stages.ingest.files import File, reading

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


class Part(NamedTuple):
    """Rows `first` to `first + rows` of a table; `start` and `end` are their bytes in a text file."""

    first: int
    rows: int
    start: int
    end: int
    stamp: str


class Record(NamedTuple):
    """One row: its number in the file, its plain values (str, int, float, bool, None), or why it cannot be read."""

    number: int
    values: dict[str, Any]
    error: str | None = None


def split(file: File, rows: int) -> list[Part]:
    """The table in parts of `rows` rows. Text files are read once, line by line; of Parquet only the footer.

    The stamp of a part of a text file is a digest of its bytes, so that appended rows leave the earlier parts alone.
    """
    with reading(file.path) as source:
        if file.path.endswith(".parquet"):
            total = _parquet(source, file.path).metadata.num_rows
            firsts = range(0, total, rows)
            return [Part(at, min(rows, total - at), 0, 0, f"{file.stamp}/{at}") for at in firsts]
        return list(_split_text(source, file.path, rows))


def read(path: str, part: Part) -> Iterator[Record]:
    """The rows of one part."""
    with reading(path) as source:
        if path.endswith(".parquet"):
            yield from _read_parquet(_parquet(source, path), part)
            return
        header = _header(source, path)
        source.seek(part.start)
        data = source.read(part.end - part.start)
    parse = _parse_jsonl if path.endswith(".jsonl") else _parse_csv
    yield from parse(data, header, path, part.first)


def columns(path: str) -> list[str]:
    """Names of the columns; of JSONL those of the first row."""
    if not path.endswith(SUFFIXES):
        raise PoolError(f"{path}: not a table that is known by its name; it has to end in {', '.join(SUFFIXES)}")
    with reading(path) as source:
        return list(_parquet(source, path).schema_arrow.names) if path.endswith(".parquet") else _header(source, path)


def choose(path: str, what: str, named: str | None, usual: Sequence[str]) -> str:
    """The column to use: the one named, else the first usual one. Raises `PoolError` with the nearest name."""
    present = columns(path)
    for name in [named] if named is not None else usual:
        if name in present:
            return name
    wanted = repr(named) if named is not None else " or ".join(map(repr, usual))
    hint = nearest(named if named is not None else usual[0], present)
    raise PoolError(
        f"{path}: there is no column {wanted}; it has {', '.join(map(repr, present))}.{hint} "
        f"Correct `{what}` in the recipe"
    )


def _parquet(source: BinaryIO, path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source)
    except pa.ArrowInvalid as error:
        raise PoolError(f"{path}: no readable Parquet: {error}; fetch or write it again") from error


def _read_parquet(parquet: pq.ParquetFile, part: Part) -> Iterator[Record]:
    """Only the row groups that the part touches, batch by batch, without columns that hold blobs or nested values."""
    names = [field.name for field in parquet.schema_arrow if _is_plain(field.type)]
    groups, at, skip = [], 0, part.first
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if at + rows <= part.first:
            skip = part.first - at - rows
        elif at < part.first + part.rows:
            groups.append(group)
        at += rows
    number, end = part.first - skip, part.first + part.rows
    for batch in parquet.iter_batches(batch_size=8192, row_groups=groups, columns=names):
        low, high = max(part.first - number, 0), min(end - number, batch.num_rows)
        for i, values in enumerate(batch.slice(low, high - low).to_pylist() if high > low else ()):
            yield Record(number + low + i, {name: _finite(value) for name, value in values.items()})
        number += batch.num_rows
        if number >= end:
            return


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
    )
    return any(test(kind) for test in tests)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Lines:
    """Lines of a binary file as text, keeping count of the bytes, which `csv` does not."""

    def __init__(self, source: BinaryIO, path: str) -> None:
        self.source, self.path, self.position, self.digest = source, path, 0, hashlib.blake2b(digest_size=16)

    def __iter__(self) -> Iterator[str]:
        for line in self.source:
            self.position += len(line)
            self.digest.update(line)
            yield line.decode("utf-8", "replace")

    def cut(self) -> str:
        """The digest of the lines since the last cut."""
        stamp, self.digest = self.digest.hexdigest(), hashlib.blake2b(digest_size=16)
        return stamp


def _split_text(source: BinaryIO, path: str, rows: int) -> Iterator[Part]:
    lines = _Lines(source, path)
    records: Iterator[Any] = iter(lines) if path.endswith(".jsonl") else _csv(lines, path)
    if not path.endswith(".jsonl"):
        next(records, None)
        lines.cut()
    first = count = 0
    start = lines.position
    for record in records:
        count += bool(record and record != "\n")
        if count == rows:
            yield Part(first, count, start, lines.position, lines.cut())
            first, count, start = first + count, 0, lines.position
    if count:
        yield Part(first, count, start, lines.position, lines.cut())


def _csv(lines: Iterator[str] | _Lines, path: str) -> Iterator[list[str]]:
    reader = csv.reader(lines, delimiter="\t" if path.endswith(".tsv") else ",")
    try:
        yield from reader
    except csv.Error as error:
        raise PoolError(
            f"{path}: line {reader.line_num}: {error}; check the quotes before it, or write the table as Parquet"
        ) from error


def _header(source: BinaryIO, path: str) -> list[str]:
    """Names of the columns of a text table."""
    if path.endswith(".jsonl"):
        first = next(_parse_jsonl(source.readline(), [], path, 0), None)
        return list(first.values) if first else []
    names = next(_csv(_Lines(source, path), path), [])
    return [name.removeprefix("\ufeff") if i == 0 else name for i, name in enumerate(names)]


def _parse_csv(data: bytes, header: list[str], path: str, first: int) -> Iterator[Record]:
    lines = io.StringIO(data.decode("utf-8", "replace"), newline="")
    number = first
    for fields in _csv(lines, path):
        if fields:
            yield Record(number, dict(zip(header, fields, strict=False)))
            number += 1


def _parse_jsonl(data: bytes, header: list[str], path: str, first: int) -> Iterator[Record]:
    number = first
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            values = json.loads(line.decode("utf-8-sig"))
            if not isinstance(values, dict):
                raise ValueError("it is no object")
            yield Record(number, {str(name): value for name, value in values.items()})
        except (ValueError, RecursionError) as error:
            yield Record(number, {}, f"row {number} of {path.rpartition('/')[2]} is no JSON: {error}")
        number += 1
