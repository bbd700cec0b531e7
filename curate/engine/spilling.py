"""The first half of an export: each source shard is read once, and what it keeps is spilled by output shard."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curate.columns import identity
from curate.engine.boundary import attempt
from curate.errors import EnvironmentFault
from curate.pool import Facts, Pool, Shard, read_images, read_stored
from curate.recipe import Export
from curate.schema import IMAGE, hash_words
from curate.storage import Storage
from stages.export.blur import blur_boxes
from stages.export.meta import NODE_BASE
from stages.export.shuffle import ShardPlan, order_key
from stages.export.spill import SpillNode, SpillRow, write_spill

BASE_META = ("uid", "url")
"""Meta columns that every sample has."""
BLURRED = "blurred"
"""Meta column of an export that blurs: in how many places the image was."""

Sample = tuple[bytes, str, str, str, Sequence[SpillNode]]
"""A sample as it is spilled: image, its format, text, meta as JSON, nodes."""
Images = dict[int, tuple[bytes, int]]
"""Row -> encoded image, and in how many places it is blurred."""


@dataclass(frozen=True)
class SpillItem:
    """One source shard: kept rows, repeated with their copy numbers, and where their columns are.

    Of a pool of documents `rows` are documents, and `nodes` the rows of all nodes that are kept.
    """

    shard: Shard
    tar: str
    rows: tuple[int, ...]
    copies: tuple[int, ...]
    facts: dict[str, tuple[Facts, str]]  # column -> where it is, and its name as its step gives it
    nodes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SpillTask:
    """Gathers one source shard's kept samples, reading its tar once."""

    storage: Storage
    pool: str
    plan: ShardPlan
    seed: int
    spec: Export
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
        rows, copies = np.array(item.rows, np.int64), np.array(item.copies)
        words = identity(item.shard.number, index["uid"])["uid"][rows]
        keys = order_key(words, copies, self.seed).tolist()
        source = _Source(self, item, index)
        samples = source.pairs(words, copies) if item.nodes is None else source.documents()
        uids = index["uid"].take(pa.array(rows)).to_pylist()
        spilled = [
            SpillRow(key, uid, copy, *sample)
            for key, uid, copy, sample in zip(keys, uids, item.copies, samples, strict=True)
        ]
        with self.storage.building(target) as path:
            write_spill(spilled, self.plan, path)
        return len(rows)


