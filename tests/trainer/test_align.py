"""Alignment learns a planted map, stays where it is told to, and gives the same bits twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainer.align import Align, Heads, Pairs, _choices, align, info_nce
from trainer.errors import ConfigError, DataError

DIM, IMAGES = 8, 400
QUICK = Align(epochs=40, batch=50, lr=1e-2, stay=0, drop=0)


def planted(seed: int = 0) -> Pairs:
    """Images are a hidden rotation of their texts; each image has two texts, of which the second is noisier."""
    draw = np.random.default_rng(seed)
    meaning = draw.normal(size=(IMAGES, DIM)).astype(np.float32)
    rotation = np.linalg.qr(np.random.default_rng(99).normal(size=(DIM, DIM)))[0].astype(np.float32)
    noise = draw.normal(size=(2, IMAGES, DIM)).astype(np.float32) * np.array([0.05, 0.2], np.float32)[:, None, None]
    owner = np.tile(np.arange(IMAGES), 2)
    return Pairs(meaning @ rotation, np.concatenate([meaning + noise[0], meaning + noise[1]]), owner, np.arange(IMAGES))


def identity() -> Heads:
    eye, zero = np.eye(DIM, dtype=np.float32), np.zeros(DIM, np.float32)
    return Heads(eye, zero, eye, zero)


def recall_at_1(pairs: Pairs, heads: Heads) -> float:
    images = pairs.images @ heads.image + heads.image_bias
    texts = pairs.texts[: len(images)] @ heads.text + heads.text_bias
    similarity = images @ (texts / np.linalg.norm(texts, axis=1, keepdims=True)).T
    return float((similarity.argmax(axis=1) == np.arange(len(images))).mean())


def test_it_finds_a_hidden_rotation_and_it_holds_for_new_pairs() -> None:
    assert recall_at_1(planted(1), identity()) < 0.05
    assert recall_at_1(planted(1), align(planted(), identity(), QUICK)) > 0.8


def test_the_loss_falls() -> None:
    losses: list[float] = []
    align(planted(), identity(), QUICK, log=lambda epoch, loss: losses.append(loss))
    assert len(losses) == QUICK.epochs
    assert losses[-1] < losses[0] / 2


def test_equal_input_gives_equal_bits_and_the_global_generator_is_left_alone() -> None:
    config = Align(epochs=2, batch=50, drop=0.5, seed=3)
    torch.manual_seed(0)
    first = align(planted(), identity(), config)
    state = torch.random.get_rng_state()
    second = align(planted(), identity(), config)
    assert all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True))
    torch.random.set_rng_state(state)
    other = align(planted(), identity(), Align(epochs=2, batch=50, drop=0.5, seed=4))
    assert not np.array_equal(first.image, other.image)


def test_a_strong_pull_keeps_the_start() -> None:
    stayed = align(planted(), identity(), Align(epochs=10, batch=50, lr=1e-3, stay=100))
    np.testing.assert_allclose(stayed.image, np.eye(DIM), atol=0.02)


def test_the_loss_is_that_of_clip() -> None:
    draw = torch.Generator().manual_seed(0)
    images, texts = torch.randn(5, 4, generator=draw), torch.randn(5, 4, generator=draw)
    logits = F.normalize(images) @ F.normalize(texts).T / 0.1
    by_hand = [-logits.log_softmax(dim=axis).diagonal().mean() for axis in (0, 1)]
    torch.testing.assert_close(info_nce(images, texts, torch.arange(5), 0.1), sum(by_hand) / 2)


def test_images_of_one_group_are_no_negatives() -> None:
    images, texts = torch.eye(3), torch.eye(3)[[1, 0, 2]]  # the first two have each other's text
    swapped = info_nce(images, texts, torch.tensor([0, 1, 2]), 0.1)
    grouped = info_nce(images, texts, torch.tensor([0, 0, 2]), 0.1)
    assert grouped < swapped / 3


def test_the_text_of_an_image_is_drawn_from_its_own() -> None:
    owner = np.array([1, 0, 1, 2, 1])
    choose, draw = _choices(owner), torch.Generator().manual_seed(0)
    rows = torch.arange(3).repeat(100)
    found = choose(rows, draw)
    assert (torch.from_numpy(owner)[found] == rows).all()
    assert set(found.tolist()) == {0, 1, 2, 3, 4}


def test_bad_settings_and_bad_data_are_refused() -> None:
    with pytest.raises(ConfigError, match="epochs"):
        Align(epochs=0)
    with pytest.raises(ConfigError, match="drop"):
        Align(drop=1)
    one = planted()
    with pytest.raises(DataError, match="texts of their own"):
        Pairs(one.images, one.texts, np.zeros_like(one.owner), one.group)
    endless = Pairs(one.images * np.float32(np.inf), one.texts, one.owner, one.group)
    with pytest.raises(DataError, match="not finite"):
        align(endless, identity(), QUICK)
