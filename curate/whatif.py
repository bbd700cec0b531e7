"""What a recipe would keep with other settings, from stored columns alone: no signal is computed, no image touched."""

from __future__ import annotations

from collections import Counter
from tempfile import TemporaryDirectory

import numpy as np

from curate.contracts import Selection
from curate.engine.decide import Decider
from curate.engine.ledger import count_fates, tally
from curate.engine.regroup import new_exchange
from curate.engine.scan import fit
from curate.funnel import Funnel
from curate.storage import Storage


def whatif(decider: Decider) -> Funnel:
    """The funnel of a plan over stored columns. Rows that reach a rule whose signal was never computed for them are open:
    `needs` counts them, and what is kept is then exact only for the others."""
    rows = sum(decider.rows(shard) for shard in decider.shards)
    with TemporaryDirectory(prefix="curate-") as folder:
        for rule in decider.plan.rules:
            if isinstance(rule.step, Selection):
                fit(decider, rule, new_exchange(Storage(folder), "whatif", rows, None))
        return _funnel(decider)


def _funnel(decider: Decider) -> Funnel:
    found: Counter[str] = Counter()
    needs: Counter[str] = Counter()
    entered = hidden = 0
    for shard in decider.shards:
        walk = decider.finish(shard)
        found += tally(walk)
        entered += len(walk.fate)
        open_rows = np.zeros(len(walk.fate), bool)
        for label, rows in walk.unknown.items():
            needs[label] += int((rows & walk.alive).sum())
            open_rows |= rows & walk.alive
        hidden += int(open_rows.sum())
    counts = count_fates(found, [rule.label for rule in decider.plan.rules], entered)
    return Funnel(entered, counts.kept - hidden, counts.dropped, counts.failed, dict(needs))
