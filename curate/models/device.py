"""Where a model runs, and batches of one fixed shape: the last bits of a float depend on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from curate.errors import EnvironmentFault, MissingExtra

if TYPE_CHECKING:
    import torch


def pick(device: str = "auto") -> torch.device:
    """`auto`: the GPU where there is one, else the CPU. Raises MissingExtra for no torch, EnvironmentFault for no GPU."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", extra="models") from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EnvironmentFault(f"device {device!r} was asked for, but torch sees no GPU here; use 'cpu' or 'auto'")
    return torch.device(device)


@contextmanager
def inference(device: torch.device) -> Iterator[None]:
    """No gradients, one CPU thread; float32 on a CPU, bfloat16 on a GPU where torch's autocast allows it.

    The thread count is put back on the way out: a trainer in the same process keeps its own.
    """
    import torch

    threads = torch.get_num_threads()
    if threads != 1:
        torch.set_num_threads(1)
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
            yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def in_batches(
    rows: np.ndarray, size: int, device: torch.device, function: Callable[[np.ndarray], np.ndarray]
) -> Iterator[np.ndarray]:
    """Apply `function` under `inference` to slices of `rows` (n, ...), exactly `size` long: zeros fill up the last one.

    Yields the results of the real rows, slice by slice.
    """
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        missing = size - len(part)
        full = np.concatenate([part, np.zeros((missing, *rows.shape[1:]), rows.dtype)]) if missing else part
        with inference(device):
            found = function(full)
        yield found[: len(part)]


def stacked(parts: Iterator[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The parts as one float32 array; (0, *shape) when there are none."""
    return np.concatenate([np.zeros((0, *shape), np.float32), *parts])


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, d) scaled to length 1, float32. A row of zeros stays zero."""
    rows = rows.astype(np.float32)
    norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return rows / np.maximum(norms, np.float32(1e-12))
