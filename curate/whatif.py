"""What a recipe would keep with other settings, from stored columns alone: no signal is computed, no image touched."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from curate.contracts import Selection
from curate.engine.decide import Decider
from curate.engine.driver import count_fates, fit, tally
from curate.plan import Plan

if TYPE_CHECKING:
    from curate.inspect import Funnel, Run


def whatif(run: Run, plan: Plan) -> Funnel:
    """The new funnel. Rows that reach a rule whose signal was never computed for them are open: `needs` counts them, and
    what is kept is then exact only for the others."""
    decider = run.decider(plan)
    for rule in plan.rules:
        if isinstance(rule.step, Selection):
            fit(decider, rule)
    return funnel_of(decider)


def funnel_of(decider: Decider) -> Funnel:
    """Counts over all shards."""
    from curate.inspect import Funnel

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
