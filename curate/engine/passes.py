"""Runs a pass over shards; what is committed is never computed again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curate.engine.context import Context, chunks_of
from curate.engine.decide import Decider
from curate.engine.work import Chunk, PassTask, Result, Work
from curate.engine.worker import PassWorker
from curate.errors import TooManyFailed
from curate.executors import Stage
from curate.fingerprint import digest
from curate.planner import Node, Pass, group
from curate.pool import Facts, Shard
from curate.schema import SKIPPED


@dataclass(frozen=True)
class Front:
    """Picklable maker of the CPU stage."""

    task: PassTask

    def __call__(self) -> Callable[[Chunk], Work]:
        """The function that a worker runs."""
        return PassWorker(self.task).front


@dataclass(frozen=True)
class Back:
    """Picklable maker of the model stage."""

    task: PassTask

    def __call__(self) -> Callable[[Work], Result]:
        """The function that a worker runs."""
        return PassWorker(self.task).back


class PassRun:
    """One pass over the shards of a run."""

    def __init__(self, context: Context, decider: Decider, phase: Pass) -> None:
        self.context, self.decider, self.phase = context, decider, phase
        self.done: dict[int, list[Result]] = defaultdict(list)
        self.chunks: dict[int, list[Chunk]] = {}
        self.blanks: dict[int, list[Chunk]] = defaultdict(list)  # nothing to compute in these, nothing stored
        self.failed = 0
        self.entered = sum(decider.rows(shard) for shard in decider.shards)
        self.failures: Counter[str] = Counter()

    def run(self) -> None:
        """Compute what is missing and commit it, shard by shard."""
        header = self.context.recipe.header
        chunks = [chunk for shard in self.decider.shards for chunk in self._chunks(shard)]
        if chunks:
            task = PassTask(
                self.context.storage,
                self.context.pool.name,
                self._task_nodes(),
                self.phase.rules,
                header.seed,
                header.max_megapixels,
                header.sample_timeout,
            )
            models = any(group(node) == 2 for node in self.phase.signals)
            title = f"compute {', '.join(node.label.rsplit('.', 1)[-1] for node in self.phase.signals)}"
            with self.context.reporter.phase(title, sum(chunk.wanted for chunk in chunks)) as tick:
                for result in self.context.map([Stage(Front(task)), Stage(Back(task), models)], chunks):
                    self._take(result)
                    tick(result.wanted)

    def _task_nodes(self) -> tuple[Node, ...]:
        """The pass's signals, and earlier steps whose columns they or the pass's filters read."""
        giver = self.context.plan.giver
        readers = [*self.phase.signals, *(rule.step for rule in self.phase.rules)]
        columns = [c for r in readers for c in (r.inputs if isinstance(r, Node) else r.inputs())]
        inputs = {giver[c].label: giver[c] for c in columns if c in giver}
        own = {node.label for node in self.phase.signals}
        others = [node for label, node in inputs.items() if label not in own]
        return (*others, *self.phase.signals)

    def _chunks(self, shard: Shard) -> Iterator[Chunk]:
        """What is to be done for a shard; nothing when every signal is complete."""
        rows = self.decider.rows(shard)
        pool = self.context.pool
        facts = {node.label: self.decider.found(shard, node) for node in self._task_nodes()}
        todo = []
        for node in self.phase.signals:
            found = facts[node.label]
            if found is not None and found.complete:
                self.context.count(node.label, 0, min(rows, found.computed + found.errors))
            else:
                todo.append(node)
        if not todo or rows == 0:
            return
        walk = self.decider.walk(shard, self.phase.after)
        alive, about = walk.alive, np.logical_or.reduce([walk.about(node.kinds) for node in todo])
        stored = {label: found for label, found in facts.items() if found is not None}
        prints = sorted(self.decider.fingerprint(node, shard) for node in todo)
        folder = f"{pool.folder}/facts/{digest(prints)[:16]}"
        spans = chunks_of(shard.rows, self.context.recipe.header.chunk_rows)
        labels = tuple(node.label for node in todo)
        self.chunks[shard.number] = []
        for start, count in spans:
            mask = np.zeros(count, bool)
            mask[: max(0, len(alive) - start)] = alive[start : start + count]
            bits = np.packbits(mask).tobytes()
            wanted = int((alive & about)[start : start + count].sum())
            name = f"{shard.number:08d}"
            if len(spans) > 1:
                known = sorted(f.sha256 for f in stored.values())
                key = digest([shard.content, start, count, bits.hex(), known, [[n.label, n.columns] for n in todo]])
                name = f"parts/{shard.number:08d}-{start}-{key[:12]}"
            chunk = Chunk(
                shard,
                pool.tar_url(shard),
                start,
                count,
                labels,
                stored,
                bits,
                f"{folder}/{name}.parquet",
                wanted,
                len(spans) > 1,
                f"{folder}/attempts/{shard.number:08d}-{start}",
            )
            if chunk.part and not wanted and not any(label in stored for label in labels):
                self.blanks[shard.number].append(chunk)
                continue
            self.chunks[shard.number].append(chunk)
            yield chunk

    def _take(self, result: Result) -> None:
        """A chunk is done; a shard commits when all its chunks are present."""
        for label, computed in result.computed.items():
            self.context.count(label, computed, result.reused[label], result.seconds.get(label, 0.0))
        self.failed += result.failed
        self.failures.update(result.failures)
        self.done[result.shard].append(result)
        chunks = self.chunks[result.shard]
        if len(self.done[result.shard]) == len(chunks):
            self._commit(chunks, sorted(self.done.pop(result.shard), key=lambda r: r.start))
        self._check_failed()

    def _commit(self, chunks: list[Chunk], results: list[Result]) -> None:
        shard = chunks[0].shard
        computed = {label: sum(r.computed[label] for r in results) for label in chunks[0].todo}
        self.context.event(
            shard.number,
            step="pass",
            signals=list(chunks[0].todo),
            rows=sum(r.count for r in results),
            computed=computed,
            failed=sum(r.failed for r in results),
            failures=_added(r.failures for r in results),
            seconds={k: round(v, 4) for k, v in _added(r.seconds for r in results).items()},
        )
        totals = {label: tuple(sum(r.totals[label][i] for r in results) for i in (0, 1)) for label in chunks[0].todo}
        stored = {label: (f.computed, f.errors) for label, f in chunks[0].stored.items() if label in totals}
        if totals != stored and results[0].file:  # a chunk without computable rows has no file
            self._commit_file(chunks, results, totals)
        self.context.storage.remove(r.file for r in results if chunks[0].part)

    def _commit_file(self, chunks: list[Chunk], results: list[Result], totals: dict[str, tuple[int, ...]]) -> None:
        shard, storage = chunks[0].shard, self.context.storage
        file, sha256 = results[0].file, results[0].sha256
        if chunks[0].part:
            file = f"{chunks[0].target.split('/parts/')[0]}/{shard.number:08d}.parquet"
            sha256 = storage.write_table(file, self._join(shard, results))
        for label in chunks[0].todo:
            node = next(node for node in self.phase.signals if node.label == label)
            self.context.commit(
                Facts(
                    fingerprint=self.decider.fingerprint(node, shard),
                    shard=shard.number,
                    content=shard.content,
                    file=file,
                    label=label,
                    columns=node.columns,
                    computed=totals[label][0],
                    errors=totals[label][1],
                    sha256=sha256,
                    seconds=round(sum(r.seconds.get(label, 0.0) for r in results), 4),
                    rows=shard.usable_of(node.kinds),
                )
            )
        if chunks[0].part:
            self.context.flush()  # before its parts go

    def _join(self, shard: Shard, results: list[Result]) -> pa.Table:
        """The tables of a shard's chunks, in order, and rows without values for the chunks that were not needed."""
        tables = {result.start: self.context.storage.read_table(result.file) for result in results}
        schema = next(iter(tables.values())).schema
        for chunk in self.blanks[shard.number]:
            tables[chunk.start] = _blank(schema, shard.number, chunk.start, chunk.count)
        return pa.concat_tables([tables[start] for start in sorted(tables)])

    def _check_failed(self) -> None:
        """Stop early a run that fails wholesale. The ledger is what counts: it is checked once more when it is written."""
        limit = self.context.recipe.header.max_failed
        if self.failed > limit * self.entered:
            often = "; ".join(f"{error} ({n})" for error, n in self.failures.most_common(3))
            raise TooManyFailed(
                f"{self.failed} of {self.entered} samples failed, more than max_failed = {limit:g} allows; most often: "
                f"{often}. Mend the source, or raise max_failed"
            )


def _blank(schema: pa.Schema, shard: int, start: int, count: int) -> pa.Table:
    """Facts rows of which nothing is known."""
    known = {
        "shard": pa.array(np.full(count, shard, np.int32)),
        "row": pa.array(np.arange(start, start + count, dtype=np.int64)),
    }
    unknown = pa.array(np.full(count, SKIPPED, np.int8))
    arrays = [
        known.get(field.name, unknown if field.name.startswith("state:") else pa.nulls(count, field.type))
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _added(counts: Any) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for one in counts:
        for key, value in one.items():
            total[key] = total.get(key, 0) + value
    return total
