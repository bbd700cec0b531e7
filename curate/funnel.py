"""The counts of a run: where every record that entered has gone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Funnel:
    """Every record that entered has one fate. `needs`: rows whose fate is open for want of a signal (what-if only)."""

    entered: int
    kept: int
    dropped: dict[str, int]
    failed: dict[str, int]
    needs: dict[str, int]

    def __str__(self) -> str:
        lines = [f"entered {self.entered:>9,}"]
        alive = self.entered
        for error_count in [sum(self.failed.values())] if self.failed else []:
            lines.append(f"failed  {error_count:>9,}  ({len(self.failed)} kinds of error)")
        for rule, n in self.dropped.items():
            alive -= n
            lines.append(f"dropped {n:>9,}  {rule}")
        lines += [f"open    {n:>9,}  needs {signal}" for signal, n in self.needs.items()]
        return "\n".join([*lines, f"kept    {self.kept:>9,}"])
