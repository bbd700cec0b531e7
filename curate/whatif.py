"""What a recipe would keep with other settings, from stored columns alone: no signal is computed, no image touched.

Facts about documents whose nodes the settings change, and facts of the pool that read these, are computed on the way, since
they need nothing but columns. Other facts of the pool are those of the run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from tempfile import TemporaryDirectory

import numpy as np

from curate.contracts import DocumentFact, PoolFact
from curate.engine.decide import Decider, Walk
from curate.engine.ledger import Counts, Tally, count_fates, tally
from curate.engine.regroup import Exchange, new_exchange
from curate.engine.scan import AliveScan, fit, learn
from curate.funnel import Funnel
from curate.planner import Fit, Global
from curate.storage import Storage


def whatif(decider: Decider) -> Funnel:
    """The funnel of a plan over stored columns. Rows that reach a rule whose signal was never computed for them are open:
    `open` counts them, and what is kept is then exact only for the others."""
    decider.fills = True
    rows = sum(decider.rows(shard) for shard in decider.shards)
    with TemporaryDirectory(prefix="curate-") as folder:
        for number, phase in enumerate(decider.plan.phases):
            exchange = new_exchange(Storage(folder), f"whatif{number}", rows, None)
            if isinstance(phase, Fit):
                fit(decider, phase.rule, exchange)
            elif isinstance(phase, Global) and decider.plan.late(phase.node):
                _fit_fact(decider, phase, exchange)
        return _funnel(decider)


def _fit_fact(decider: Decider, phase: Global, exchange: Exchange) -> None:
    """A fact of the pool that reads what is left of documents is fit anew, unless a run has met these very rows."""
    node, step = phase.node, phase.node.step
    if not isinstance(step, PoolFact) or isinstance(step, DocumentFact):
        return
    if any(decider.found(shard, node) is None for shard in decider.shards):
        scan = AliveScan(decider, phase.after, node.inputs, node.kinds, exchange)
        decider.fitted[node.label] = learn(scan, step)


def _funnel(decider: Decider) -> Funnel:
    found: Tally = Counter()
    needs: Counter[tuple[str, str]] = Counter()
    hidden: Counter[str] = Counter()
    for shard in decider.shards:
        walk = decider.finish(shard)
        found += tally(walk)
        open_rows = np.zeros(len(walk.fate), bool)
        for label, rows in walk.unknown.items():
            needs.update((kind, label) for kind in _kinds(walk, rows & walk.alive))
            open_rows |= rows & walk.alive
        if walk.parent is not None:  # what becomes of a document becomes of its nodes
            open_rows |= walk.alive & open_rows[walk.parent]
        hidden.update(_kinds(walk, open_rows))
    counts = count_fates(found, [rule.label for rule in decider.plan.rules])
    funnel = _open(counts, hidden.total(), [(label, n) for (_, label), n in needs.items()])
    kinds = {
        kind: _open(one, hidden[kind], [(label, n) for (of, label), n in needs.items() if of == kind])
        for kind, one in counts.kinds.items()
    }
    return replace(funnel, kinds=kinds)


def _kinds(walk: Walk, rows: np.ndarray) -> list[str]:
    """What each of these rows is."""
    return walk.kind[rows].tolist() if walk.kind is not None else [""] * int(rows.sum())


def _open(counts: Counts, hidden: int, needs: list[tuple[str, int]]) -> Funnel:
    """The funnel with `hidden` of those that no rule dropped still open."""
    total: Counter[str] = Counter()
    for label, n in needs:
        total[label] += n
    return Funnel(counts.entered, counts.kept - hidden, counts.dropped, counts.failed, dict(total), open=hidden)
