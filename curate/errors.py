"""What can go wrong, as one tree. Every message says the cause, the place and the remedy.

Exit codes of the command line: 0 done, 1 `verify` found violations, 2 the recipe, config or call is wrong,
3 the environment failed (disk, permission, storage, missing package, unreachable cluster), 4 too many samples failed,
5 another driver holds the run, 75 stopped by a limit and can be resumed, 130 interrupted and can be resumed.
"""

from __future__ import annotations


class CurateError(Exception):
    """Base of every error that the project raises on purpose."""

    exit_code = 3


class RecipeError(CurateError):
    """The recipe, a config or an override is wrong. Names file, line and field where they are known."""

    exit_code = 2


class PoolError(CurateError):
    """A pool or its source cannot be read, or is empty."""

    exit_code = 2


class ModelError(CurateError):
    """A model spec is unknown, or its weights cannot be had."""

    exit_code = 2


class RunError(CurateError):
    """A run does not exist, or is not in the state that the call needs."""

    exit_code = 2


class MissingExtra(CurateError):
    """An optional package is not installed. Names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is not installed; install it with: pip install 'curate-multimodal[{extra}]'"
        )
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        return MissingExtra, (self.package, self.extra)  # exceptions travel between Ray workers by pickle


class EnvironmentFault(CurateError):
    """Disk, memory, network storage, device or cluster failed: the run stops, nothing is committed, run it again."""


class TooManyFailed(CurateError):
    """More samples failed than `max_failed` allows; the run stops before it decides anything."""

    exit_code = 4


class Locked(CurateError):
    """Another driver holds this run."""

    exit_code = 5


class Stopped(CurateError):
    """A limit (`--max-hours`) was reached; what is committed stays, the same command goes on."""

    exit_code = 75


class SampleError(Exception):
    """An error caused by the sample's own bytes. It becomes the sample's fate `failed`, never the run's."""
