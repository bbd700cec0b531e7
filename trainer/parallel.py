"""One process or many: the same code under plain python and under torchrun (gloo on CPUs, nccl on GPUs)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from trainer.config import Runtime
from trainer.errors import ConfigError


@dataclass(frozen=True)
class Process:
    """This process among its peers, and the device it computes on."""

    rank: int
    world: int
    device: torch.device

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate the (n, ...) of all ranks to (world * n, ...), in rank order; gradients flow to every rank."""
        return tensor if self.world == 1 else cast(Tensor, _Gather.apply(tensor, self.rank, self.world))

    def sum(self, values: list[float]) -> list[float]:
        """Sums over ranks, the same on each."""
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        if self.world > 1:
            dist.all_reduce(total)
        return cast(list[float], total.tolist())

    def collect(self, items: list[Any]) -> list[Any]:
        """The lists of all ranks, one after the other, on each rank."""
        if self.world == 1:
            return items
        lists: list[list[Any]] = [[] for _ in range(self.world)]
        dist.all_gather_object(lists, items)
        return [item for part in lists for item in part]

    def wait(self) -> None:
        """Return when every rank is here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def session(runtime: Runtime) -> Iterator[Process]:
    """Join the group that torchrun started, if it did; pin threads; flush denormals, which cost CPUs a factor of 20."""
    cuda = runtime.device == "cuda" or (runtime.device == "auto" and torch.cuda.is_available())
    if cuda and not torch.cuda.is_available():
        raise ConfigError("runtime.device: there is no cuda device here; use auto or cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    threads = torch.get_num_threads()
    if cuda:
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(runtime.threads)
    torch.set_flush_denormal(True)
    starts = dist.is_torchelastic_launched() and not dist.is_initialized()
    if starts:
        _join("nccl" if cuda else "gloo")
    try:
        joined = dist.is_initialized()
        yield Process(dist.get_rank() if joined else 0, dist.get_world_size() if joined else 1, device)
    finally:
        if starts:
            dist.destroy_process_group()
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _join(backend: str) -> None:
    """Join torchrun's processes under a name of this time's own: a rank that is early would else look for the others where
    they were in the stage before."""
    store, rank, world = next(rendezvous("env://"))
    time = store.add(f"joined by {rank}", 1)
    own = dist.PrefixStore(f"join {time}", store)  # type: ignore[attr-defined]  # documented, not in its __all__
    dist.init_process_group(backend, store=own, rank=rank, world_size=world)


def wrap(model: nn.Module, blocks: list[nn.Module], runtime: Runtime, process: Process) -> nn.Module:
    """Distribute ``model`` as the config says: DDP, or FSDP2 with a unit for each of ``blocks``; then compile it."""
    if process.world > 1:
        _check_batch_norm(model)
    wrapped = model
    if process.world > 1 and runtime.parallel == "fsdp":
        from torch.distributed.fsdp import fully_shard

        for block in blocks:
            fully_shard(block)
        fully_shard(model)
    elif process.world > 1:
        devices = [process.device] if process.device.type == "cuda" else None
        wrapped = nn.parallel.DistributedDataParallel(model, device_ids=devices)
    return cast(nn.Module, torch.compile(wrapped)) if runtime.compile else wrapped


def _check_batch_norm(model: nn.Module) -> None:
    """torch synchronises batch normalisation on GPUs alone; per process it would make another model of every world."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise ConfigError(
                f"model: {name} normalises over the samples of one process, so several are not one: train in one "
                "process, freeze the tower (train.groups, lr 0), or choose one without batch normalisation"
            )


def recompute(blocks: list[nn.Module]) -> None:
    """Have each block keep its inputs alone, and compute the rest once more on the way back (Chen et al. 2016)."""
    if not blocks:
        raise ConfigError("runtime.recompute: this model has no transformer block to compute again")
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def clip(model: nn.Module, limit: float | None) -> Tensor:
    """Shorten the gradient to ``limit``; the norm it had, a scalar, the same on every rank."""
    norm = nn.utils.clip_grad_norm_(model.parameters(), float("inf") if limit is None else limit)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor that FSDP2 distributes, else the tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


class _Gather(torch.autograd.Function):
    """all_gather whose backward sums what every rank's loss says of this rank's part."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, rank: int, world: int) -> Tensor:
        ctx.rank, ctx.world = rank, world
        parts = [torch.empty_like(tensor) for _ in range(world)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)  # autograd may use it elsewhere
        dist.all_reduce(total)
        return total.chunk(ctx.world)[ctx.rank], None, None
