"""[SEG]: the mask of what a phrase names, as in MaskFormer (Cheng et al. 2021, arXiv:2107.06278): a query looks at the
image, then is a filter over finer pixel features. Binary cross entropy and Dice loss, one each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.errors import BadSample
from trainer.link.sets import ObjectQueries

Mask = npt.NDArray[np.bool_]
PIXELS = 2**26
"""Of a mask that is decoded at most: more would be memory for a few bytes of json."""


class MaskDecoder(nn.Module):
    """One query per call, and features four times as fine as the map; their product is enlarged to ``side`` pixels."""

    def __init__(self, link: int, width: int, side: int, depth: int, heads: int) -> None:
        super().__init__()
        self.side = side
        self.objects = ObjectQueries(link, width, 1, depth, heads)
        self.filter = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width // 2 + 1))
        self.finer = nn.Sequential(
            nn.ConvTranspose2d(width, width // 2, 2, 2), nn.GELU(), nn.ConvTranspose2d(width // 2, width // 2, 2, 2)
        )

    def forward(self, states: Tensor, pixels: Tensor) -> Tensor:
        """Logits (k, side, side) from the link's states (k, s, link) and the maps (k, w, G, G)."""
        query = self.objects(states, pixels)[0][-1, :, 0]  # (k, w)
        weights, bias = self.filter(query).split([pixels.shape[1] // 2, 1], -1)  # (k, w / 2), (k, 1)
        logits = torch.einsum("kc,kchw->khw", weights, self.finer(pixels)) + bias[..., None]
        return F.interpolate(logits[:, None].float(), (self.side, self.side), mode="bilinear")[:, 0]


def mask_losses(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Sums over calls; ``logits``, ``targets`` (k, side, side), targets in [0, 1]. To be divided by the number of calls."""
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean((1, 2))
    p = logits.sigmoid()
    # V-Net's overlap (Milletari et al. 2016) with DETR's +1, so that two empty masks agree.
    overlap = (2 * (p * targets).sum((1, 2)) + 1) / (p.sum((1, 2)) + targets.sum((1, 2)) + 1)
    return {"bce": bce.sum(), "dice": (1 - overlap).sum()}


def decode(mask: object) -> Mask:
    """COCO's uncompressed RLE, ``{"size": [h, w], "counts": [...]}``: runs of 0 and 1 in turn, column by column.

    Raises BadSample."""
    size, counts = (mask.get(name) if isinstance(mask, dict) else None for name in ("size", "counts"))
    if not (_whole(size) and _whole(counts) and len(size) == 2):
        raise BadSample("a mask needs size [h, w] and counts, lists of whole numbers: COCO's uncompressed RLE")
    height, width = size
    if not 0 < height * width <= PIXELS:
        raise BadSample(f"a mask of {height} x {width} pixels: must have 1 to {PIXELS}")
    if min(size + counts) < 0 or sum(counts) != height * width:
        raise BadSample(f"a mask of {height} x {width} has counts of {sum(counts)} pixels: it is not COCO's RLE")
    flat: Mask = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(width, height).T


def _whole(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int for value in values)


def shown(mask: Mask, frame: Sequence[float], side: int) -> Mask:
    """What a window (``frame``: in units of the image, see views.frame) shows of a mask, as (side, side) pixels.

    Nearest neighbour; beyond the image there is nothing.
    """
    lines = []
    for low, high, size in ((frame[1], frame[3], mask.shape[0]), (frame[0], frame[2], mask.shape[1])):
        centres = (low + (np.arange(side) + 0.5) / side * (high - low)) * size
        lines.append(np.floor(centres).astype(np.int64))
    inside = [(line >= 0) & (line < size) for line, size in zip(lines, mask.shape, strict=True)]
    rows, columns = (line.clip(0, size - 1) for line, size in zip(lines, mask.shape, strict=True))
    cut: Mask = mask[np.ix_(rows, columns)] & np.logical_and.outer(*inside)
    return cut
