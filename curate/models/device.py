"""Where a model runs, and batches of one fixed shape: the last bits of a float depend on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.errors import EnvironmentFault, MissingExtra

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16"]
"""How a model multiplies. `auto`: bfloat16 on a GPU, float32 on a CPU. With bf16 the weights and what torch's autocast
keeps wide (norms, softmax, sums) stay float32; only matrix products and convolutions are rounded to bfloat16."""


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
def inference(device: torch.device, precision: Precision = "auto") -> Iterator[None]:
    """No gradients, one CPU thread, matrix products as `precision` says.

    The thread count is put back on the way out: a trainer in the same process keeps its own.
    """
    import torch

    narrow = precision == "bf16" or (precision == "auto" and device.type != "cpu")
    threads = torch.get_num_threads()
    if threads != 1:
        torch.set_num_threads(1)
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=narrow):
            yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def in_batches(
    rows: np.ndarray,
    size: int,
    device: torch.device,
    function: Callable[[np.ndarray], np.ndarray | torch.Tensor],
    precision: Precision = "auto",
) -> Iterator[np.ndarray]:
    """Apply `function` under `inference` to slices of `rows` (n, ...), exactly `size` long: zeros fill up the last one.

    Yields the results of the real rows, slice by slice. A tensor is fetched once the next slice is under way, so that
    a GPU computes while the host cuts, pins and launches.
    """
    waiting: np.ndarray | torch.Tensor | None = None
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        missing = size - len(part)
        full = np.concatenate([part, np.zeros((missing, *rows.shape[1:]), rows.dtype)]) if missing else part
        with inference(device, precision):
            found = function(full)
        if waiting is not None:
            yield fetched(waiting)
        waiting = found[: len(part)]
    if waiting is not None:
        yield fetched(waiting)


def upload(rows: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array on the model's device; to a GPU through page-locked memory, so that the host need not wait for it."""
    import torch

    tensor = torch.from_numpy(rows)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def fetched(found: np.ndarray | torch.Tensor) -> np.ndarray:
    """A result on the host: tensors as float32, arrays as they are."""
    return found if isinstance(found, np.ndarray) else np.asarray(found.float().cpu().numpy())


def stacked(parts: Iterator[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The parts as one float32 array; (0, *shape) when there are none."""
    return np.concatenate([np.zeros((0, *shape), np.float32), *parts])


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, d) scaled to length 1, float32. A row of zeros stays zero."""
    rows = rows.astype(np.float32)
    norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return rows / np.maximum(norms, np.float32(1e-12))
