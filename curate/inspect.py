"""Look at a run: its funnel, its columns in DuckDB or Polars, its images, one sample's fate, and what-if.

    run = curate.open_run("workspace/runs/quickstart")
    run.funnel()                                    # rule by rule
    run.table("fate", "rule", "similarity", "text") # an Arrow table, row-aligned over all shards
    run.sql("select rule, count(*) from samples group by rule")
    run.explain("00ab…")                            # one sample's fate
    run.whatif(["select.0.min_words=4"])            # the funnel it would have, in seconds

Reads only what is stored; imports neither Ray nor torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.contracts import DocumentFact
from curate.deny import read_deny
from curate.engine.decide import Decider
from curate.errors import CurateError, RunError, SampleError
from curate.funnel import Funnel
from curate.planner import Plan, index_columns, make_plan
from curate.pool import Pool, Shard
from curate.recipe import Recipe, build_recipe
from curate.schema import FAILED, LEDGER, uid_words
from curate.storage import Storage, default_root, read_ranges
from curate.whatif import whatif

if TYPE_CHECKING:
    import duckdb
    from PIL.Image import Image

    from curate.reading import Document


class Run:
    """A run at rest. Open it with `open_run`."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage, self.name = storage, name
        self.folder = f"runs/{name}"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The run's manifest."""
        try:
            return dict(self.storage.read_json(f"{self.folder}/manifest.json"))
        except FileNotFoundError as error:
            known = run_names(self.storage)
            hint = f" There are: {', '.join(known)}." if known else ""
            raise RunError(f"there is no run {self.name!r} under {self.storage.root}.{hint}") from error

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe as it ran."""
        return self.recipe_with(())

    def recipe_with(self, overrides: Sequence[str]) -> Recipe:
        """The recipe with `path.to.field=value` overrides."""
        import copy

        from curate.recipe import override

        data = copy.deepcopy(self.manifest["recipe"])
        for text in overrides:
            override(data, text)
        return build_recipe(data, self.manifest["recipe_file"], root=self.storage.root)

    @cached_property
    def pool(self) -> Pool:
        """The pool that it ran on."""
        return Pool.open(self.storage, self.manifest["pool"]["name"])

    @cached_property
    def shards(self) -> list[Shard]:
        """The shards that entered, as they are in the pool."""
        known = {shard.number: shard for shard in self.pool.shards.values()}
        lost = [entry["unit"] for entry in self.manifest["pool"]["shards"] if entry["number"] not in known]
        if lost:
            raise RunError(
                f"the pool's log no longer knows {lost[0]} and {len(lost) - 1} other shards: run the recipe again"
            )
        for entry in self.manifest["pool"]["shards"]:
            if known[entry["number"]].content != entry["content"]:
                raise RunError(
                    f"shard {entry['number']} ({entry['unit']}) of pool {self.pool.name!r} has changed since run "
                    f"{self.name!r}; run it again. Recipes that read the same source in different ways need pools of their own"
                )
        return [known[entry["number"]] for entry in self.manifest["pool"]["shards"]]

    def decider(self, plan: Plan) -> Decider:
        """Decisions over this run's samples by a plan; facts of the pool, and by the run's own plan those of documents,
        are found by what this run had."""
        limit = {int(number): rows for number, rows in self.manifest["limit"].items()}
        denied = read_deny(self.storage, plan.recipe.header.deny)
        decider = Decider(plan, self.pool, self.shards, limit, denied.match)
        ran = {(entry["step"], tuple(entry["columns"])): entry["fingerprint"] for entry in self.manifest["signals"]}
        for node in plan.nodes:
            key = (f"{type(node.step).__module__}.{type(node.step).__qualname__}", tuple(node.columns.values()))
            planned = self._planned.get(node.label)
            if key not in ran or planned != node.fingerprint:
                continue
            if isinstance(ran[key], str):
                if plan is self.plan or not plan.late(node):  # else it is found, or not, by what it would read
                    decider.fact_fingerprints[node.label] = ran[key]
            elif plan is self.plan and isinstance(node.step, DocumentFact):
                prints = {(node.label, int(number)): value for number, value in ran[key].items()}
                decider.document_fingerprints |= prints
        return decider

    @cached_property
    def plan(self) -> Plan:
        """The plan of the recipe as it ran."""
        return make_plan(self.recipe)

    @property
    def _planned(self) -> dict[str, str]:
        return {node.label: node.fingerprint for node in self.plan.nodes}

    def funnel(self) -> Funnel:
        """Counts from the ledger."""
        if "entered" not in self.manifest:
            raise RunError(
                f"run {self.name!r} has no ledger yet (status: {self.manifest['status']}); run it to its end"
            )
        m = self.manifest
        kinds = {
            kind: Funnel(c["entered"], c["kept"], c["dropped"], c["failed"], {})
            for kind, c in m.get("kinds", {}).items()
        }
        return Funnel(m["entered"], m["kept"], m["dropped"], m["failed"], {}, kinds)

    def ledger(self) -> pa.Table:
        """One row per record: shard, row, uid, key, fate, rule, value, error, times."""
        tables = []
        for shard in self.shards:
            table = self.shard_ledger(shard)
            tables.append(table.add_column(0, "shard", pa.array(np.full(table.num_rows, shard.number, np.int32))))
        return pa.concat_tables(tables)

    def shard_ledger(self, shard: Shard) -> pa.Table:
        """One shard's rows of the ledger (`curate.schema.LEDGER`), in index order."""
        try:
            return self.storage.read_table(f"{self.folder}/ledger/{shard.number:08d}.parquet")
        except FileNotFoundError as error:
            raise RunError(f"run {self.name!r} has no ledger for shard {shard.number}; run it to its end") from error

    def columns(self) -> list[str]:
        """Names of all columns that `table` knows."""
        index = [column for column in index_columns(self.recipe) if column not in LEDGER.names]
        return ["shard", *LEDGER.names, *index, *self.plan.giver]

    def _is_vector(self, column: str) -> bool:
        node = self.plan.giver.get(column)
        return node is not None and pa.types.is_fixed_size_list(node.step.gives()[node.given(column)])

    def table(self, *names: str) -> pa.Table:
        """Columns of ledger, index and signals, row-aligned over all shards. No names: every column but vectors."""
        wanted = list(names) or [c for c in self.columns() if not self._is_vector(c)]
        unknown = [name for name in wanted if name not in self.columns()]
        if unknown:
            from curate.catalog import nearest

            raise RunError(f"there is no column {unknown[0]!r}.{nearest(unknown[0], self.columns())}")
        ledger = self.ledger()
        decider = self.decider(self.plan)
        found = {}
        for name in wanted:
            if name in ledger.column_names:
                found[name] = ledger[name]
            else:
                found[name] = pa.chunked_array([decider.column(shard, name)[0] for shard in self.shards])
        return pa.table(found)

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """A DuckDB query over the table `samples`: every column but embeddings."""
        import duckdb

        return duckdb.connect().from_arrow(self.table()).query("samples", query)

    def explain(self, uid: str) -> list[dict[str, Any]]:
        """The fate of a sample, one entry per record that has the uid (32 hex digits, or a prefix that is enough).

        `facts`: all that the steps behind the rule said of it (behind every rule, if it was kept), embeddings aside: for
        a learned quality also its parts.
        """
        text = uid.lower().strip()
        if not text or any(c not in "0123456789abcdef" for c in text) or len(text) > 32:
            raise RunError(f"{uid!r} is no uid: it has 32 hexadecimal digits (a unique prefix will do)")
        thresholds = {rule["label"]: rule["threshold"] for rule in self.manifest["rules"]}
        found = []
        for shard in self.shards:
            table = self.shard_ledger(shard)
            for row in _matching(table["uid"], text):
                entry = table.slice(row, 1).to_pylist()[0]
                entry["uid"] = entry["uid"].hex()
                entry |= {"shard": shard.number, "unit": shard.unit, "threshold": thresholds.get(entry["rule"])}
                entry["facts"] = self._facts_behind(shard, row, entry["rule"]) if entry["fate"] != FAILED else None
                found.append({key: value for key, value in entry.items() if value is not None})
        if not found:
            raise RunError(f"no sample with uid {uid!r} entered run {self.name!r}")
        return found

    def _facts_behind(self, shard: Shard, row: int, rule: str | None) -> dict[str, Any] | None:
        """Columns of the steps whose columns the rule read; None where the recipe can no longer be planned here."""
        try:
            plan, decider = self.plan, self._decider
        except CurateError:  # a model, a package or a file of labels is gone: the fate stays known
            return None
        read = [name for r in plan.rules if rule in (r.label, None) for name in r.step.inputs()]
        nodes = {plan.giver[name].label: plan.giver[name] for name in read if name in plan.giver}
        columns = [name for node in nodes.values() for name in node.columns.values()]
        cells = {name: decider.column(shard, name)[0][row].as_py() for name in columns}
        return {name: cell for name, cell in cells.items() if cell is not None and not isinstance(cell, list)}

    @cached_property
    def _decider(self) -> Decider:
        return self.decider(self.plan)

    def document(self, uid: str) -> Document:
        """A document with its nodes in reading order and the fate of each; `uid`: its own, or that of one of its nodes."""
        from curate.reading import read_document

        return read_document(self, uid)

    def whatif(self, overrides: Sequence[str] = ()) -> Funnel:
        """The funnel that the recipe would have with other settings, from stored columns."""
        return whatif(self.decider(make_plan(self.recipe_with(overrides))))

    def image(self, shard: int, row: int, max_side: int = 512) -> Image:
        """One image of the pool, reduced for display.

        Raises SampleError where there is none or it does not open, RunError if the tar no longer holds what was indexed.
        """
        from curate.image import decode

        found = next(s for s in self.shards if s.number == shard)
        entry = self.pool.read_index(found, ["offset", "size", "sha256", "error"]).slice(row, 1).to_pylist()[0]
        if entry["offset"] is None:
            raise SampleError(f"there is no image: {entry['error']}")
        blob = read_ranges(self.pool.tar_url(found), [(entry["offset"], entry["size"])])[0]
        if entry["sha256"] not in (None, sha256(blob).digest()):
            raise RunError(f"{self.pool.tar_url(found)} has changed since run {self.name!r}; run it again")
        image = decode(blob, "thumb")
        image.thumbnail((max_side, max_side))
        return image