@dataclass(frozen=True)
class _Source:
    """One source shard, being read."""

    task: SpillTask
    item: SpillItem
    index: pa.Table

    def pairs(self, words: np.ndarray, copies: np.ndarray) -> list[Sample]:
        """A sample per row (and copy): image, drawn caption, meta."""
        captions = self.task.spec.captions
        rows, chosen = self.item.rows, self._choose(words, copies)
        images = self._images(sorted(set(rows)))
        columns = {name: self._column(name, rows) for name in captions}
        exts, metas = self._column("ext", rows), self._meta(rows, BASE_META, self.task.spec.meta)
        samples: list[Sample] = []
        for i, row in enumerate(rows):
            text, source = _caption({name: columns[name][i] for name in captions}, chosen[i])
            meta = {**metas[i], "caption_source": source, **self._blurred(images[row][1])}
            samples.append((images[row][0], exts[i], text, json.dumps(meta), ()))
        return samples

    def documents(self) -> list[Sample]:
        """A sample per document (and copy): title, meta, and its nodes in their order."""
        families: dict[int, list[SpillNode]] = {row: [] for row in self.item.rows}
        for owner, node in self._nodes():
            families[owner].append(node)
        titles = self._column("text", self.item.rows)
        metas = self._meta(self.item.rows, BASE_META, self.task.spec.meta)
        return [
            (b"", "", title or "", json.dumps(meta), families[row])
            for row, title, meta in zip(self.item.rows, titles, metas, strict=True)
        ]

    def _nodes(self) -> list[tuple[int, SpillNode]]:
        """Each kept node with the row of its document; those of one document in their order."""
        rows = self._placed(np.array(self.item.nodes, np.int64)).tolist()
        names = ("kind", "uid", "text", "ext", "parent")
        kinds, uids, texts, exts, owners = (self._column(name, rows) for name in names)
        images = self._images([row for row, kind in zip(rows, kinds, strict=True) if kind == IMAGE])
        metas = self._meta(rows, NODE_BASE, self.task.spec.node_meta)
        found = []
        for i, row in enumerate(rows):
            image, blurred = images.get(row, (b"", 0))
            meta = {**metas[i], **(self._blurred(blurred) if kinds[i] == IMAGE else {})}
            node = SpillNode(kinds[i], uids[i], texts[i] or "", image, exts[i] or "", json.dumps(meta))
            found.append((owners[i], node))
        return found

    def _placed(self, rows: np.ndarray) -> np.ndarray:
        """Rows of nodes in their order: that of the page, but an image for which the recipe's column names a node of its
        document (by its number, from 0) stands right before that one."""
        if self.task.spec.place is None or not len(rows):
            return rows
        owners = np.array(self._column("parent", rows.tolist()), np.int64)
        number = rows - owners - 1
        named = self._column(self.task.spec.place, rows.tolist())
        moved = np.array([place is not None for place in named])
        place = np.array([number[i] if at is None else at for i, at in enumerate(named)], np.int64)
        return rows[np.lexsort((number, ~moved, place, owners))]

    def _column(self, name: str, rows: Sequence[int]) -> list[Any]:
        """A column's values at some rows."""
        if name in self.item.facts:
            facts, given = self.item.facts[name]
            values = read_stored(self.task.storage, facts, [given], 0, self.item.shard.rows).values[given]
        else:
            values = self.index[name].combine_chunks()
        return list(values.take(pa.array(rows, pa.int64())).to_pylist())

    def _meta(self, rows: Sequence[int], base: Sequence[str], names: Sequence[str]) -> list[dict[str, Any]]:
        """The meta columns of some rows, as JSON can hold them."""
        columns = {name: self._column(name, rows) for name in dict.fromkeys((*base, *names))}
        columns["url"] = [url or "" for url in columns["url"]] if base == BASE_META else columns["url"]
        return [{name: _json(values[i]) for name, values in columns.items()} for i in range(len(rows))]

    def _images(self, rows: Sequence[int]) -> Images:
        """Encoded images, with the recipe's boxes blurred."""
        blobs = read_images(self.item.tar, self.index, rows)
        steps = self.task.spec.blur
        if not steps:
            return {row: (blob, 0) for row, blob in zip(rows, blobs, strict=True)}
        columns = [self._column(step.column, rows) for step in steps]
        found: Images = {}
        for i, (row, blob) in enumerate(zip(rows, blobs, strict=True)):
            values = [column[i] for column in columns]
            done, error = attempt(
                lambda blob=blob, values=values: blur_boxes(blob, steps, values, self.task.max_megapixels),  # type: ignore[misc]
                f"blurring row {row} of {self.item.tar}",
            )
            if done is None:
                raise EnvironmentFault(f"row {row} of {self.item.tar} is kept and cannot be blurred: {error}")
            found[row] = done
        return found

    def _blurred(self, places: int) -> dict[str, int]:
        return {BLURRED: places} if self.task.spec.blur else {}

    def _choose(self, words: np.ndarray, copies: np.ndarray) -> list[str]:
        """A caption column per row, drawn by weight from (seed, uid, copy)."""
        names = list(self.task.spec.captions)
        edges = np.cumsum([self.task.spec.captions[name] for name in names])
        draws = np.zeros(len(words))
        for copy in np.unique(copies):
            at = copies == copy
            draws[at] = hash_words(self.task.seed, words[at], f"caption{copy}") / 2.0**64 * edges[-1]
        return [names[min(i, len(names) - 1)] for i in np.searchsorted(edges, draws, side="right")]


def _caption(found: dict[str, Any], chosen: str) -> tuple[str, str]:
    """The drawn caption, or the first other one that is not empty."""
    for name in (chosen, *found):
        if found[name]:
            return str(found[name]), name
    return "", chosen


def _json(value: Any) -> Any:
    """Digests as hexadecimal text; everything else is JSON already."""
    return value.hex() if isinstance(value, bytes) else value
