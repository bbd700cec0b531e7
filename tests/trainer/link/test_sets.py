from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import sigmoid_focal_loss

from trainer.link.pixels import Pixels, cells, positions
from trainer.link.sets import ObjectQueries, answering, assign, class_cost, focal, taken


def cheapest(costs: torch.Tensor) -> float:
    """Least total cost of giving each target a query of its own (or each query a target), by trying all ways."""
    queries, targets = costs.shape
    if queries < targets:
        return cheapest(costs.T)
    ways = itertools.permutations(range(queries), targets)
    return min(sum(costs[query, target].item() for target, query in enumerate(way)) for way in ways)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 2**31))
def test_matching_is_the_cheapest_of_all_ways(queries: int, targets: int, seed: int) -> None:
    costs = torch.randn(3, queries, 4, generator=torch.Generator().manual_seed(seed))
    present = torch.zeros(3, 4, dtype=torch.bool)
    for call in range(3):
        present[call, torch.randperm(4, generator=torch.Generator().manual_seed(seed + call))[:targets]] = True
    chosen = assign(costs, present)
    for call in range(3):
        pairs = [(q, t) for t, q in enumerate(chosen[call].tolist()) if q >= 0]
        assert len(pairs) == min(queries, targets) == len({q for q, _ in pairs})
        assert all(present[call, t] for _, t in pairs)
        total = sum(costs[call, q, t].item() for q, t in pairs)
        assert total == pytest.approx(cheapest(costs[call][:, present[call]]), abs=1e-5)


def test_a_cost_that_is_not_finite_does_not_stop_the_matching() -> None:
    costs = torch.tensor([[[torch.nan, 1.0], [torch.inf, 3.0], [2.0, -torch.inf]]])
    assert assign(costs, torch.tensor([[True, True]])).tolist() in ([[0, 2]], [[1, 2]])
    assert assign(torch.full((1, 2, 2), torch.nan), torch.tensor([[True, False]]))[0, 1] == -1


def test_answers_and_values_of_the_matched() -> None:
    chosen = torch.tensor([[2, -1], [0, 1], [-1, -1]])
    assert answering(chosen, 3).tolist() == [[False, False, True], [True, True, False], [False] * 3]
    values = torch.arange(9).reshape(3, 3)
    assert taken(values, chosen).tolist() == [2, 3, 4]
    assert taken(values, torch.full((3, 0), -1)).shape == (0,)


def test_focal_loss_is_torchvisions_and_its_formula() -> None:
    logits = torch.linspace(-6, 6, 12).requires_grad_()
    answers = torch.arange(12) % 3 == 0
    ours = focal(logits, answers)
    theirs = sigmoid_focal_loss(logits, answers.float(), alpha=0.25, gamma=2, reduction="sum")
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits))
    by_hand = 0.0
    for logit, answer in zip(logits.tolist(), answers.tolist(), strict=True):
        p = 1 / (1 + math.exp(-logit))
        by_hand -= 0.25 * (1 - p) ** 2 * math.log(p) if answer else 0.75 * p**2 * math.log(1 - p)
    assert ours.item() == pytest.approx(by_hand, rel=1e-5)


def test_the_class_cost_is_what_answering_changes_in_the_focal_loss() -> None:
    for logit in (-3.0, 0.0, 2.0):
        alone = torch.tensor([logit])
        difference = focal(alone, torch.tensor([True])) - focal(alone, torch.tensor([False]))
        torch.testing.assert_close(class_cost(alone)[0], difference)
    assert class_cost(torch.tensor([-200.0, 200.0])).isfinite().all()