def _matching(uids: pa.ChunkedArray, prefix: str) -> list[int]:
    """Rows whose uid begins with these hexadecimal digits."""
    value, mask = int(prefix.ljust(32, "0"), 16), ((1 << 4 * len(prefix)) - 1) << (128 - 4 * len(prefix))
    words, low = uid_words(uids), (1 << 64) - 1
    high = words[:, 0] & np.uint64(mask >> 64) == np.uint64(value >> 64)
    return [int(row) for row in np.flatnonzero(high & (words[:, 1] & np.uint64(mask & low) == np.uint64(value & low)))]


def run_names(storage: Storage) -> list[str]:
    """The runs under a root: a folder without a manifest is what a start that failed has left."""
    return [name for name in storage.list("runs") if storage.exists(f"runs/{name}/manifest.json")]


def open_run(path: str | Path, root: str | None = None) -> Run:
    """A run by its folder (`workspace/runs/quickstart`), or by its name under the root."""
    text = str(path).rstrip("/")
    if "/runs/" in text:
        base, name = text.rsplit("/runs/", 1)
    elif text.startswith("runs/"):
        base, name = ".", text.removeprefix("runs/")
    else:
        base, name = root or default_root(), text
    run = Run(Storage(base), name)
    _ = run.manifest
    return run
