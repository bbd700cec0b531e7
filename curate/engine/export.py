"""Exports what is kept: spill each source shard once, then write output shards, in parallel and idempotently.

Every output shard commits with a record of its files under `runs/<run>/commits/<identity>`; the identity covers the kept
samples and everything that shapes their bytes, so a resumed run writes only what is missing, and a changed decision
starts a new set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.columns import identity as row_identity
from curate.contracts import Exporter
from curate.engine.boundary import attempt
from curate.engine.context import Context
from curate.engine.decide import Decider
from curate.errors import EnvironmentFault
from curate.executors import Stage
from curate.fingerprint import digest
from curate.planner import describe
from curate.pool import Facts, Pool, Shard, read_images, read_stored
from curate.schema import INDEX, hash_words
from curate.storage import Storage, sha256_file
from stages.export.blur import VERSION, Blur, blur_boxes
from stages.export.checksums import sha256sums
from stages.export.meta import BASE
from stages.export.shuffle import BITS, ShardPlan, histogram, order_key
from stages.export.spill import SpillRow, gather, read_spill, write_spill

BASE_META = ("uid", "url")
BLURRED = "blurred"
"""Meta column of an export that blurs: in how many places the image was."""


@dataclass(frozen=True)
class SpillTask:
    """Gathers one source shard's kept samples, reading its tar once."""

    storage: Storage
    pool: str
    plan: ShardPlan
    seed: int
    captions: dict[str, float]
    meta: tuple[str, ...]
    blur: tuple[Blur, ...]
    max_megapixels: float
    folder: str

    def __call__(self) -> Callable[[SpillItem], int]:
        """The function that a worker runs."""
        return self._spill

    def _spill(self, item: SpillItem) -> int:
        target = f"{self.folder}/{item.shard.number:08d}.arrow"
        if self.storage.exists(target):
            return len(item.rows)
        index = Pool(self.storage, self.pool).read_index(item.shard)
        rows = np.asarray(item.rows, np.int64)
        unique = np.unique(rows)
        blobs = read_images(item.tar, index, unique.tolist())
        images = dict(zip(unique.tolist(), blobs, strict=True))
        blurred = self._blurred(item, index, images)
        words = row_identity(item.shard.number, index["uid"])["uid"][rows]
        keys = order_key(words, np.asarray(item.copies), self.seed)
        columns = {name: self._column(item, index, name).take(pa.array(rows)).to_pylist() for name in self._names()}
        chosen = self._choose(words, np.asarray(item.copies))
        uids = index["uid"].take(pa.array(rows)).to_pylist()
        urls = index["url"].take(pa.array(rows)).to_pylist()
        exts = index["ext"].take(pa.array(rows)).to_pylist()
        spilled = []
        for i, row in enumerate(rows.tolist()):
            text, source = self._caption({name: columns[name][i] for name in self.captions}, chosen[i])
            meta = {"uid": uids[i].hex(), "url": urls[i] or "", "caption_source": source}
            meta |= {name: _json(columns[name][i]) for name in self.meta if name not in BASE_META}
            meta |= {BLURRED: blurred[row]} if self.blur else {}
            spilled.append(
                SpillRow(int(keys[i]), uids[i], int(item.copies[i]), images[row], exts[i], text, json.dumps(meta))
            )
        with self.storage.building(target) as path:
            write_spill(spilled, self.plan, path)
        return len(rows)

    def _names(self) -> list[str]:
        return sorted({*self.captions, *(name for name in self.meta if name not in BASE_META)})

    def _blurred(self, item: SpillItem, index: pa.Table, images: dict[int, bytes]) -> dict[int, int]:
        """Blur boxes in the images of the given rows, in place; returns how many in each."""
        rows = pa.array(list(images))
        columns = [self._column(item, index, blur.column).take(rows).to_pylist() for blur in self.blur]
        counts = dict.fromkeys(images, 0)
        for i, row in enumerate(images if self.blur else ()):
            values = [column[i] for column in columns]
            done, error = attempt(
                lambda row=row, values=values: blur_boxes(images[row], self.blur, values, self.max_megapixels),  # type: ignore[misc]
                f"blurring row {row} of {item.tar}",
            )
            if done is None:
                raise EnvironmentFault(f"row {row} of {item.tar} is kept and cannot be blurred: {error}")
            images[row], counts[row] = done
        return counts

    def _column(self, item: SpillItem, index: pa.Table, name: str) -> pa.Array:
        if name not in item.facts:
            return index[name].combine_chunks()
        facts, given = item.facts[name]
        return read_stored(self.storage, facts, [given], 0, item.shard.rows).values[given]

    def _choose(self, words: np.ndarray, copies: np.ndarray) -> list[str]:
        """A caption column per row, drawn by weight from (seed, uid, copy)."""
        names = list(self.captions)
        edges = np.cumsum([self.captions[name] for name in names])
        draws = np.zeros(len(words))
        for copy in np.unique(copies):
            at = copies == copy
            draws[at] = hash_words(self.seed, words[at], f"caption{copy}") / 2.0**64 * edges[-1]
        return [names[min(i, len(names) - 1)] for i in np.searchsorted(edges, draws, side="right")]

    def _caption(self, found: dict[str, Any], chosen: str) -> tuple[str, str]:
        """The drawn caption, or the first other one that is not empty."""
        for name in (chosen, *self.captions):
            if found[name]:
                return str(found[name]), name
        return "", chosen


