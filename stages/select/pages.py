"""The same page twice: by its URL, or by the images that it shows."""

from __future__ import annotations

import json
from functools import partial
from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.contracts import Columns, Kind, Scan, Selection, Spread, State
from stages.select.dedup import STANDING, standing
from stages.select.image_urls import digests, groups


class _OnePer(Selection):
    """Of the documents that are left and share a value of a column one stays, and all that have no value.

    The best by `best` stays; without it, and among equals, the one of the last archive (by its name, in which archives
    have their date), then the one with the lowest uid.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("document",)
    mode: Literal["default", "obelics"] = "default"
    best: str | None = Field(default=None, description="column whose highest value stays")

    @model_validator(mode="after")
    def _ranks_by_one(self) -> Self:
        if self.best and self.mode == "obelics":
            raise ValueError("mode obelics goes by the archive's name: leave out best")
        return self

    def inputs(self) -> tuple[str, ...]:
        """The shared value, the archive's name in `meta` and, if given, the column to rank by."""
        return (*self.needs, "meta", *([self.best] if self.best else []))

    def fit(self, scan: Scan, seed: int) -> Spread:
        """State per document that is not alone: `position`, `stays`; shared: how many `groups`, and documents `seen`."""
        rows = scan.regroup(partial(_sharing, self.needs[0], self.best), self._chosen, *self.inputs())
        return Spread({"groups": np.array(sum(rows.map(_groups))), "seen": np.array(rows.rows)}, rows)

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """1 for what stays, 0 for the rest."""
        return (~np.isin(columns["position"].astype(np.int64), state["position"][~state["stays"]])).astype(np.int64)

    def threshold(self, state: State) -> str:
        """How many groups of how many."""
        return f"one of each of {state['groups']} groups of {state['seen']} documents"

    def _chosen(self, table: pa.Table) -> pa.Table:
        """Rows of groups of more than one, the first of each marked, in the order of preference."""
        key, rest, preference, high, low, position = (table[n].to_numpy() for n in ("key", "rest", *STANDING))
        older = pc.rank(table["archive"], "descending", tiebreaker="dense").to_numpy()
        then = (older, -position) if self.mode == "obelics" else (preference, older, high, low, position)
        order, start = groups(key, rest, *then)
        size = np.diff(np.append(start, len(order)))
        first = np.zeros(len(order), bool)
        first[start] = True
        stays = first | self._also(older[order], np.repeat(start, size))
        shared = np.repeat(size > 1, size)
        return pa.table({"position": position[order][shared], "stays": stays[shared], "first": first[shared]})

    def _also(self, older: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Boolean (n,): what stays beside the first of its group; `start`: where that one is."""
        return np.zeros(len(older), bool)


class OnePerUrl(_OnePer):
    """Of documents with one URL, crawled several times, the best stays, else that of the last archive.

    `obelics` (Laurençon et al. 2023, section 3.3) takes those of the archive with the lexicographically last name: all
    that it has.
    """

    needs: ClassVar[tuple[str, ...]] = ("url",)

    def _also(self, older: np.ndarray, start: np.ndarray) -> np.ndarray:
        return (older == older[start]) & (self.mode == "obelics")


class OnePerImageSet(_OnePer):
    """Of documents that show the same images (`stages.documents.repeats.ImageSet`) one stays: the best, else the last.

    `obelics` (Laurençon et al. 2023, section 3.3): that of the archive with the lexicographically last name; of several
    in that archive the last in the pool's order.
    """

    needs: ClassVar[tuple[str, ...]] = ("image_set",)


def archive(meta: str | None) -> str:
    """The name of the archive that a document came from, by its `meta`; "" if that does not say."""
    found = json.loads(meta) if meta else None
    name = found.get("archive") if isinstance(found, dict) else None
    return name if isinstance(name, str) else ""


def _sharing(column: str, best: str | None, columns: Columns) -> pa.Table:
    has = np.array([value is not None for value in columns[column].tolist()], bool)
    key, rest = digests(columns[column][has].tolist()).T
    names = pa.array([archive(meta) for meta in columns["meta"][has].tolist()], pa.string())
    rows = {name: values[has] for name, values in standing(columns, best).items()}
    return pa.table({"key": key, "rest": rest, "archive": names, **rows})


def _groups(table: pa.Table) -> int:
    return int(np.count_nonzero(table["first"].to_numpy()))
