"""The super link on rendered scenes, through the training loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import trainer
from curate.prove.scenes import write
from curate.prove.scenes.write import samples
from tests.trainer.link.diffusion import write_diffusion
from tests.trainer.test_parallel import difference, losses, torchrun
from tests.trainer.vlm.tiny import LLAMA, VIT
from trainer.link.pointing import point
from trainer.vlm.saved import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # minutes of one core, or processes that import torch

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_equal_one(parallel: str, tmp_path: Path) -> None:
    """Of few samples in a step some decoder has no call on one rank, or on both."""
    write(str(tmp_path / "scenes"), 60)
    write_diffusion(tmp_path / "sd")
    link: dict[str, Any] = {"tasks": {"det": 0.3, "seg": 0.2, "pose": 0.2, "gen": 0.2}, "width": 16, "heads": 2}
    link |= {"objects": 3, "mask_side": 16, "diffusion": {"folder": "sd", "slots": 5}}
    model = {"kind": "vlm", "encoders": [VIT], "backbone": {"config": LLAMA}, "link": link}
    configs = []
    for name in ("alone", "together"):
        tree = {
            "name": name, "root": str(tmp_path), "data": {"path": "scenes", "split": {"field": "split"}}, "model": model,
            "objective": {"boxes": "link", "max_length": 2000, "questions": 0}, "eval": {"max_samples": 6},
            "train": {"batch_size": 4, "steps": 6, "lr": 1e-3},
            "runtime": {"log_every": 1, "workers": 0, "parallel": parallel},
        }  # fmt: skip
        configs.append(tmp_path / f"{name}.yaml")
        configs[-1].write_text(yaml.safe_dump(tree))
    alone, together = configs
    one, two = trainer.run(alone), torchrun(together)
    assert losses(together) == pytest.approx(losses(alone), rel=1e-4)
    assert difference(alone, together) < 5e-4
    assert two["evaluation"]["link"]["det"]["calls"] == one["evaluation"]["link"]["det"]["calls"] > 0


def test_it_learns_to_find_what_a_phrase_names(tmp_path: Path) -> None:
    """Boxes, masks and keypoints of shapes by colour and form, in scenes whose contents were held out: about five
    minutes of one core, all from fresh weights but the CLIP's, which takes one of them."""
    write(str(tmp_path / "scenes"), 4000)
    here = [f"root={tmp_path}", "runtime.workers=0"]
    trainer.run(ROOT / "manifests/train/clip/scenes.yaml", here)
    config = ROOT / "manifests/train/visionllm/one_stage.yaml"
    shares = "model.link.tasks={det: 0.4, seg: 0.35, pose: 0.25}"
    length = ["train.steps=1000", "eval.max_samples=200", "objective.questions=0"]
    metrics = trainer.run(config, [*here, shares, *length])
    scores = metrics["evaluation"]["link"]
    assert all(scores[task]["routed"] > 0.85 for task in ("det", "seg", "pose"))
    assert scores["det"]["P@.5"] > scores["det"]["chance"] + 0.06  # three standard errors of 429 calls
    assert scores["seg"]["IoU"] > scores["seg"]["chance"] + 0.1
    assert scores["pose"]["PCK@0.2"] > scores["pose"]["chance PCK@0.2"] + 0.1
    assistant = load(metrics["model"])
    asked = [(scene.image, scene.record["objects"][0]["label"]) for scene in samples(10, split="test")]
    found = [point(assistant, image, f"Give the box of the {label}.")[1] for image, label in asked]
    assert sum([finding.task for finding in one] == ["det"] for one in found) >= 7, "it writes [DET] and then stops"
