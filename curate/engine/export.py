"""Exports what is kept: each source shard is spilled once, then output shards are written, in parallel and idempotently.

Every output shard commits with a record of its files under `runs/<run>/commits/<identity>`; the identity covers the kept
samples and everything that shapes their bytes, so a resumed run writes only what is missing, and a changed decision
starts a new set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.columns import identity as row_identity
from curate.contracts import Exporter, Record
from curate.engine.boundary import attempt
from curate.engine.context import Context
from curate.engine.decide import Decider
from curate.engine.spilling import BLURRED, SpillItem, SpillTask
from curate.errors import EnvironmentFault
from curate.executors import Stage
from curate.fingerprint import digest
from curate.planner import describe
from curate.schema import DOCUMENT, DOCUMENT_INDEX
from curate.storage import Storage, sha256_file
from stages.export.blur import VERSION
from stages.export.checksums import sha256sums
from stages.export.meta import BASE
from stages.export.shuffle import BITS, ShardPlan, histogram, order_key
from stages.export.spill import gather, read_spill

COUNTS = "counts.json"
"""What an exporter told of its shards beside their samples, by shard."""


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
                counts = _write_format(exporter, records, path)
                done[exporter.format] = {
                    "name": name,
                    "samples": len(records),
                    "bytes": path.stat().st_size,
                    "sha256": sha256_file(path),
                    **({"counts": counts} if counts else {}),
                }
        self.storage.write_json(f"{self.commits}/{number:08d}.json", done)
        return number, done


def _write_format(exporter: Exporter, records: Sequence[Record], path: Path) -> dict[str, int]:
    """Every image was decoded before it was kept, so an image that cannot be written now is no fate: it stops the run."""
    counts, error = attempt(lambda: exporter.write(records, path), f"writing {exporter.format}")
    if error is not None:
        raise EnvironmentFault(f"the {exporter.format} export cannot write a kept sample: {error}")
    return counts or {}


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
            times, nodes = walk.times * walk.alive, None
            if walk.kind is not None:
                documents = walk.about((DOCUMENT,))
                nodes = tuple(np.flatnonzero(times * ~documents).tolist())
                times *= documents
            rows = np.repeat(np.arange(len(times)), times)
            if not len(rows):
                continue
            copies = np.concatenate([np.arange(n) for n in times[times > 0]])
            words = row_identity(shard.number, self.decider.index(shard)["uid"])["uid"][rows]
            self.bins += histogram(order_key(words, copies, seed))
            tar, facts = self.context.pool.tar_url(shard), self.decider.where(shard, self.spec.columns)
            self.items.append(SpillItem(shard, tar, tuple(rows.tolist()), tuple(copies.tolist()), facts, nodes))
            held = [f.sha256 + name for f, name in facts.values()]
            content.append([shard.number, shard.content, digest([rows.tolist(), nodes]), sorted(held)])
        steps = [
            [describe(step), type(step).version, *(sha256_file(Path(file)) for file in step.files())]
            for step in self.context.recipe.exporters
        ]
        spec = self.spec.model_dump(mode="json")
        blur = [VERSION, self.context.recipe.header.max_megapixels] if self.spec.blur else []
        return digest([content, spec, blur, steps, seed])[:16]

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
            self.spec,
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
            kind = kinds.get(column) or DOCUMENT_INDEX.field(column).type
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
            counts = {shard["name"]: shard["counts"] for shard in shards if "counts" in shard}
            if counts:
                storage.write_json(f"{self.folder}/{exporter.format}/{COUNTS}", counts)
            sums = sha256sums({shard["name"]: shard["sha256"] for shard in shards})
            storage.write(f"{self.folder}/{exporter.format}/SHA256SUMS", sums.encode())
