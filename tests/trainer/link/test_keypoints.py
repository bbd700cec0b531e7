from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.link.keypoints import KeypointDecoder, Poses, apart, pose_losses


def test_only_visible_points_count() -> None:
    points = torch.tensor([[0.1, 0.2], [0.5, 0.5], [0.9, 0.9]])
    targets = torch.tensor([[0.2, 0.4, 1.0], [0.0, 0.0, 0.0], [0.9, 0.8, 1.0]])
    torch.testing.assert_close(apart(points, targets), torch.tensor((0.1 + 0.2 + 0.0 + 0.1) / 2))
    assert apart(points, targets * torch.tensor([1.0, 1.0, 0.0])) == 0


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(logits: Tensor, points: Tensor, visible: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """One call after one layer, all ways of matching tried."""

    def gap(query: int, target: int) -> Tensor:
        gaps = [
            (points[query, j] - targets[target, j, :2]).abs().sum()
            for j in range(points.shape[1])
            if targets[target, j, 2]
        ]
        return torch.stack(gaps).mean() if gaps else points.new_zeros(())

    def price(query: int, target: int) -> float:
        p = logits[query].sigmoid()
        kind = -0.25 * (1 - p) ** 2 * p.log() + 0.75 * p**2 * (1 - p).log()
        return (kind + 5 * gap(query, target)).item()

    ways = itertools.permutations(range(len(logits)), len(targets))
    way = min(ways, key=lambda w: sum(price(q, t) for t, q in enumerate(w)))
    zero = logits.new_zeros(())
    focal = zero
    for query, logit in enumerate(logits):
        p = logit.sigmoid()
        focal = focal - (0.25 * (1 - p) ** 2 * p.log() if query in way else 0.75 * p**2 * (1 - p).log())
    seen = [F.binary_cross_entropy(visible[q].sigmoid(), targets[t, :, 2]) for t, q in enumerate(way)]
    return {"class": focal, "l1": sum((5 * gap(q, t) for t, q in enumerate(way)), zero), "visible": sum(seen, zero)}


def test_losses_and_gradients_are_those_of_all_ways_tried() -> None:
    logits, visible = (
        (drawn(2, 3, 4, seed=0) - 0.5).requires_grad_(),
        (drawn(2, 3, 4, 3, seed=1) - 0.5).requires_grad_(),
    )
    points = drawn(2, 3, 4, 3, 2, seed=2).requires_grad_()
    targets = drawn(3, 3, 3, 3, seed=3)
    targets[..., 2] = (targets[..., 2] < 0.6).float()
    present = torch.tensor([[True, True, False], [False, True, False], [False] * 3])
    ours = pose_losses(Poses(logits, points, visible), targets, present)
    parts = [
        by_hand(logits[layer, call], points[layer, call], visible[layer, call], targets[call][present[call]])
        for layer in range(2)
        for call in range(3)
    ]
    theirs = {name: torch.stack([part[name] for part in parts]).sum() for name in ours}
    for name, loss in ours.items():
        torch.testing.assert_close(loss, theirs[name])
    inputs = [logits, points, visible]
    mine = torch.autograd.grad(torch.stack(list(ours.values())).sum(), inputs)
    others = torch.autograd.grad(torch.stack(list(theirs.values())).sum(), inputs)
    for one, other in zip(mine, others, strict=True):
        torch.testing.assert_close(one, other)


def test_points_are_offsets_from_where_a_query_began() -> None:
    torch.manual_seed(0)
    decoder = KeypointDecoder(6, 8, 2, 1, 2, 3)
    states, pixels = torch.randn(1, 4, 6), torch.randn(1, 8, 3, 3)
    poses, (queries, places) = decoder(states, pixels), decoder.objects(states, pixels)
    assert poses.points.shape == (1, 1, 2, 3, 2) and poses.visible.shape == (1, 1, 2, 3)
    offset = decoder.offset(queries[0, 0, 1])[4:6]
    torch.testing.assert_close(poses.points[0, 0, 1, 2], places[0, 1] + offset)


def test_without_a_call_every_weight_of_the_decoder_has_a_zero_gradient() -> None:
    decoder = KeypointDecoder(6, 8, 3, 2, 2, 4)
    predicted = decoder(torch.zeros(0, 4, 6), torch.zeros(0, 8, 3, 3))
    losses = pose_losses(predicted, torch.zeros(0, 0, 4, 3), torch.zeros(0, 0, dtype=torch.bool))
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in decoder.parameters())
