"""Progress of long work on standard error: what, how far, how fast, how long still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class Tick(Protocol):
    """Call it with the number of rows done."""

    def __call__(self, rows: int) -> None:
        """Add to what is done."""


class _Rate(ProgressColumn):
    """Rows per second."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        return Text(f"{task.speed:,.0f} rows/s" if task.speed else "")


class Reporter:
    """Shows bars on a terminal, a line per phase otherwise; `quiet` shows nothing."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text, markup=False)

    @contextmanager
    def phase(self, title: str, total: int, unit: str = "rows") -> Iterator[Tick]:
        """A bar for one phase; `unit` is what it counts."""
        if not self.console.is_terminal:
            self.say(f"{title}: {total:,} {unit}")
            yield lambda rows: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda rows: progress.advance(task, rows)
        self.say(f"{title}: {total:,} {unit}")
