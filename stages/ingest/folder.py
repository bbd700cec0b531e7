"""A pool from a folder of images, with captions in sidecar files or in a table."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import stat
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from curate.contracts import Ingested, Source, Unit
from curate.errors import EnvironmentFault, PoolError
from stages.ingest.files import Refused, find_files, read_inside
from stages.ingest.pack import Sample, member_key, pack
from stages.ingest.rows import Row, failed_row, safe_key
from stages.ingest.table import choose, read, split
from stages.ingest.tar import IMAGES, MAX_IMAGE, MAX_JSON, MAX_TEXT

FILE_COLUMNS = ("file", "image", "file_name")
TEXT_COLUMNS = ("text", "caption")

Stats = dict[str, tuple[int, int]]
"""Path relative to the folder -> size and time of the last change (ns)."""


class Entry(NamedTuple):
    """One record of a folder: an image's path, its key, and its row of the table as text and JSON."""

    path: str
    key: str
    text: str | None = None
    row: str | None = None
    error: str | None = None


class Folder(Source):
    """Images under a local folder, in the order of their paths. Hidden files and folders are passed over.

    The caption of `a/x.jpg` is the one of its row in the table, else `a/x.txt`, else `caption` or `text` in `a/x.json`.
    Each image and each row of the table enters; several rows about one image are several samples.
    """

    path: str = Field(description="a local folder; its subfolders belong to it")
    captions: str | None = Field(
        default=None, description="a .csv, .tsv, .jsonl or .parquet table of files and captions"
    )
    file_column: str | None = Field(default=None, description="else `file`, `image` or `file_name`; relative to `path`")
    text_column: str | None = Field(default=None, description="else `text` or `caption`")
    samples_per_shard: int = Field(default=1000, ge=1)

    def units(self) -> list[Unit]:
        """One unit per `samples_per_shard` records; its stamp covers paths, sizes, times and rows of the table."""
        stats = walk(self.path)
        entries = _entries(stats, self._table())
        if not entries:
            raise PoolError(f"{self.path}: there is no image here ({', '.join(sorted(IMAGES))}); correct `path`")
        units = []
        for number, start in enumerate(range(0, len(entries), self.samples_per_shard)):
            part = entries[start : start + self.samples_per_shard]
            units.append(Unit(f"{number:08d}", _stamp(part, stats), {"entries": part}))
        return units

    def ingest(self, unit: Unit, target: Path) -> Ingested:
        """Pack the unit's images and captions into a tar at `target`."""
        root = os.path.realpath(self.path)
        return Ingested(pack((self._sample(root, Entry(*entry)) for entry in unit.args["entries"]), target))

    def _table(self) -> dict[str, list[Entry]]:
        """Rows of the table by the image that they name; a row that names none stands under its number."""
        rows: dict[str, list[Entry]] = {}
        if self.captions is None:
            return rows
        named = choose(self.captions, "file_column", self.file_column, FILE_COLUMNS)
        titled = choose(self.captions, "text_column", self.text_column, TEXT_COLUMNS)
        (table,) = find_files([self.captions], "")
        for part in split(table, 10_000):
            for record in read(self.captions, part):
                path, text, error = record.values.get(named), record.values.get(titled), record.error
                if not isinstance(path, str) or not path:
                    error = error or f"missing image: row {record.number} of {self.captions} names no file"
                    path = f"row {record.number}"
                path = posixpath.normpath(os.path.relpath(path, self.path) if os.path.isabs(path) else path)
                row = json.dumps(record.values, ensure_ascii=True, default=str)
                rows.setdefault(path, []).append(Entry(path, "", text if isinstance(text, str) else None, row, error))
        return rows

    def _sample(self, root: str, entry: Entry) -> Sample | Row:
        try:
            if entry.error is not None:
                raise Refused(entry.error)
            suffix = _suffix(entry.path)
            image = read_inside(root, entry.path, MAX_IMAGE)
            if suffix not in IMAGES:
                raise Refused(f"no image by its name: {entry.path}; known are {', '.join(sorted(IMAGES))}")
            return entry.key, {suffix: image, **self._words(root, entry)}
        except Refused as refused:
            fields = json.loads(entry.row) if entry.row else {}
            return failed_row(entry.key, str(refused), entry.text, fields.get("url"), fields.get("uid"))

    def _words(self, root: str, entry: Entry) -> dict[str, bytes]:
        """The caption and the JSON that go with an image."""
        stem = posixpath.splitext(entry.path)[0]
        words = {}
        if entry.text is not None:
            words["txt"] = entry.text.encode("utf-8", "replace")
        elif os.path.exists(os.path.join(root, f"{stem}.txt")):
            words["txt"] = read_inside(root, f"{stem}.txt", MAX_TEXT).rstrip(b"\r\n")
        if entry.row is not None:
            words["json"] = entry.row.encode()
        elif os.path.exists(os.path.join(root, f"{stem}.json")):
            words["json"] = read_inside(root, f"{stem}.json", MAX_JSON)
        if "txt" not in words and (entry.row is not None or "json" not in words):
            table = f", a caption in {self.captions}" if self.captions else ""
            raise Refused(f"no caption (looked for {stem}.txt, {stem}.json{table})")
        return words


def walk(root: str) -> Stats:
    """Everything under the folder that is not hidden; links to folders are listed (size -1) and not followed.

    Raises:
        PoolError: there is no such local folder.
    """
    if "://" in root:
        raise PoolError(f"{root}: a folder has to be local; copy it here, or name tars of it")
    if not os.path.isdir(root):
        raise PoolError(f"{root}: there is no such folder; correct `path` in the recipe")
    stats: Stats = {}
    for folder, folders, names in os.walk(root, onerror=_no_folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        inside = os.path.relpath(folder, root)
        for name in (*names, *links):
            if not name.startswith("."):
                info = os.lstat(os.path.join(folder, name))
                if stat.S_ISLNK(info.st_mode) and os.path.exists(os.path.join(folder, name)):
                    info = os.stat(os.path.join(folder, name))
                stats[posixpath.normpath(f"{inside}/{name}")] = (info.st_size, info.st_mtime_ns)
                if name in links:
                    stats[posixpath.normpath(f"{inside}/{name}")] = (-1, 0)
    return stats


def _no_folder(error: OSError) -> None:
    raise EnvironmentFault(
        f"{error.filename}: cannot be listed: {error.strerror}; allow it, then run the same command"
    ) from error


def _entries(stats: Stats, rows: dict[str, list[Entry]]) -> list[Entry]:
    """Rows of the table and images without one, sorted by path, then in the table's order; keys are unique."""
    for path, (size, _) in stats.items():
        if size < 0:
            rows.setdefault(
                path, [Entry(path, "", error=f"refused: {path} is a link to a folder, which is not followed")]
            )
        elif _suffix(path) in IMAGES:
            rows.setdefault(path, [Entry(path, "")])
    entries, used = [], dict[str, int]()
    for path in sorted(rows):
        for entry in rows[path]:
            key = member_key(safe_key(posixpath.splitext(path)[0]))
            used[key] = used.get(key, 0) + 1
            entries.append(entry._replace(key=key if used[key] == 1 else f"{key}%n{used[key]}"))
    return entries


def _stamp(entries: list[Entry], stats: Stats) -> str:
    state = hashlib.blake2b(digest_size=16)
    for entry in entries:
        stem = posixpath.splitext(entry.path)[0]
        seen = [stats.get(path) for path in (entry.path, f"{stem}.txt", f"{stem}.json")]
        state.update(repr((entry, seen)).encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1][1:].lower()
