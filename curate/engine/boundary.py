"""The sample boundary: the one place that catches everything, and says whose fault it was.

An error caused by the sample's own bytes is the sample's fate. An error of the environment (disk, memory, network
storage, device, a missing package) stops the run, since the same sample may well succeed elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from curate.columns import to_arrow
from curate.contracts import Batch, Signal
from curate.errors import CurateError, EnvironmentFault, SampleError
from curate.storage import store_errors

T = TypeVar("T")
LONGEST = 300
"""Characters of an error message that the ledger keeps."""


def is_environment(error: BaseException) -> bool:
    """Whether an error says something about the machine rather than about the sample.

    Pillow reports broken images as OSError without an errno; the operating system always gives one. Device errors are
    RuntimeErrors of the CUDA runtime.
    """
    if isinstance(error, (CurateError, MemoryError, ImportError, ConnectionError, TimeoutError)):
        return True
    if isinstance(error, OSError):
        return error.errno is not None
    if isinstance(error, store_errors()):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("CUDA", "out of memory", "cuDNN"))


def attempt(work: Callable[[], T], place: str) -> tuple[T | None, str | None]:
    """The result of `work`, or the message of an error that is the sample's. Raises for the environment's errors."""
    try:
        return work(), None
    except Exception as error:
        if isinstance(error, CurateError):
            raise
        if is_environment(error):
            raise EnvironmentFault(
                f"{place}: {type(error).__name__}: {error}; mend it and run the same again"
            ) from error
        return None, message(error)


def message(error: BaseException) -> str:
    """One line for the ledger, without what changes from run to run (object addresses)."""
    text = " ".join(str(error).split())
    if " object at 0x" in text:
        text = text.split(" object at 0x")[0]
    named = text if isinstance(error, SampleError) else f"{type(error).__name__}: {text}"
    return named[:LONGEST]


def compute(
    step: Signal, make_batch: Callable[[Sequence[int]], Batch], rows: int, place: str
) -> tuple[dict[str, pa.Array], list[int], dict[int, str]]:
    """Compute a signal for `rows` samples; a bad one yields an error for itself and takes no other down.

    Returns the columns of the good samples, their numbers, and the errors of the bad ones by number.
    """
    if rows == 0:
        return {name: pa.array([], kind) for name, kind in step.gives().items()}, [], {}

    def run(numbers: Sequence[int]) -> dict[str, pa.Array]:
        given = step.compute(make_batch(numbers))
        kinds = step.gives()
        _check_names(given, kinds, step)
        return {name: to_arrow(given[name], kind, len(numbers), name) for name, kind in kinds.items()}

    whole, error = attempt(lambda: run(range(rows)), place)
    if whole is not None:
        return whole, list(range(rows)), {}
    if rows == 1:
        return {name: pa.array([], kind) for name, kind in step.gives().items()}, [], {0: str(error)}
    singles = [attempt(lambda i=i: run([i]), place) for i in range(rows)]  # type: ignore[misc]
    good = [i for i, (found, _) in enumerate(singles) if found is not None]
    columns = {
        name: pa.concat_arrays([singles[i][0][name] for i in good]) if good else pa.array([], kind)  # type: ignore[index]
        for name, kind in step.gives().items()
    }
    return columns, good, {i: str(error) for i, (found, error) in enumerate(singles) if found is None}


def _check_names(given: dict[str, Any], kinds: dict[str, pa.DataType], step: Signal) -> None:
    if set(given) != set(kinds):
        raise CurateError(f"{type(step).__name__} declares {sorted(kinds)} but gave {sorted(given)}: mend the step")
