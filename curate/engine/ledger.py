"""One fate per record: the ledger's files, the funnel's counts, and the checks that nothing was lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from curate.engine.context import Context
from curate.engine.decide import INGEST, WITH_DOCUMENT, Decider, Walk, ledger_table
from curate.engine.scan import over_shards
from curate.errors import CurateError, EnvironmentFault, PoolError, TooManyFailed
from curate.pool import Shard
from curate.schema import DOCUMENT, DROPPED, FAILED, IMAGE, KEPT, TEXT, hash_words, uid_words


@dataclass
class Counts:
    """The funnel: every record that entered has one fate."""

    entered: int
    kept: int
    dropped: dict[str, int]  # rule -> n, in the recipe's order
    failed: dict[str, int]  # error -> n
    duplicate_uids: int = 0
    kinds: dict[str, Counts] = field(default_factory=dict)  # of documents: the same for each kind of row

    def check(self) -> None:
        """Raise if a sample was lost or counted twice: a defect of this program, which must never pass silently."""
        total = self.kept + sum(self.dropped.values()) + sum(self.failed.values())
        if total != self.entered:
            raise CurateError(f"{self.entered} samples entered but {total} have a fate: please report this defect")
        for counts in self.kinds.values():
            counts.check()


Tally = Counter[tuple[str, str, str]]
"""(kind of row, fate, its rule or error) -> rows."""


def count_fates(found: Tally, rules: list[str]) -> Counts:
    """Counts from tallies, in all and for each kind of row."""
    counts = _count(found, rules)
    kinds = [kind for kind in (DOCUMENT, TEXT, IMAGE) if any(key[0] == kind for key in found)]
    counts.kinds = {kind: _count(Counter({k: n for k, n in found.items() if k[0] == kind}), rules) for kind in kinds}
    return counts


def _count(found: Tally, rules: list[str]) -> Counts:
    fates: dict[str, Counter[str]] = {KEPT: Counter(), DROPPED: Counter(), FAILED: Counter()}
    for (_, fate, why), n in found.items():
        fates[fate][why] += n
    dropped = {rule: fates[DROPPED][rule] for rule in ["deny", *rules] if fates[DROPPED][rule]}
    return Counts(found.total(), fates[KEPT].total(), dropped, dict(sorted(fates[FAILED].items())))


def tally(walk: Walk) -> Tally:
    """How many rows of a shard have which fate."""
    found: Tally = Counter()
    kinds = walk.kind if walk.kind is not None else [""] * len(walk.fate)
    for kind, fate, rule, error in zip(kinds, walk.fate.tolist(), walk.rule, walk.error, strict=True):
        found[(kind, KEPT, "") if fate == 0 else (kind, DROPPED, rule) if fate == 1 else (kind, FAILED, error)] += 1
    return found


def write_ledger(context: Context, decider: Decider) -> Counts:
    """One fate per record, shard by shard, then the sum is checked."""
    found: Tally = Counter()
    exchange = context.exchange(decider)
    # Workers decide, the driver writes, under its lock: one that outlives its driver must not touch a later ledger.
    for shard, (fates, table) in zip(
        decider.shards, exchange.run(*over_shards(decider, exchange, _decided)), strict=True
    ):
        found += fates
        context.storage.write_table(f"{context.folder}/ledger/{shard.number:08d}.parquet", table)
    entered = sum(decider.rows(shard) for shard in decider.shards)
    if entered == 0:
        raise PoolError("no record entered: the source is empty")
    known = {f"{shard.number:08d}.parquet" for shard in decider.shards}
    stale = [n for n in context.storage.list(f"{context.folder}/ledger") if n not in known]
    context.storage.remove(f"{context.folder}/ledger/{name}" for name in stale)
    counts = count_fates(found, [rule.label for rule in context.plan.rules])
    if counts.entered != entered:
        raise CurateError(f"{entered} samples entered but {counts.entered} have a fate: please report this defect")
    counts.check()
    check_failed(context, counts)
    counts.duplicate_uids = duplicate_uids(context, decider)
    return counts


def _decided(decider: Decider, shard: Shard) -> tuple[Tally, pa.Table]:
    walk = decider.finish(shard)
    missing = {label: int(rows.sum()) for label, rows in walk.unknown.items() if rows.any()}
    if missing:
        raise EnvironmentFault(f"shard {shard.number} lacks facts {missing}: another run changed the pool; run again")
    return tally(walk), ledger_table(walk)


def check_failed(context: Context, counts: Counts) -> None:
    """The run's own check of `max_failed`, over all facts, new and reused; what ingest could not get does not count."""
    errors = Counter({error: n for error, n in counts.failed.items() if not error.startswith((INGEST, WITH_DOCUMENT))})
    limit = context.recipe.header.max_failed
    if errors.total() > limit * counts.entered:
        raise TooManyFailed(
            f"{errors.total()} of {counts.entered} samples failed, more than max_failed = {limit:g} allows; most often: "
            f"{'; '.join(f'{error} ({n})' for error, n in errors.most_common(3))}. Mend the source, or raise max_failed"
        )


def duplicate_uids(context: Context, decider: Decider) -> int:
    """Records whose uid an earlier record has."""
    exchange = context.exchange(decider)
    repeats = sum(exchange.regroup(*over_shards(decider, exchange, _uids), _repeats).map(_total))
    exchange.clear()
    return repeats


def _uids(decider: Decider, shard: Shard) -> pa.Table:
    words = uid_words(decider.index(shard)["uid"])
    return pa.table({"key": hash_words(0, words, "uids"), "high": words[:, 0], "low": words[:, 1]})


def _repeats(rows: pa.Table) -> pa.Table:
    distinct = rows.group_by(["high", "low"]).aggregate([]).num_rows
    return pa.table({"repeats": [rows.num_rows - distinct]})


def _total(rows: pa.Table) -> int:
    return int(np.sum(rows["repeats"].to_numpy()))