def _json(value: Any) -> Any:
    """Digests as hexadecimal text; everything else is JSON already."""
    return value.hex() if isinstance(value, bytes) else value


@dataclass(frozen=True)
class SpillItem:
    """One source shard: kept rows, repeated with their copy numbers, and where their columns are."""

    shard: Shard
    tar: str
    rows: tuple[int, ...]
    copies: tuple[int, ...]
    facts: dict[str, tuple[Facts, str]]  # column -> where it is, and its name as its step gives it


@dataclass(frozen=True)
class WriteTask:
    """Writes one output shard in every format."""

    storage: Storage
    exporters: tuple[Exporter, ...]
    spills: tuple[str, ...]
    folder: str
    commits: str

    def __call__(self) -> Callable[[int], tuple[int, dict[str, Any]]]:
        """The function that a worker runs."""
        return self._write

    def _write(self, number: int) -> tuple[int, dict[str, Any]]:
        tables = []
        for spill in self.spills:
            with self.storage.fs.open(self.storage.path(spill), "rb") as file:
                tables.append(read_spill(file, number))
        records = gather(tables, number)
        done: dict[str, Any] = {}
        for exporter in self.exporters:
            name = f"{number:08d}{exporter.suffix}"
            with self.storage.building(f"{self.folder}/{exporter.format}/{name}") as path:
                _write_format(exporter, records, path)
                done[exporter.format] = {
                    "name": name,
                    "samples": len(records),
                    "bytes": path.stat().st_size,
                    "sha256": sha256_file(path),
                }
        self.storage.write_json(f"{self.commits}/{number:08d}.json", done)
        return number, done


def _write_format(exporter: Exporter, records: Sequence[Any], path: Path) -> None:
    """Every image was decoded before it was kept, so an image that cannot be written now is no fate: it stops the run."""
    _, error = attempt(lambda: exporter.write(records, path), f"writing {exporter.format}")
    if error is not None:
        raise EnvironmentFault(f"the {exporter.format} export cannot write a kept sample: {error}")


