"""A pool from a table of URLs and captions, downloaded by img2dataset."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from curate.contracts import Ingested, Source, Unit
from curate.errors import MissingExtra, PoolError
from stages.ingest.download import Downloads, Found, check_url, fetched
from stages.ingest.files import find_files
from stages.ingest.pack import Sample, image_format, member_key, pack
from stages.ingest.rows import Row, failed_row, safe_key
from stages.ingest.table import Part, Record, choose, columns, read, split

URL_COLUMNS = ("url", "URL")
TEXT_COLUMNS = ("text", "caption", "TEXT")


class UrlList(Downloads, Source):
    """Rows of (URL, caption) in .parquet, .csv, .tsv or .jsonl files, downloaded by img2dataset, one unit at a time.

    Samples stand in the order of the table. A row that could not be downloaded is a row with its error.
    """

    path: str | tuple[str, ...] = Field(
        description="table, folder of .parquet, glob, {000..012} range or URL; or a list"
    )
    url_column: str | None = Field(default=None, description="else `url` or `URL`")
    text_column: str | None = Field(default=None, description="else `text`, `caption` or `TEXT`")
    uid_column: str | None = Field(
        default=None, description="32 hexadecimal digits per row; else `uid` where there is one"
    )
    rows_per_shard: int = Field(default=10_000, ge=1)

    def units(self) -> list[Unit]:
        """One unit per `rows_per_shard` rows. Text tables are read through for it, of Parquet only the footers."""
        if importlib.util.find_spec("img2dataset") is None:
            raise MissingExtra("img2dataset", "download")
        units = []
        for file in find_files([self.path] if isinstance(self.path, str) else list(self.path), ".parquet"):
            names = self._columns(file.path)
            for number, part in enumerate(split(file, self.rows_per_shard)):
                stamp = hashlib.blake2b(repr((part, names, self.image_size)).encode(), digest_size=16).hexdigest()
                name = f"{file.name}/{number:08d}"
                units.append(Unit(name, stamp, {"table": file.path, "part": part, "columns": names, "key": file.name}))
        if not units:
            raise PoolError(f"{self.path}: the table has no rows; name one that has")
        return units

    def ingest(self, unit: Unit, target: Path) -> Ingested:
        """Download the unit's rows and pack them, in the table's order, into a tar at `target`."""
        records = [
            _Wanted(record, unit.args["columns"], unit.args["key"])
            for record in read(unit.args["table"], Part(*unit.args["part"]))
        ]
        with tempfile.TemporaryDirectory(prefix="curate-urls-") as folder:
            urls = {wanted.number: wanted.url for wanted in records if wanted.error is None}
            found = self.download(urls, Path(folder)) if urls else {}
            return Ingested(pack(_samples(records, found), target))

    def _columns(self, path: str) -> tuple[str, str, str | None]:
        uid = choose(path, "uid_column", self.uid_column, ("uid",)) if self.uid_column else None
        return (
            choose(path, "url_column", self.url_column, URL_COLUMNS),
            choose(path, "text_column", self.text_column, TEXT_COLUMNS),
            uid or ("uid" if "uid" in columns(path) else None),
        )


class _Wanted:
    """One row of the table: what is wanted of it, and why it is not asked for if it is not."""

    def __init__(self, record: Record, names: tuple[str, str, str | None], key: str) -> None:
        url_column, text_column, uid_column = names
        url, text = record.values.get(url_column), record.values.get(text_column)
        self.number = record.number
        self.key = member_key(f"{safe_key(key)}/{record.number:010d}")
        self.text = text if isinstance(text, str) else None
        self.url = url if isinstance(url, str) else ""
        self.uid = record.values.get(uid_column) if uid_column else None
        self.meta = {**record.values, "url": self.url} | ({"uid": self.uid} if uid_column else {})
        self.error = record.error or check_url(self.url)
        if self.error is None and self.text is None:
            self.error = f"no caption (column {text_column!r} is empty)"


def _samples(records: list[_Wanted], found: Found) -> Iterator[Sample | Row]:
    for wanted in records:
        result = found[wanted.number] if wanted.error is None else wanted.error
        if isinstance(result, str):
            yield failed_row(wanted.key, result, wanted.text, wanted.url, wanted.uid)
            continue
        image = fetched(result)
        meta = json.dumps(wanted.meta, ensure_ascii=True, default=str).encode()
        yield (
            wanted.key,
            {image_format(image) or "jpg": image, "txt": (wanted.text or "").encode("utf-8", "replace"), "json": meta},
        )
