"""A pool at rest: shards indexed row by row, facts beside them, and the append-only log that says what is committed.

pool/<name>/shards/00000000.tar            tars that ingest wrote; tars that exist elsewhere are indexed in place
pool/<name>/index/00000000.parquet         one row per input record (`curate.schema.INDEX`)
pool/<name>/facts/<pass>/00000000.parquet  one file per shard and pass, rows in index order
pool/<name>/log/*.jsonl                    what is committed; a file that no entry names does not count
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from curate.errors import EnvironmentFault, PoolError
from curate.fingerprint import digest
from curate.schema import DOCUMENT, FORMAT, IMAGE, NODE_COLUMNS, TEXT, error_column, state_column
from curate.storage import Storage, read_ranges


@dataclass(frozen=True)
class Shard:
    """One committed shard. `content` identifies its samples: equal content, equal facts."""

    number: int
    unit: str
    stamp: str
    tar: str  # URL of a tar indexed in place, or a path relative to the root
    rows: int
    usable: int  # rows that ingest did not fail
    content: str
    index: str
    sha256: str
    kinds: Mapping[str, int] = field(default_factory=dict, hash=False)  # of documents: usable rows of each kind
    kind: str = "shard"

    def usable_of(self, kinds: Sequence[str]) -> int:
        """Rows of these kinds that ingest did not fail; of no kinds: all."""
        return sum(self.kinds.get(kind, 0) for kind in kinds) if kinds else self.usable


@dataclass(frozen=True)
class Facts:
    """Where the columns of one signal are for one shard, and how many of its rows are computed."""

    fingerprint: str
    shard: int
    content: str
    file: str
    label: str
    columns: Mapping[str, str]  # as the step gives it -> as the file names it
    computed: int
    errors: int
    sha256: str
    seconds: float = 0.0
    rows: int = 0  # that can be computed at all
    kind: str = "facts"

    @property
    def complete(self) -> bool:
        """Whether every row has been computed (or failed)."""
        return self.computed + self.errors >= self.rows


@dataclass
class Stored:
    """Columns of one signal for a range of rows, as they lie in a facts file."""

    values: dict[str, pa.Array]
    state: pa.Array
    errors: pa.Array


@dataclass
class Pool:
    """A pool as its log describes it. Reading never lists folders of data."""

    storage: Storage
    name: str
    shards: dict[str, Shard] = field(default_factory=dict)
    facts: dict[tuple[str, int], Facts] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Path under the root."""
        return f"pool/{self.name}"

    @classmethod
    def open(cls, storage: Storage, name: str) -> Pool:
        """Read the log. A pool that does not exist yet is empty."""
        pool = cls(storage, name)
        for segment in storage.list(f"{pool.folder}/log"):
            if segment.endswith(".jsonl"):
                for line in storage.read(f"{pool.folder}/log/{segment}").decode().splitlines():
                    pool.apply(json.loads(line))
        return pool

    def apply(self, entry: dict[str, Any]) -> None:
        """Take one log entry into account."""
        kind = entry["kind"]
        if kind == "shard":
            shard = Shard(**entry)
            self.shards[shard.unit] = shard
        elif kind == "facts":
            facts = Facts(**entry)
            known = self.facts.get((facts.fingerprint, facts.shard))
            if (
                known is None
                or known.content != facts.content
                or facts.computed + facts.errors >= known.computed + known.errors
            ):
                self.facts[facts.fingerprint, facts.shard] = facts
        else:
            raise PoolError(f"{self.storage.url(self.folder)}/log holds an entry {kind!r}: a newer version wrote it")

    def log(self, entries: Sequence[Shard | Facts]) -> None:
        """Commit entries as one new segment of the log."""
        if not entries:
            return
        lines = [json.dumps(asdict(entry), ensure_ascii=False) for entry in entries]
        segment = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.jsonl"
        self.storage.write(f"{self.folder}/log/{segment}", ("\n".join(lines) + "\n").encode())
        for entry in entries:
            self.apply(asdict(entry))

    def compact_log(self) -> int:
        """Replace all segments by one; returns how many there were. Safe to kill: entries are idempotent."""
        segments = [name for name in self.storage.list(f"{self.folder}/log") if name.endswith(".jsonl")]
        if len(segments) > 1:
            known = Pool.open(self.storage, self.name)  # what the segments say, whoever wrote them
            self.log([*known.shards.values(), *known.facts.values()])
            self.storage.remove(f"{self.folder}/log/{name}" for name in segments)
        return len(segments)

    def next_number(self) -> int:
        """Number of the next shard to be appended."""
        return max((shard.number for shard in self.shards.values()), default=-1) + 1

    def tar_url(self, shard: Shard) -> str:
        """Full URL of the shard's tar."""
        return shard.tar if "://" in shard.tar or shard.tar.startswith("/") else self.storage.url(shard.tar)

    def found(self, fingerprint: str, shard: Shard) -> Facts | None:
        """Stored facts of a step for a shard, if any."""
        facts = self.facts.get((fingerprint, shard.number))
        return facts if facts is not None and facts.content == shard.content else None

    def read_index(self, shard: Shard, columns: Sequence[str] | None = None) -> pa.Table:
        """Index rows of a shard."""
        return self.storage.read_table(shard.index, columns)


