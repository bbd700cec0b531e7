"""Computes one chunk of a pass: cheap facts first, each image read and decoded once, models last.

`front` runs on CPU workers: columns and encoded bytes for the whole chunk, then decoded images slice by slice.
`back` runs where the models are: it computes model signals and commits the chunk's table. In one process, or on a
machine without a GPU, one follows the other.
"""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from curate.contracts import DECODED, Batch, ImageLevel, Signal
from curate.engine.boundary import attempt, compute
from curate.engine.probe import find_crashers
from curate.engine.work import Chunk, PassTask, Result, Work
from curate.errors import CurateError
from curate.image import decode, header
from curate.planner import Node, Rule, group
from curate.pool import read_images, read_stored
from curate.schema import ABSENT, COMPUTED, DECODE, ERROR, NODE_COLUMNS, SKIPPED, error_column, state_column

SLICE_ROWS = 32
SLICE_MEGAPIXELS = 48.0
"""Decoded images in memory at a time: about 150 MB."""
INDEX_READ = ("uid", "key", "text", "url", "offset", "size", "ext", "sha256", "meta")


class PassWorker:
    """Holds the steps of a pass; made once per worker process, since models are loaded lazily by the steps."""

    def __init__(self, task: PassTask) -> None:
        self.task = task
        self.nodes = {node.label: node for node in task.nodes}

    def front(self, chunk: Chunk) -> Work:
        """Everything but the models."""
        work = self._open(chunk)
        nodes = [self.nodes[label] for label in chunk.todo]
        read = any(_level(node) for node in nodes)
        rows = np.flatnonzero(work.alive) if read else np.array([], np.int64)
        blobs = self._read(work, rows) if read else {}
        risky = [n for n in nodes if _level(n) in DECODED]
        if risky:
            self._enter(work, blobs, risky)
        cheap = [n for n in nodes if group(n) == 0]
        rules = self._segment(work, cheap, list(self.task.rules), blobs)
        images = [n for n in nodes if group(n) == 1]
        models = [n for n in nodes if group(n) == 2]
        if any(_level(node) in DECODED for node in nodes):
            rules = self._decoded(work, images, models, rules, blobs)
            self._segment(work, cheap, rules, blobs)  # those that read what was seen in the images
        return work

    def back(self, work: Work) -> Result:
        """Models, then commit."""
        nodes = [self.nodes[label] for label in work.chunk.todo]
        models = [n for n in nodes if group(n) == 2 or _level(n) is None]  # also what reads columns of models
        blobs: dict[int, bytes] = {}
        if any(_level(node) == "bytes" for node in models):
            blobs = self._read(work, np.flatnonzero(work.alive))
        self._segment(work, models, self._open_rules(work, []), blobs)
        return self._commit(work)

    # -- opening ---------------------------------------------------------------------------------------------------

    def _open(self, chunk: Chunk) -> Work:
        names = [*INDEX_READ, *(NODE_COLUMNS if chunk.shard.kinds else ())]
        index = self.task.storage.read_table(chunk.shard.index, names).slice(chunk.start, chunk.count)
        work = Work(chunk, index, chunk.alive_rows())
        for label, node in self.nodes.items():
            work.states[label] = np.where(work.about(node.kinds), SKIPPED, ABSENT).astype(np.int8)
            work.errors[label] = [None] * chunk.count
            for name, kind in node.step.gives().items():
                work.kinds[node.columns[name]] = kind
                work.parts[node.columns[name]] = []
            if label in chunk.stored:
                self._load(work, node)
        if chunk.part and self.task.storage.exists(chunk.target):
            self._load_part(work)
        for label in self.nodes:
            work.before[label] = work.known(label)
        return work

    def _load(self, work: Work, node: Node) -> None:
        """What earlier passes computed."""
        chunk = work.chunk
        stored = read_stored(self.task.storage, chunk.stored[node.label], node.columns, chunk.start, chunk.count)
        states = stored.state.to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(states == COMPUTED)
        work.add(node, rows, {name: values.take(pa.array(rows)) for name, values in stored.values.items()})
        for row in np.flatnonzero(states == ERROR):
            work.fail(node.label, int(row), stored.errors[int(row)].as_py())

    def _load_part(self, work: Work) -> None:
        """What this very chunk had committed before its run was killed."""
        table = self.task.storage.read_table(work.chunk.target)
        for label in work.chunk.todo:
            node = self.nodes[label]
            work.states[label][work.states[label] != ABSENT] = SKIPPED
            for column in node.columns.values():
                work.parts[column] = []
            states = table[state_column(label)].to_numpy()
            rows = np.flatnonzero(states == COMPUTED)
            values = table.take(pa.array(rows)).combine_chunks()
            work.add(node, rows, {name: values[column].combine_chunks() for name, column in node.columns.items()})
            for row in np.flatnonzero(states == ERROR).tolist():
                work.fail(label, row, table[error_column(label)][row].as_py())

    def _read(self, work: Work, rows: np.ndarray) -> dict[int, bytes]:
        """Encoded images of the rows that still need some signal."""
        needing = [label for label in work.chunk.todo if _level(self.nodes[label])]
        rows = np.array([r for r in rows if any(work.states[label][r] == SKIPPED for label in needing)], np.int64)
        return dict(zip(rows.tolist(), read_images(work.chunk.tar, work.index, rows.tolist()), strict=True))

    def _enter(self, work: Work, blobs: dict[int, bytes], nodes: Sequence[Node]) -> None:
        """Mark the chunk as being worked on. A marker that is there already means that a worker died over it: then each
        image is first tried in a child process, and one that crashes or hangs its decoder fails alone."""
        storage, marker = self.task.storage, work.chunk.attempts
        if storage.exists(marker):
            steps = [node.step for node in nodes if isinstance(node.step, Signal) and not node.inputs]
            for row, error in find_crashers(blobs, steps, self.task.max_megapixels, self.task.timeout).items():
                for node in nodes:
                    if work.states[node.label][row] == SKIPPED:
                        work.fail(node.label, row, f"{DECODE}{error}")
        else:
            storage.write(marker, b"")

    # -- computing -------------------------------------------------------------------------------------------------

    def _segment(self, work: Work, nodes: Sequence[Node], rules: list[Rule], blobs: dict[int, bytes]) -> list[Rule]:
        """Signals over the whole chunk, each followed by the filters that it makes ready; returns the others."""
        rules = self._decide(work, rules)
        for node in nodes:
            self._compute(work, node, work.waiting(node.label), blobs)
            rules = self._decide(work, rules)
        return rules

    def _decoded(
        self, work: Work, images: Sequence[Node], models: Sequence[Node], rules: list[Rule], blobs: dict[int, bytes]
    ) -> list[Rule]:
        """Decode slice by slice; compute image signals, and prepare what models want."""
        decoding = [node for node in (*images, *models) if _level(node) in DECODED]
        needed = np.zeros(work.chunk.count, bool)
        for node in decoding:
            needed[work.waiting(node.label)] = True
        everything = work.alive
        after = rules
        for rows in self._slices(np.flatnonzero(needed), blobs):
            faulthandler.dump_traceback_later(self.task.timeout * max(1, len(rows) // 4), exit=True)
            try:
                work.alive = np.zeros_like(everything)
                work.alive[rows] = everything[rows]
                levels = self._decode(work, rows, blobs, decoding)
                after = rules
                for node in images:
                    self._compute(work, node, work.waiting(node.label), blobs, levels)
                    after = self._decide(work, after)
                for node in models:
                    self._prepare(work, node, levels)
                everything[rows] = work.alive[rows]
            finally:
                faulthandler.cancel_dump_traceback_later()
        work.alive = everything
        return self._decide(work, after)

    def _slices(self, rows: np.ndarray, blobs: dict[int, bytes]) -> Iterator[np.ndarray]:
        """Rows in runs that decode into bounded memory; by the images' own headers, so the same every time."""
        current: list[int] = []
        total = 0.0
        for row in rows.tolist():
            found, _ = attempt(lambda row=row: header(blobs[row]), "reading an image header")  # type: ignore[misc]
            pixels = min(found.width * found.height / 1e6, self.task.max_megapixels) if found else 0.0
            if current and (len(current) == SLICE_ROWS or total + pixels > SLICE_MEGAPIXELS):
                yield np.array(current)
                current, total = [], 0.0
            current.append(row)
            total += pixels
        if current:
            yield np.array(current)

    def _decode(
        self, work: Work, rows: np.ndarray, blobs: dict[int, bytes], nodes: Sequence[Node]
    ) -> dict[ImageLevel, dict[int, object]]:
        """Each image once per level that is needed; an image that does not decode fails every signal that needs it."""
        levels: dict[ImageLevel, dict[int, object]] = {level: {} for level in DECODED}
        for level, images in levels.items():
            users = [node for node in nodes if _level(node) == level]
            for row in rows.tolist() if users else ():
                if not any(work.states[node.label][row] == SKIPPED for node in users):
                    continue
                image, error = attempt(
                    lambda row=row, level=level: decode(blobs[row], level, self.task.max_megapixels),  # type: ignore[misc]
                    f"decoding row {work.chunk.start + row} of {work.chunk.tar}",
                )
                if image is not None:
                    images[row] = image
                    continue
                for node in nodes:
                    if work.states[node.label][row] == SKIPPED:
                        work.fail(node.label, row, f"{DECODE}{error}")
        return levels

    def _prepare(self, work: Work, node: Node, levels: dict[ImageLevel, dict[int, object]]) -> None:
        """Keep for the model what it wants of each image: a fixed-shape array, or the image itself."""
        level = _level(node)
        if level not in DECODED:
            return
        kept = work.prepared.setdefault(node.label, {})
        for row in work.waiting(node.label).tolist():
            image = levels[level][row]
            array, error = attempt(lambda image=image: node.step.prepare(image), f"preparing for {node.label}")  # type: ignore[misc,union-attr]
            if error is not None:
                work.fail(node.label, row, error)
            elif array is not None:
                kept[row] = array
            elif level == "thumb":
                work.images[row] = image
            else:
                raise CurateError(f"{node.label} wants whole images in a model: it must implement `prepare`")

    def _compute(
        self,
        work: Work,
        node: Node,
        rows: np.ndarray,
        blobs: dict[int, bytes],
        levels: dict[ImageLevel, dict[int, object]] | None = None,
    ) -> None:
        """One signal for some rows; rows whose inputs failed fail with the input's error."""
        started = time.perf_counter()
        step = node.step
        assert isinstance(step, Signal)
        rows = self._with_inputs(work, node, rows)
        level = _level(node)
        images = levels[level] if levels and level in DECODED else work.images
        prepared = work.prepared.get(node.label, {})

        def make_batch(numbers: Sequence[int]) -> Batch:
            at = rows[np.asarray(numbers, np.int64)]
            stack = np.stack([prepared[r] for r in at.tolist()]) if prepared else None
            pictures = [images[r] for r in at.tolist()] if level in DECODED and stack is None else []
            data = [blobs[r] for r in at.tolist()] if level == "bytes" else []
            return Batch(work.columns(node.inputs, at), pictures, data, stack, self.task.seed)  # type: ignore[arg-type]

        values, good, errors = compute(step, make_batch, len(rows), f"computing {node.label} on {work.chunk.tar}")
        work.add(node, rows[np.asarray(good, np.int64)], values)
        for number, error in errors.items():
            work.fail(node.label, int(rows[number]), error)
        work.clock(node.label, time.perf_counter() - started)

    def _with_inputs(self, work: Work, node: Node, rows: np.ndarray) -> np.ndarray:
        """Rows for which every input is known; those whose input failed fail here too."""
        for giver in self._givers(node.inputs):
            states = work.states[giver.label][rows]
            for row in rows[states == ERROR].tolist():
                error = str(work.errors[giver.label][row])
                work.fail(node.label, row, error if error.startswith(DECODE) else f"{giver.label}: {error}")
            rows = rows[np.isin(states, (COMPUTED, ABSENT))]
        return rows

    def _givers(self, columns: Sequence[str]) -> list[Node]:
        return [node for node in self.nodes.values() if any(c in node.columns.values() for c in columns)]

    # -- deciding inside the pass -----------------------------------------------------------------------------------

    def _open_rules(self, work: Work, done: Sequence[Rule]) -> list[Rule]:
        return [rule for rule in self.task.rules if rule not in done]

    def _decide(self, work: Work, rules: list[Rule]) -> list[Rule]:
        """Apply filters whose columns are ready for all rows alive, to spare later signals; returns the others.

        In the recipe's order, up to the first that has to wait: the ledger names the first rule that drops a sample, so
        a later one must not spare it what an earlier one asks for. The ledger decides again from stored columns.
        """
        for done, rule in enumerate(rules):
            alive = np.flatnonzero(work.alive & work.about(rule.kinds))
            states = [work.states[node.label][alive] for node in self._givers(rule.step.inputs())]
            if any((state == SKIPPED).any() for state in states):
                return rules[done:]
            ready = [np.isin(state, (COMPUTED, ABSENT)) for state in states]
            known = alive[np.logical_and.reduce(ready)] if states else alive
            keep = np.asarray(rule.step.keep(work.columns(rule.step.inputs(), known)), bool)  # type: ignore[union-attr]
            work.drop(np.setdiff1d(alive, known[keep]))
        return []

    # -- committing -------------------------------------------------------------------------------------------------

    def _commit(self, work: Work) -> Result:
        chunk = work.chunk
        result = Result(chunk.shard.number, chunk.start, chunk.count, seconds=work.seconds)
        result.wanted = chunk.wanted
        table: dict[str, pa.Array] = {
            "shard": pa.array(np.full(chunk.count, chunk.shard.number, np.int32)),
            "row": pa.array(np.arange(chunk.start, chunk.start + chunk.count, dtype=np.int64)),
        }
        for label in chunk.todo:
            node, states = self.nodes[label], work.states[label]
            result.computed[label] = work.known(label) - work.before[label]
            result.reused[label] = work.before[label]
            result.totals[label] = int((states == COMPUTED).sum()), int((states == ERROR).sum())
            for column in node.columns.values():
                table[column] = work.column(column)
            table[state_column(label)] = pa.array(states)
            table[error_column(label)] = pa.array(work.errors[label], pa.string())
        self._count_failures(work, result)
        if chunk.part or any(result.computed.values()):
            result.file = chunk.target
            result.sha256 = self.task.storage.write_table(chunk.target, pa.table(table))
        self.task.storage.remove([chunk.attempts])
        return result

    def _count_failures(self, work: Work, result: Result) -> None:
        """Distinct samples that failed, and their first error."""
        for row in range(work.chunk.count):
            first = next((work.errors[label][row] for label in work.chunk.todo if work.errors[label][row]), None)
            if first is not None:
                result.failed += 1
                result.failures[first] = result.failures.get(first, 0) + 1


def _level(node: Node) -> ImageLevel | None:
    return node.step.image if isinstance(node.step, Signal) else None
