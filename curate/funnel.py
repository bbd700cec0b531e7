"""The counts of a run: where every record that entered has gone."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Funnel:
    """Every record that entered has one fate, or it is open (what-if only): entered = kept + dropped + failed + open.

    `needs`: rows that lack a signal; a row may lack several, and nodes of an open document lack none.
    `kinds`: of a pool of documents, the same for documents, texts and images alone.
    """

    entered: int
    kept: int
    dropped: dict[str, int]
    failed: dict[str, int]
    needs: dict[str, int]
    kinds: dict[str, Funnel] = field(default_factory=dict)
    open: int = 0

    def __str__(self) -> str:
        return self._by_kind() if self.kinds else self._lines()

    def _by_kind(self) -> str:
        """One column per kind of row."""
        rows = {"entered": [one.entered for one in self.kinds.values()]}
        rows |= {"failed": [sum(one.failed.values()) for one in self.kinds.values()]} if self.failed else {}
        rows |= {rule: [one.dropped.get(rule, 0) for one in self.kinds.values()] for rule in self.dropped}
        rows |= {"open": [one.open for one in self.kinds.values()]} if self.open else {}
        rows["kept"] = [one.kept for one in self.kinds.values()]
        width = max(len(name) for name in rows)
        head = "".join(f"{kind:>12}" for kind in self.kinds)
        lines = [f"{name:<{width}}" + "".join(f"{n:>12,}" for n in counts) for name, counts in rows.items()]
        return "\n".join([" " * width + head, *lines])

    def _lines(self) -> str:
        lines = [f"entered {self.entered:>9,}"]
        alive = self.entered
        for error_count in [sum(self.failed.values())] if self.failed else []:
            lines.append(f"failed  {error_count:>9,}  ({len(self.failed)} kinds of error)")
        for rule, n in self.dropped.items():
            alive -= n
            lines.append(f"dropped {n:>9,}  {rule}")
        lines += [f"open    {n:>9,}  needs {signal}" for signal, n in self.needs.items()]
        return "\n".join([*lines, f"kept    {self.kept:>9,}"])
