"""Samples by number: one interface over shard formats, and the split into held-out and other samples.

A corrupt sample is never replaced by another one: its place in the batch stays, marked invalid, so that the order of
everything else is the same as without it, on any number of ranks. It is counted and named (``Batch.corrupt``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.config import Config, Split
from trainer.errors import BadSample
from trainer.index import Index, held_out
from trainer.order import FloatArray, IntArray

Pixels = npt.NDArray[np.uint8]
Record = dict[str, Any]  # a sample's json, with "uid" and its caption as "text"

CENTRE = (1.0, 0.5, 0.5)  # the crop that evaluation uses: (side as share of the short side, x, y in [0, 1])


@dataclass(frozen=True)
class Sample:
    """One decoded sample: ``image`` uint8 (side, side, 3) RGB and its record."""

    image: Pixels
    record: Record


@dataclass(frozen=True)
class Corrupt:
    """A sample that could not be read, by name."""

    shard: str
    row: int
    uid: str
    error: str


@dataclass(frozen=True)
class Batch:
    """``images`` uint8 (n, side, side, 3) RGB; ``records[i]`` is None, and ``images[i]`` black, where corrupt."""

    images: Pixels
    records: list[Record | None]
    corrupt: list[Corrupt]

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which samples could be read, bool (n,)."""
        return np.array([record is not None for record in self.records], dtype=bool)


class Shards(ABC):
    """Random access to the samples of some files: what webdataset tars and FFCV betons have in common."""

    files: list[Path]
    indexes: list[Index]  # per shard, a row per sample

    @abstractmethod
    def read(self, shard: int, row: int, crop: Sequence[float], side: int) -> Sample:
        """Decode one sample, its square ``crop`` resized to ``side`` pixels. Raises BadSample if its bytes are bad."""


class Subset:
    """The held-out or the other samples of some shards, numbered shard by shard from 0."""

    def __init__(self, shards: Shards, split: Split, held: bool) -> None:
        self.shards = shards
        self.rows = [np.flatnonzero(held_out(facts, split) == held) for facts in shards.indexes]
        self.sizes = [len(rows) for rows in self.rows]
        self._ends = np.cumsum(self.sizes)

    def locate(self, number: int) -> tuple[int, int]:
        """The (shard, row in that shard) of a sample."""
        shard = int(np.searchsorted(self._ends, number, side="right"))
        return shard, int(self.rows[shard][number - int(self._ends[shard])])

    def hashes(self) -> npt.NDArray[np.uint64]:
        """Hash of every uid, uint64 (n,)."""
        return np.concatenate([f["hash"][rows] for f, rows in zip(self.shards.indexes, self.rows, strict=True)])

    def load(self, ids: IntArray, crops: FloatArray, side: int) -> Batch:
        """Read samples by number; ``crops`` float64 (n, 3) as CENTRE."""
        images = np.zeros((len(ids), side, side, 3), dtype=np.uint8)
        records: list[Record | None] = []
        corrupt: list[Corrupt] = []
        for place, (number, crop) in enumerate(zip(ids.tolist(), crops.tolist(), strict=True)):
            shard, row = self.locate(number)
            try:
                sample = self.shards.read(shard, row, crop, side)
            except BadSample as error:
                uid = self.shards.indexes[shard]["uid"][row].decode()
                corrupt.append(Corrupt(self.shards.files[shard].name, row, uid, str(error)))
                records.append(None)
            else:
                images[place] = sample.image
                records.append(sample.record)
        return Batch(images, records, corrupt)


def open_shards(config: Config, rank: int = 0, world: int = 1) -> Shards:
    """The shards that ``config.data`` names; each rank indexes its share of those that are not in the cache yet."""
    folder, cache = config.root / config.data.path, config.root / config.data.index
    if config.data.format == "ffcv":
        from trainer.beton import BetonShards

        return BetonShards(folder, cache, config.data.split.field, rank, world)
    from trainer.tar import TarShards

    return TarShards(folder, cache, config.data.split.field, rank, world)


def random_crops(noise: FloatArray, least_area: float) -> FloatArray:
    """Square crops (n, 3): area uniform in [least_area, 1] of the largest square, place uniform. noise: (n, 4)."""
    side = np.sqrt(least_area + (1.0 - least_area) * noise[:, 0])
    return np.stack([side, noise[:, 1], noise[:, 2]], axis=1)


def crop_box(crop: Sequence[float], width: int, height: int) -> tuple[float, float, float]:
    """(left, top, side) in pixels of a crop within an image."""
    side = max(1.0, crop[0] * min(width, height))
    return crop[1] * (width - side), crop[2] * (height - side), side
