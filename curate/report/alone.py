"""What a filter alone drops: how many samples every other filter would have kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.contracts import Filter
from curate.engine.decide import DENY
from curate.plan import Rule
from curate.report.view import View
from curate.schema import COMPUTED, ERROR


class Alone:
    """Tally per filter, in the recipe's order: samples that it drops and no other filter does.

    Filters are evaluated on every row that has their facts, whatever dropped it first. With `compute: needed` a row
    that an early rule dropped lacks later facts: then it is open whether a later filter would have dropped it too, and
    it counts in `open` instead of `sure`. Failed and denied samples are left out. Selections depend on what other rules
    left, so the figure does not exist for them.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = [rule for rule in rules if isinstance(rule.step, Filter)]
        self.sure = {rule.label: 0 for rule in self.rules}
        self.open = {rule.label: 0 for rule in self.rules}

    def add(self, view: View) -> None:
        """Count one shard."""
        if not self.rules:
            return
        usable = ~view.failed & (view.rule != DENY)
        states = [[view.state(name) for name in rule.step.inputs()] for rule in self.rules]
        for state in (state for group in states for state in group):
            usable &= state != ERROR
        known = [np.logical_and.reduce([usable, *(state == COMPUTED for state in group)]) for group in states]
        drops = np.array([_drops(view, rule, rows) for rule, rows in zip(self.rules, known, strict=True)])
        sole = drops.sum(axis=0) == 1
        complete = np.logical_and.reduce(known)
        for rule, mine in zip(self.rules, drops, strict=True):
            self.sure[rule.label] += int((mine & sole & complete).sum())
            self.open[rule.label] += int((mine & sole & ~complete).sum())


def _drops(view: View, rule: Rule, known: np.ndarray) -> np.ndarray:
    """Boolean (n,): rows with the facts that the filter drops."""
    assert isinstance(rule.step, Filter)
    rows = np.flatnonzero(known)
    columns = view.decider.columns(view.shard, rule.step.inputs(), rows)
    found = np.zeros(len(known), bool)
    found[rows] = ~np.asarray(rule.step.keep(columns), bool)
    return found
