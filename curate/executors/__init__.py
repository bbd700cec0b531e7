"""Where work runs: in this process, or on Ray. Both run the same functions and give the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from curate.errors import RecipeError


@dataclass(frozen=True)
class Stage:
    """A step of a pipeline: `make()` once per worker gives the function that each item goes through.

    `models`: it holds models, so it lives in an actor and takes a GPU where there is one. `stateless`: making it costs
    nothing, so it runs in whatever worker is free.
    """

    make: Callable[[], Callable[[Any], Any]]
    models: bool = False
    stateless: bool = False


class Executor(Protocol):
    """Maps items through stages; results come in any order."""

    name: str
    workers: int

    def map(self, stages: list[Stage], items: Iterable[Any]) -> Iterator[Any]:
        """Results of the last stage, one per item. An exception in a stage is raised here."""
        ...

    def close(self) -> None:
        """Give back what the executor started."""
        ...


def pin_threads() -> None:
    """One thread per worker for every native library: the last bits of a float depend on it, and two one-thread
    processes outrun one of two threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = "1"


def open_executor(name: str, workers: int | None = None, address: str | None = None, root: str = "") -> Executor:
    """`inline` or `ray`. Pins threads first, before any native library reads its environment."""
    pin_threads()
    if name == "inline":
        from curate.executors.inline import Inline

        return Inline()
    if name == "ray":
        from curate.executors.ray import RayExecutor

        return RayExecutor(workers, address, root)
    raise RecipeError(f"there is no executor {name!r}: it is ray or inline")
