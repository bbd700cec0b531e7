"""[DET]: the boxes of all objects that a phrase names (VisionLLM v2's Grounding DINO, as DETR's set prediction).

Loss: focal CE 1, L1 5, GIoU 2, with the same costs in the matching, after every decoder layer. Without the denoising
queries of DINO, which speed up training on thousands of classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.link.sets import PRIOR, ObjectQueries, answering, assign, class_cost, focal, taken

CLASS, L1, GIOU = 1.0, 5.0, 2.0


class Boxes(NamedTuple):
    """After each of l layers, of each of k calls: ``logits`` (l, k, q) of answering for an object; ``boxes``
    (l, k, q, 4) xyxy in units of the view's first window."""

    logits: Tensor
    boxes: Tensor


class BoxDecoder(nn.Module):
    """Object queries, each with a probability and a box around the place where it began."""

    def __init__(self, link: int, width: int, count: int, depth: int, heads: int) -> None:
        super().__init__()
        self.objects = ObjectQueries(link, width, count, depth, heads)
        self.classes = nn.Linear(width, 1)
        self.shape = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4))
        nn.init.constant_(self.classes.bias, torch.tensor(PRIOR).logit().item())

    def forward(self, states: Tensor, pixels: Tensor) -> Boxes:
        """From the link's states (k, s, link) and the maps (k, w, G, G)."""
        found, places = self.objects(states, pixels)  # (l, k, q, w), (k, q, 2)
        offset, size = self.shape(found).float().split(2, -1)
        centre, half = places + offset, size.sigmoid() / 2
        return Boxes(self.classes(found).float().squeeze(-1), torch.cat([centre - half, centre + half], -1))


def box_losses(predicted: Boxes, targets: Tensor, present: Tensor) -> dict[str, Tensor]:
    """Sums over calls, targets and layers, weighted. ``targets`` (k, t, 4) xyxy; ``present`` bool (k, t).

    To be divided by the number of targets. A call without targets teaches all queries to be silent.
    """
    layers, _, queries = predicted.logits.shape
    logits, boxes = predicted.logits.flatten(0, 1), predicted.boxes.flatten(0, 1)  # (l * k, q), (l * k, q, 4)
    targets, present = targets.repeat(layers, 1, 1), present.repeat(layers, 1)
    chosen = assign(costs(logits, boxes, targets), present)
    mine, theirs = taken(boxes, chosen), targets[chosen >= 0]  # (m, 4) each
    return {
        "class": CLASS * focal(logits, answering(chosen, queries)),
        "l1": L1 * F.l1_loss(centred(mine), centred(theirs), reduction="sum"),
        "giou": GIOU * (1 - giou(mine, theirs)).sum(),
    }


def costs(logits: Tensor, boxes: Tensor, targets: Tensor) -> Tensor:
    """What it costs that a query answers for a target, (k, q, t)."""
    away = (centred(boxes)[:, :, None] - centred(targets)[:, None]).abs().sum(-1)
    return CLASS * class_cost(logits)[..., None] + L1 * away - GIOU * giou(boxes[:, :, None], targets[:, None])


def centred(boxes: Tensor) -> Tensor:
    """xyxy as (centre x, centre y, width, height)."""
    low, high = boxes.split(2, -1)
    return torch.cat([(low + high) / 2, high - low], -1)


def giou(one: Tensor, other: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019) of boxes (..., 4) xyxy that broadcast, in (-1, 1]."""
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1) for boxes in (one, other)]
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = areas[0] + areas[1] - shared
    least, most = torch.minimum(one[..., :2], other[..., :2]), torch.maximum(one[..., 2:], other[..., 2:])
    hull = (most - least).prod(-1)
    return shared / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)
