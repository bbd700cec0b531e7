"""A pool over an existing webdataset: indexed where it lies, never copied.

Folders that img2dataset wrote have a `.parquet` beside each tar that lists the downloads that failed: they become rows.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from curate.contracts import Ingested, Source, Unit
from curate.errors import PoolError
from curate.schema import parse_uid
from stages.ingest.files import faults, filesystem, find_files, reading, stamp_of
from stages.ingest.rows import failed_row, table_of
from stages.ingest.tar import index_tar

DOWNLOADS = ("key", "status", "error_message", "url")
"""Columns by which img2dataset's table of a shard is known."""


class Webdataset(Source):
    """Shards of an existing webdataset (uncompressed tars), by folder, path, glob, brace range or fsspec URL."""

    path: str | tuple[str, ...] = Field(
        description="folder, file, glob, {00000..00012} range or URL; or a list of them"
    )

    def units(self) -> list[Unit]:
        """One unit per tar, in the order of the list, sorted by path within each pattern.

        The stamp holds the place as well: a tar that moved is indexed again, since the index says where it is.
        """
        patterns = [self.path] if isinstance(self.path, str) else list(self.path)
        if not patterns:
            raise PoolError("webdataset: `path` is an empty list; name a folder, a file, a glob or a range")
        units = []
        for file in find_files(patterns, ".tar"):
            if not file.path.endswith(".tar"):
                raise PoolError(f"{file.path}: not named .tar; a compressed archive has to be unpacked to a plain .tar")
            stamp = f"{file.path} {file.stamp}{_stamp(_downloads(file.path))}"
            units.append(Unit(file.name, stamp, {"tar": file.path}))
        return units

    def ingest(self, unit: Unit, target: Path) -> Ingested:
        """The rows of one tar, in its order, then its failed downloads, sorted by key."""
        tar = unit.args["tar"]
        with reading(tar) as file:
            rows = index_tar(file, tar)
        return Ingested(add_downloads(rows, _downloads(tar)), tar)


def _downloads(tar: str) -> str:
    return tar.removesuffix(".tar") + ".parquet"


def _stamp(path: str) -> str:
    """The stamp of the table beside a tar; empty if there is none."""
    with faults(path):
        fs, inside = filesystem(path)
        return f"+{stamp_of(fs.info(inside))}" if fs.exists(inside) else ""


def add_downloads(rows: pa.Table, path: str) -> pa.Table:
    """The rows of a tar, with the uids and failures that img2dataset's table at `path` knows, if it is there."""
    table = _read_downloads(path)
    if table is None:
        return rows
    known = set(rows["key"].to_pylist())
    lost = [
        failed_row(
            str(record["key"]),
            f"download: {record['error_message'] or 'listed as a success, but the tar does not have it'}",
            record.get("caption"),
            record["url"],
            record.get("uid"),
        )
        for record in table.to_pylist()
        if record["key"] not in known
    ]
    rows = _take_uids(rows, table) if "uid" in table.column_names else rows
    return pa.concat_tables([rows, table_of(sorted(lost, key=lambda row: row.key))])


def _read_downloads(path: str) -> pa.Table | None:
    fs, inside = filesystem(path)
    with faults(path):
        if not fs.exists(inside):
            return None
    with reading(path) as file:
        try:
            parquet = pq.ParquetFile(file)
            if not set(DOWNLOADS) <= set(parquet.schema_arrow.names):
                return None
            wanted = [name for name in parquet.schema_arrow.names if name in (*DOWNLOADS, "caption", "uid")]
            return parquet.read(columns=wanted)
        except pa.ArrowInvalid as error:
            raise PoolError(f"{path}: no readable Parquet: {error}; write it again, or take it away") from error


def _take_uids(rows: pa.Table, table: pa.Table) -> pa.Table:
    """Uids from the table for rows whose own JSON has none is the rule; where both have one they are the same."""
    uids = dict(zip(table["key"].to_pylist(), map(parse_uid, table["uid"].to_pylist()), strict=True))
    taken = [uids.get(key) or uid for key, uid in zip(rows["key"].to_pylist(), rows["uid"].to_pylist(), strict=True)]
    return rows.set_column(0, rows.schema.field("uid"), pa.array(taken, rows.schema.field("uid").type))
