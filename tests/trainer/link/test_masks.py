from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainer.errors import BadSample
from trainer.link.masks import MaskDecoder, decode, mask_losses, shown


def encoded(mask: np.ndarray) -> dict[str, list[int]]:
    """COCO's RLE, run by run."""
    counts, value, run = [], False, 0
    for pixel in mask.T.reshape(-1):
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return {"size": [int(n) for n in mask.shape], "counts": [*counts, run]}


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_any_mask_survives_its_encoding(height: int, width: int, seed: int) -> None:
    mask = np.random.Generator(np.random.Philox(seed)).random((height, width)) < 0.5
    assert np.array_equal(decode(encoded(mask)), mask)


def test_runs_go_down_the_columns_and_begin_with_zeros() -> None:
    mask = decode({"size": [2, 3], "counts": [1, 2, 3]})
    assert mask.tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize("counts", [[1, 2], [7], [-1, 7]])
def test_counts_that_do_not_fill_the_mask_are_refused(counts: list[int]) -> None:
    with pytest.raises(BadSample, match="not COCO's RLE"):
        decode({"size": [2, 3], "counts": counts})
    with pytest.raises(BadSample, match="needs size"):
        decode({"size": 6, "counts": counts})


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "needs size"),
        ([[2, 3], [6]], "needs size"),
        ({"size": ["a", "b"], "counts": [6]}, "needs size"),
        ({"size": [4.0, 4.0], "counts": [16]}, "needs size"),
        ({"size": [4, 4, 1], "counts": [16]}, "needs size"),
        ({"size": [4, 4], "counts": [[16]]}, "needs size"),
        ({"size": [4, 4], "counts": "04`0"}, "needs size"),
        ({"size": [-4, -4], "counts": [16]}, "not COCO's RLE"),
        ({"size": [4, 4], "counts": [2**70]}, "not COCO's RLE"),
        ({"size": [0, 4], "counts": []}, "must have 1 to"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, "must have 1 to"),
    ],
)
def test_what_is_no_mask_or_would_take_all_memory_is_refused(mask: object, message: str) -> None:
    with pytest.raises(BadSample, match=message):
        decode(mask)


def test_a_mask_moves_with_its_window() -> None:
    mask = np.arange(16).reshape(4, 4) % 2 == 1
    assert np.array_equal(shown(mask, (0, 0, 1, 1), 4), mask)
    assert np.array_equal(shown(mask, (0, 0, 0.5, 0.5), 2), mask[:2, :2])
    assert np.array_equal(shown(mask, (0.5, 0.25, 1, 0.75), 2), mask[1:3, 2:4])
    assert np.array_equal(shown(mask, (0, 0, 1, 1), 8), mask.repeat(2, 0).repeat(2, 1))
    padded = shown(np.ones((2, 4), bool), (0, -0.5, 1, 1.5), 4)  # as views.Pad shows an image twice as wide as high
    assert padded.tolist() == [[False] * 4, [True] * 4, [True] * 4, [False] * 4]
    assert not shown(mask, (2, 2, 3, 3), 4).any()


def by_hand(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Call by call, as the papers write it."""
    bce, dice = logits.new_zeros(()), logits.new_zeros(())
    for logit, target in zip(logits.flatten(1), targets.flatten(1), strict=True):
        p = logit.sigmoid()
        bce = bce - (target * p.log() + (1 - target) * (1 - p).log()).mean()
        dice = dice + 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
    return {"bce": bce, "dice": dice}


def test_losses_and_gradients_are_those_of_the_formulas() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 5, generator=draw).requires_grad_()
    targets = (torch.rand(3, 5, 5, generator=draw) < 0.3).float()
    ours, theirs = mask_losses(logits, targets), by_hand(logits, targets)
    for name, loss in ours.items():
        torch.testing.assert_close(loss, theirs[name])
        mine, others = (torch.autograd.grad(one, logits, retain_graph=True) for one in (loss, theirs[name]))
        torch.testing.assert_close(mine, others)


def test_a_perfect_mask_costs_nothing_also_an_empty_one() -> None:
    targets = torch.zeros(2, 4, 4)
    targets[0, 1:3] = 1
    losses = mask_losses((targets * 2 - 1) * 100, targets)
    assert all(loss.item() == pytest.approx(0, abs=1e-6) for loss in losses.values())


def test_logits_are_the_links_filter_over_finer_features() -> None:
    torch.manual_seed(0)
    decoder = MaskDecoder(6, 8, 16, 2, 2)
    states, pixels = torch.randn(2, 4, 6), torch.randn(2, 8, 4, 4)
    logits = decoder(states, pixels)
    assert logits.shape == (2, 16, 16)  # as fine as the features: nothing is enlarged
    kernel = decoder.filter(decoder.objects(states, pixels)[0][-1, 1, 0])
    by_convolution = F.conv2d(decoder.finer(pixels[1:]), kernel[None, :4, None, None], kernel[4:])
    torch.testing.assert_close(logits[1], by_convolution[0, 0])


def test_without_a_call_every_weight_of_the_decoder_has_a_zero_gradient() -> None:
    decoder = MaskDecoder(6, 8, 16, 2, 2)
    logits = decoder(torch.zeros(0, 4, 6), torch.zeros(0, 8, 4, 4))
    torch.stack(list(mask_losses(logits, torch.zeros(0, 16, 16)).values())).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in decoder.parameters())
