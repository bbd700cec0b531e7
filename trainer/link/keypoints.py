"""[POSE]: the keypoints of all objects that a phrase names, as a set like the boxes (VisionLLM v2's UniPose).

Each of a query's points is an offset from the place where it began.
Loss: focal CE 1 and L1 5 with the same costs in the matching, L1 on visible points only; cross entropy 1 on visibility.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.link.sets import PRIOR, ObjectQueries, answering, assign, class_cost, focal, taken

CLASS, L1, VISIBLE = 1.0, 5.0, 1.0


class Poses(NamedTuple):
    """After each of l layers, of each of k calls: ``logits`` (l, k, q); ``points`` (l, k, q, j, 2), (x, y) in units of the
    view's first window; ``visible`` (l, k, q, j) logits."""

    logits: Tensor
    points: Tensor
    visible: Tensor


class KeypointDecoder(nn.Module):
    """Object queries with ``joints`` points each, around the places where they began."""

    def __init__(self, link: int, width: int, count: int, depth: int, heads: int, joints: int) -> None:
        super().__init__()
        self.objects = ObjectQueries(link, width, count, depth, heads)
        self.classes = nn.Linear(width, 1)
        self.offset, self.visible = nn.Linear(width, joints * 2), nn.Linear(width, joints)
        nn.init.constant_(self.classes.bias, torch.tensor(PRIOR).logit().item())

    def forward(self, states: Tensor, pixels: Tensor) -> Poses:
        """From the link's states (k, s, link) and the maps (k, w, G, G)."""
        found, places = self.objects(states, pixels)  # (l, k, q, w), (k, q, 2)
        points = places[..., None, :] + self.offset(found).float().unflatten(-1, (-1, 2))
        return Poses(self.classes(found).float().squeeze(-1), points, self.visible(found).float())


def pose_losses(predicted: Poses, targets: Tensor, present: Tensor) -> dict[str, Tensor]:
    """Sums over calls, targets and layers, weighted. ``targets`` (k, t, j, 3): x, y, and 1 where visible; ``present``
    bool (k, t). To be divided by the number of targets."""
    layers, _, queries = predicted.logits.shape
    logits, points, visible = (part.flatten(0, 1) for part in predicted)
    targets, present = targets.repeat(layers, 1, 1, 1), present.repeat(layers, 1)
    chosen = assign(costs(logits, points, targets), present)
    mine, seen, theirs = taken(points, chosen), taken(visible, chosen), targets[chosen >= 0]  # (m, j, ...)
    return {
        "class": CLASS * focal(logits, answering(chosen, queries)),
        "l1": L1 * apart(mine, theirs).sum(),
        "visible": VISIBLE * F.binary_cross_entropy_with_logits(seen, theirs[..., 2], reduction="none").mean(-1).sum(),
    }


def costs(logits: Tensor, points: Tensor, targets: Tensor) -> Tensor:
    """What it costs that a query answers for a target, (k, q, t)."""
    return CLASS * class_cost(logits)[..., None] + L1 * apart(points[:, :, None], targets[:, None])


def apart(points: Tensor, targets: Tensor) -> Tensor:
    """Mean over visible points of |dx| + |dy|, (...), of points (..., j, 2) and targets (..., j, 3); 0 if none is visible."""
    seen = targets[..., 2]
    away = (points - targets[..., :2]).abs().sum(-1) * seen
    return away.sum(-1) / seen.sum(-1).clamp(min=1)
