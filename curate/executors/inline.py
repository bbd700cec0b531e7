"""Everything in this process, one item after the other: for tests, debugging, notebooks, and machines without Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from curate.executors import Stage


class Inline:
    """The executor `inline`."""

    name = "inline"
    workers = 1

    def map(self, stages: list[Stage], items: Iterable[Any]) -> Iterator[Any]:
        """One item at a time through all stages."""
        functions = [stage.make() for stage in stages]
        for item in items:
            result = item
            for function in functions:
                result = function(result)
            yield result

    def close(self) -> None:
        """Nothing was started."""