def test_queries_begin_at_the_cells_that_are_like_the_text() -> None:
    """Places and first queries by loops over queries and cells."""
    torch.manual_seed(0)
    objects = ObjectQueries(6, 8, 4, 0, 2)
    states, pixels = torch.randn(2, 3, 6), torch.randn(2, 8, 3, 3)
    objects.layers.append(first := Seen())
    _, places = objects(states, pixels)
    assert places.shape == (2, 4, 2)
    for call, query in itertools.product(range(2), range(4)):
        asked = objects.queries.weight[query] + objects.text(states[call]).mean(0)
        cells_ = [pixels[call, :, y, x] for y in range(3) for x in range(3)]
        scores = [objects.look(asked) @ objects.shown(cell) / 8**0.5 for cell in cells_]
        weights = torch.stack(scores).softmax(0).tolist()
        x = sum(w * ((i % 3) + 0.5) / 3 for i, w in enumerate(weights))
        y = sum(w * ((i // 3) + 0.5) / 3 for i, w in enumerate(weights))
        torch.testing.assert_close(places[call, query], torch.tensor([x, y]))
        seen = torch.stack([w * cell for w, cell in zip(weights, cells_, strict=True)]).sum(0)
        torch.testing.assert_close(first.queries[call, query], asked + seen)


class Seen(torch.nn.Module):
    """A layer that keeps what it was given."""

    queries: torch.Tensor

    def forward(self, queries: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """(k, q, w) as it came."""
        self.queries = queries
        return queries


def test_a_phrase_learns_to_choose_its_cell() -> None:
    """Three colours in cells drawn at random: the places alone are taught, by the text's gradient."""
    torch.manual_seed(0)
    objects, colours = ObjectQueries(3, 8, 1, 1, 2), torch.randn(3, 8)
    optimiser = torch.optim.Adam(objects.parameters(), 1e-2)
    for _ in range(150):
        at = torch.rand(16, 9).argsort(1)[:, :3]  # where each colour is
        pixels = torch.zeros(16, 9, 8).scatter(1, at[..., None].expand(-1, -1, 8), colours.expand(16, -1, -1))
        asked = torch.randint(3, (16,))
        _, places = objects(torch.eye(3)[asked][:, None], pixels.transpose(1, 2).unflatten(2, (3, 3)))
        away = (places[:, 0] - cells(3)[at[torch.arange(16), asked]]).abs().sum(1)
        optimiser.zero_grad()
        away.mean().backward()
        optimiser.step()
    assert away.max() < 0.1


def test_places_are_as_fine_under_bfloat16() -> None:
    objects = ObjectQueries(4, 8, 1, 1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        _, places = objects(torch.zeros(1, 1, 4), torch.zeros(1, 8, 33, 33))
    torch.testing.assert_close(places, torch.full_like(places, 0.5), atol=1e-5, rtol=0)


def test_the_text_query_is_the_mean_over_the_slots() -> None:
    torch.manual_seed(0)
    queries = ObjectQueries(6, 8, 3, 1, 2)
    states, pixels = torch.randn(1, 4, 6), torch.randn(1, 8, 2, 2)
    shuffled, _ = queries(states[:, [2, 0, 3, 1]], pixels)
    averaged, _ = queries(states.mean(1, keepdim=True).expand(-1, 4, -1), pixels)
    for other in (shuffled, averaged):
        torch.testing.assert_close(queries(states, pixels)[0], other)


def test_a_map_is_the_sum_of_projections_at_the_finest_grid() -> None:
    torch.manual_seed(0)
    pixels = Pixels([5, 3], 8)
    fine, coarse = torch.randn(2, 16, 5), torch.randn(2, 4, 3)
    whole = pixels([fine, coarse])
    assert whole.shape == (2, 8, 4, 4)
    at = positions(4, 8)[1 * 4 + 2] + pixels.projections[0](fine[1, 1 * 4 + 2])
    plane = pixels.projections[1](coarse[1]).reshape(2, 2, 8)
    # The centre of cell (1, 2) of 4 lies a quarter of a coarse cell below row 0's centre and a quarter left of column 1's.
    expected = 0.75 * (0.25 * plane[0, 0] + 0.75 * plane[0, 1]) + 0.25 * (0.25 * plane[1, 0] + 0.75 * plane[1, 1])
    torch.testing.assert_close(whole[1, :, 1, 2], at + expected)


def test_cells_are_numbered_row_by_row_and_have_places_of_their_own() -> None:
    assert cells(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    where = positions(8, 32)
    assert where.shape == (64, 32) and torch.cdist(where, where).fill_diagonal_(1).min() > 0.3
