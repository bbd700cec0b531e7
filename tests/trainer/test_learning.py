"""Shipped configs at their full length, and what held-out scenes say of them: some 20 minutes of one core.

`pytest -m slow -s tests/trainer/test_learning.py` prints the figures of docs/training/vlm.md
and of boxes in words. Other families have theirs in
contrastive/, language/ (preferences), link/ and twin/.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import trainer
from curate.prove.scenes import write
from trainer.config import load
from trainer.data import Subset, open_shards
from trainer.order import fixed
from trainer.packed import IGNORED
from trainer.parallel import session
from trainer.vlm.inputs import VlmInputs
from trainer.vlm.task import VlmTask

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
CONFIGS = Path(__file__).parents[2] / "manifests" / "train"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scenes and what all chains begin with: a CLIP, and a language model that has seen nothing."""
    place = tmp_path_factory.mktemp("learning")
    write(place / "scenes", 8000)
    train(place, "clip/scenes", "llava/0_language")
    return place


def train(root: Path, *configs: str) -> dict[str, Any]:
    """Held-out scores of the last stage. Stages that have been trained are not trained again."""
    scores: dict[str, Any] = {}
    for config in configs:
        metrics = trainer.run(CONFIGS / f"{config}.yaml", [f"root={root}", "runtime.workers=0"])
        assert metrics["status"] == "done"
        scores = metrics["evaluation"]
    print(configs[-1], scores)
    return scores


@pytest.mark.parametrize("config", ["llava/1_align", "limber/align", "mapl/align", "cambrian/1_align"])
def test_a_held_out_caption_is_likelier_beside_its_own_image(root: Path, config: str) -> None:
    """Than beside the image of the next sample, of 200. Only the connector has learnt; one in two is chance."""
    train(root, config)
    options = load(CONFIGS / f"{config}.yaml", [f"root={root}"])
    with session(options.runtime) as process, torch.no_grad():
        task = VlmTask(options, process)
        task.model.load_state_dict(torch.load(options.out / "checkpoint.pt", weights_only=True)["model"])
        task.model.eval()
        held_out = Subset(open_shards(options, options.data.folders[0]), options.data.split, held=True)
        inputs = task.prepare(held_out.load(fixed(np.arange(200)), task.view.still()))
        own, other = (losses(task, replace(inputs, images=inputs.images.roll(by, 0))) for by in (0, 1))
    share = float((own < other).float().mean())
    print(config, "likelier beside its own image:", share)
    assert share > 0.5 + 3 * (0.25 / 200) ** 0.5


def losses(task: VlmTask, inputs: VlmInputs) -> torch.Tensor:
    """float32 (n,): minus the log likelihood of each row's answer."""
    logits = task.model(inputs).logits[:, :-1].transpose(1, 2)
    return F.cross_entropy(logits, inputs.labels[:, 1:], ignore_index=IGNORED, reduction="none").sum(1)


@pytest.mark.parametrize("chain", ["llava", "cambrian"])
def test_held_out_questions_are_answered(root: Path, chain: str) -> None:
    """Of eight kinds; chance is the commonest answer of each."""
    accuracy = train(root, f"{chain}/1_align", f"{chain}/2_instruct")["vqa"]["accuracy"]
    assert accuracy["low"] > accuracy["chance"]


@pytest.mark.parametrize("config", ["language/shikra", "language/git_boxes"])
def test_held_out_objects_are_found_by_boxes_in_words(root: Path, config: str) -> None:
    found = train(root, config)["vqa"]["boxes"]["acc@.5"]
    assert found["low"] > 2 * found["chance"]
