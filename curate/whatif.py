"""What a recipe would keep with other settings, from stored columns alone: no signal is computed, no image touched.

A fact about documents whose nodes the settings change is computed on the way, since it needs nothing but columns.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from tempfile import TemporaryDirectory

import numpy as np

from curate.contracts import Selection
from curate.engine.decide import Decider, Walk
from curate.engine.ledger import Counts, Tally, count_fates, tally
from curate.engine.regroup import new_exchange
from curate.engine.scan import fit
from curate.funnel import Funnel
from curate.storage import Storage


def whatif(decider: Decider) -> Funnel:
    """The funnel of a plan over stored columns. Rows that reach a rule whose signal was never computed for them are open:
    `needs` counts them, and what is kept is then exact only for the others."""
    decider.fills = True
    rows = sum(decider.rows(shard) for shard in decider.shards)
    with TemporaryDirectory(prefix="curate-") as folder:
        for rule in decider.plan.rules:
            if isinstance(rule.step, Selection):
                fit(decider, rule, new_exchange(Storage(folder), "whatif", rows, None))
        return _funnel(decider)


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
    return Funnel(counts.entered, counts.kept - hidden, counts.dropped, counts.failed, dict(total))