class ExportRun:
    """The export of one run."""

    def __init__(self, context: Context, decider: Decider) -> None:
        self.context, self.decider = context, decider
        self.spec = context.recipe.header.export
        self.folder = f"{context.folder}/export"
        self.items: list[SpillItem] = []
        self.bins = np.zeros(1 << BITS, np.int64)

    def run(self) -> dict[str, list[dict[str, Any]]]:
        """Write what is missing; returns format -> shards."""
        identity = self._collect()
        if not self.items:
            self.context.reporter.say("nothing is kept, so nothing is exported")
            self._clean(identity)
            return {exporter.format: [] for exporter in self.context.recipe.exporters}
        plan = ShardPlan.from_histogram(self.bins, self.spec.samples_per_shard)
        commits, spill = f"{self.context.folder}/commits/{identity}", f"{self.context.folder}/spill/{identity}"
        self._clean(identity)
        done = {int(name[:8]): self.context.storage.read_json(f"{commits}/{name}") for name in self._list(commits)}
        done = {number: record for number, record in done.items() if self._present(record)}
        missing = [number for number in range(len(plan.counts)) if number not in done]
        if missing:
            self._spill(plan, spill)
            done |= self._write(plan, missing, spill, commits)
        self.context.storage.remove([f"{self.context.folder}/spill"])
        exports = {e.format: [done[n][e.format] for n in sorted(done)] for e in self.context.recipe.exporters}
        self._side_files(exports)
        return exports

    def _list(self, folder: str) -> list[str]:
        return [name for name in self.context.storage.list(folder) if name.endswith(".json")]

    def _present(self, record: dict[str, Any]) -> bool:
        return all(self.context.storage.exists(f"{self.folder}/{kind}/{file['name']}") for kind, file in record.items())

    def _collect(self) -> str:
        """Kept rows of each source shard and the histogram of their order keys; returns the export's identity."""
        seed = self.context.recipe.header.seed
        content = []
        for shard in self.decider.shards:
            walk = self.decider.finish(shard)
            times = walk.times * walk.alive
            rows = np.repeat(np.arange(len(times)), times)
            if not len(rows):
                continue
            copies = np.concatenate([np.arange(n) for n in times[times > 0]])
            words = row_identity(shard.number, self.decider.index(shard)["uid"])["uid"][rows]
            self.bins += histogram(order_key(words, copies, seed))
            tar = self.context.pool.tar_url(shard)
            facts = self._facts(shard)
            self.items.append(SpillItem(shard, tar, tuple(rows.tolist()), tuple(copies.tolist()), facts))
            content.append(
                [
                    shard.number,
                    shard.content,
                    digest(rows.tolist()),
                    sorted([f.sha256, name] for f, name in facts.values()),
                ]
            )
        steps = [[describe(step), type(step).version] for step in self.context.recipe.exporters]
        spec = self.spec.model_dump(mode="json")
        blur = [VERSION, self.context.recipe.header.max_megapixels] if self.spec.blur else []
        return digest([content, spec, blur, steps, seed])[:16]

    def _facts(self, shard: Shard) -> dict[str, tuple[Facts, str]]:
        return self.decider.where(shard, self.spec.columns)

    def _clean(self, identity: str) -> None:
        """Another export's files must not stay beside this one's."""
        storage = self.context.storage
        commits = f"{self.context.folder}/commits"
        others = [name for name in storage.list(commits) if name != identity]
        if others:
            storage.remove([self.folder, *(f"{commits}/{name}" for name in others)])

    def _spill(self, plan: ShardPlan, folder: str) -> None:
        context = self.context
        task = SpillTask(
            context.storage,
            context.pool.name,
            plan,
            context.recipe.header.seed,
            dict(self.spec.captions),
            self.spec.meta,
            self.spec.blur,
            context.recipe.header.max_megapixels,
            folder,
        )
        with context.reporter.phase("shuffle kept samples", sum(len(item.rows) for item in self.items)) as tick:
            for rows in context.map([Stage(task)], self.items):
                tick(rows)

    def _write(self, plan: ShardPlan, missing: list[int], spill: str, commits: str) -> dict[int, dict[str, Any]]:
        context = self.context
        spills = tuple(f"{spill}/{item.shard.number:08d}.arrow" for item in self.items)
        exporters = tuple(exporter.typed(self._types()) for exporter in context.recipe.exporters)
        task = WriteTask(context.storage, exporters, spills, self.folder, commits)
        formats = ", ".join(exporter.format for exporter in context.recipe.exporters)
        found = {}
        with context.reporter.phase(f"write {formats}", sum(int(plan.counts[n]) for n in missing)) as tick:
            for number, record in context.map([Stage(task)], missing):
                found[number] = record
                tick(int(plan.counts[number]))
        return found

    def _types(self) -> dict[str, pa.DataType]:
        """Arrow types of the meta columns, by the names that they have in the export."""
        found = {"url": pa.string(), "caption_source": pa.string()}
        found |= {BLURRED: pa.int32()} if self.spec.blur else {}
        for column in self.spec.meta:
            node = self.context.plan.giver.get(column)
            kinds = {c: node.step.gives()[given] for given, c in node.columns.items()} if node else {}
            kind = kinds.get(column) or INDEX.field(column).type
            text = pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind)
            found[f"source_{column}" if column in BASE else column] = pa.string() if text else kind
        return found

    def _side_files(self, exports: dict[str, list[dict[str, Any]]]) -> None:
        """Index files and checksums beside the shards."""
        storage = self.context.storage
        for exporter in self.context.recipe.exporters:
            shards = exports[exporter.format]
            files = exporter.index_files({shard["name"]: shard["samples"] for shard in shards})
            for name, data in files.items():
                storage.write(f"{self.folder}/{exporter.format}/{name}", data)
            sums = sha256sums({shard["name"]: shard["sha256"] for shard in shards})
            storage.write(f"{self.folder}/{exporter.format}/SHA256SUMS", sums.encode())
