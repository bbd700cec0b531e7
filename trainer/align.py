"""Two frozen encoders into one space: linear heads on cached features, trained with a contrastive loss.

Locked-image tuning (LiT, Zhai et al. 2022, arXiv:2111.07991) with both towers locked: features are computed once, so an
epoch over 10,000 pairs takes a second on one core. The heads start at a given map and are pulled back to it (L2-SP, Li
et al. 2018, arXiv:1802.01483): few pairs then improve a space that already works instead of replacing it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.errors import ConfigError, DataError


@dataclass(frozen=True)
class Align:
    """How to train. `batch` pairs a step; `stay` is the strength of the pull back to the start (0: none)."""

    epochs: int = 20
    batch: int = 1024
    lr: float = 1e-3
    stay: float = 1e-3
    temperature: float = 0.05
    drop: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch - 1, self.lr, self.temperature) <= 0:
            raise ConfigError(f"epochs, lr and temperature are above 0, batch above 1; got {self}")
        if not 0 <= self.drop < 1:
            raise ConfigError(f"drop is in [0, 1); got {self.drop}")


@dataclass(frozen=True)
class Heads:
    """Affine maps into the shared space, float32: `x @ weight + bias`, weight (d_in, d), bias (d,)."""

    image: np.ndarray
    image_bias: np.ndarray
    text: np.ndarray
    text_bias: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Cached features: `images` (n, d_i), `texts` (m, d_t), `owner` (m,) the image of each text, at least one each.

    `group` (n,): images of one group (copies, or images with one caption) are never each other's negatives.
    """

    images: np.ndarray
    texts: np.ndarray
    owner: np.ndarray
    group: np.ndarray

    def __post_init__(self) -> None:
        if len(np.unique(self.owner)) != len(self.images) or len(self.owner) != len(self.texts):
            raise DataError(f"{len(self.images)} images need texts of their own; owner names {len(set(self.owner))}")


def align(pairs: Pairs, start: Heads, config: Align, log: Callable[[int, float], None] | None = None) -> Heads:
    """Train the heads; the same pairs, start and config give the same bits on the same machine.

    Each epoch shuffles the images and draws one text of each. `log` gets (epoch, mean loss). Raises DataError when the
    loss is not finite.
    """
    draw = torch.Generator().manual_seed(config.seed)
    image, text = _linear(start.image, start.image_bias), _linear(start.text, start.text_bias)
    origin = [parameter.detach().clone() for parameter in (*image.parameters(), *text.parameters())]
    parameters = [*image.parameters(), *text.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=config.lr)
    steps = config.epochs * max(1, len(pairs.images) // config.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    images, texts, group = (torch.from_numpy(array) for array in (pairs.images, pairs.texts, pairs.group))
    choices = _choices(pairs.owner)
    for epoch in range(config.epochs):
        order = torch.randperm(len(images), generator=draw)
        losses = []
        for rows in order.chunk(max(1, len(images) // config.batch)):
            said = texts[choices(rows, draw)]
            seen = images[rows] * _mask(images[rows].shape, config.drop, draw)
            loss = info_nce(image(seen), text(said), group[rows], config.temperature)
            pull = sum((now - then).square().sum() for now, then in zip(parameters, origin, strict=True))
            optimizer.zero_grad()
            (loss + config.stay * pull).backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        if not np.isfinite(losses).all():
            raise DataError(f"the loss of epoch {epoch} is not finite: {losses}")
        if log is not None:
            log(epoch, float(np.mean(losses)))
    return Heads(*_arrays(image), *_arrays(text))


def info_nce(images: Tensor, texts: Tensor, group: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE (CLIP, Radford et al. 2021, figure 3) of (b, d) rows; pairs of one group are no negatives."""
    logits = F.normalize(images) @ F.normalize(texts).T / temperature  # (b, b)
    same = (group[:, None] == group[None]) & ~torch.eye(len(group), dtype=torch.bool)
    logits = logits.masked_fill(same, float("-inf"))
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def _choices(owner: np.ndarray) -> Callable[[Tensor, torch.Generator], Tensor]:
    """A function from image rows to the row of one of its texts, drawn evenly."""
    order = torch.from_numpy(np.argsort(owner, kind="stable"))
    counts = torch.from_numpy(np.bincount(owner))
    first = counts.cumsum(0) - counts

    def choose(rows: Tensor, draw: torch.Generator) -> Tensor:
        within = (torch.rand(len(rows), generator=draw) * counts[rows]).long()
        return order[first[rows] + within]

    return choose


def _mask(shape: torch.Size, drop: float, draw: torch.Generator) -> Tensor:
    """Dropout from our own generator: torch's takes the global one."""
    return (torch.rand(shape, generator=draw) >= drop).float() / (1 - drop)


def _linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    layer = nn.Linear(*weight.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight).T)
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def _arrays(layer: nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy()