def write_index(storage: Storage, pool: str, number: int, unit: str, stamp: str, tar: str, rows: pa.Table) -> Shard:
    """Commit the index of a shard; the caller logs what is returned."""
    index = f"pool/{pool}/index/{number:08d}.parquet"
    sha256 = storage.write_table(index, rows.replace_schema_metadata({"curate": str(FORMAT)}))
    names = ["uid", "key", "text", "url", "offset", "size", "sha256", "meta", "error"]
    names += [name for name in NODE_COLUMNS if name in rows.column_names]
    content = digest([_column_digest(rows[name]) for name in names])
    usable = rows["error"].null_count
    return Shard(number, unit, stamp, tar, rows.num_rows, usable, content, index, sha256, _usable_kinds(rows))


def _usable_kinds(rows: pa.Table) -> dict[str, int]:
    if "kind" not in rows.column_names:
        return {}
    counts = Counter(rows.filter(rows["error"].is_null())["kind"].to_pylist())
    return {kind: counts[kind] for kind in (DOCUMENT, TEXT, IMAGE)}


def _column_digest(column: pa.ChunkedArray) -> str:
    return digest([value.hex() if isinstance(value, bytes) else value for value in column.to_pylist()])


def read_images(tar: str, index: pa.Table, rows: Sequence[int]) -> list[bytes]:
    """Encoded images of some rows of an index table, checked against the digests that ingest took.

    Raises `EnvironmentFault` when the tar is not what was indexed: its samples must not fail for that.
    """
    offsets, sizes, digests = (index[name].to_pylist() for name in ("offset", "size", "sha256"))
    blobs = read_ranges(tar, [(offsets[row], sizes[row]) for row in rows])
    for row, blob in zip(rows, blobs, strict=True):
        if hashlib.sha256(blob).digest() != digests[row]:
            raise EnvironmentFault(f"{tar} changed since it was indexed; leave it alone and run the same command again")
    return blobs


def read_stored(storage: Storage, facts: Facts, names: Iterable[str], start: int, count: int) -> Stored:
    """Columns (by the names that the step gives) of `count` rows from `start`, with state and errors."""
    names = list(names)
    wanted = [facts.columns[name] for name in names]
    table = storage.read_table(facts.file, [*wanted, state_column(facts.label), error_column(facts.label)])
    table = table.slice(start, count).combine_chunks()
    arrays = [_single(column) for column in table.columns]
    return Stored(dict(zip(names, arrays, strict=False)), arrays[-2], arrays[-1])


def _single(column: pa.ChunkedArray) -> pa.Array:
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks)
        if column.num_chunks
        else (pa.array([], column.type))
    )
