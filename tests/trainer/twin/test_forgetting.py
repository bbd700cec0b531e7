"""Grounding training through ``trainer.run``: what twins keep, and what naive fine-tuning of the same model loses."""

from __future__ import annotations

import copy
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import trainer
import trainer.vlm
from curate.prove.scenes import write
from tests.trainer.vlm.tiny import LLAMA, VIT
from trainer.config import load
from trainer.data import Subset, open_shards
from trainer.evaluation.vqa import vqa
from trainer.order import fixed
from trainer.parallel import session
from trainer.vlm.inputs import VlmInputs
from trainer.vlm.task import VlmTask

LYNX = Path(__file__).parents[3] / "manifests" / "train" / "lynx"
MODEL: dict[str, Any] = {
    "kind": "vlm",
    "encoders": [VIT],
    "connector": {"kind": "linear"},
    "backbone": {"config": LLAMA},
}
TRAIN: dict[str, Any] = {"batch_size": 8, "lr": 3e-3, "warmup": 1, "weight_decay": 0.1}
GROUNDING: dict[str, Any] = {"boxes": "bins", "bins": 16, "ground": 1.0, "questions": 16}
STAGES: dict[str, dict[str, Any]] = {
    "base": {"objective": {"boxes": "none", "describe": 0.5, "questions": 16}, "train": {"steps": 20}},
    "twin": {"objective": GROUNDING, "train": {"steps": 6}, "model": {"twin": {"every": 2}}, "start": "train/base"},
    "naive": {"objective": GROUNDING, "train": {"steps": 6}, "start": "train/base"},
    "steps": {"objective": GROUNDING | {"steps": True}, "train": {"steps": 3}, "model": {"twin": {"every": 2}},
              "start": "train/base"},
    "link": {"objective": {"boxes": "link", "questions": 4}, "train": {"steps": 3}, "start": "train/base",
             "model": {"twin": {"every": 2}, "link": {"tasks": {"det": 1.0}, "width": 32, "depth": 1}}},
}  # fmt: skip


def config(root: Path, stage: str, name: str | None = None, **runtime: Any) -> Path:
    """Write a stage's config."""
    tree: dict[str, Any] = copy.deepcopy(
        {"data": {"path": "scenes", "split": {"field": "split"}}, "model": MODEL, "train": TRAIN}
    )
    for section, values in copy.deepcopy(STAGES[stage]).items():
        tree[section] = tree.get(section, {}) | values if isinstance(values, dict) else values
    tree["objective"] = {"max_length": 208, **tree["objective"]}
    tree |= {"name": name or stage, "root": str(root), "eval": {"max_samples": 16, "batch_size": 8, "bootstrap": 10}}
    tree["runtime"] = {"workers": 0, "log_every": 1, "checkpoint_every": 2, **runtime}
    path = root / f"{tree['name']}.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scenes, and a base, a twin and a naive run."""
    place = tmp_path_factory.mktemp("forgetting")
    write(str(place / "scenes"), 120)
    for stage in ("base", "twin", "naive"):
        assert trainer.run(config(place, stage))["status"] == "done"
    return place


class Trained:
    """A finished run's model, asked as the base was."""

    def __init__(self, root: Path, name: str, *told: str) -> None:
        options = load(root / f"{name}.yaml", ["objective.ground=0", "objective.describe=0.5", *told])
        with session(options.runtime) as process:
            self.task = VlmTask(options, process)
        self.weights = torch.load(root / "train" / name / "checkpoint.pt", weights_only=True)["model"]
        self.task.model.load_state_dict(self.weights)
        self.task.model.eval()
        self.held_out = Subset(open_shards(options, options.data.folders[0]), options.data.split, held=True)

    def inputs(self, ids: int = 12) -> VlmInputs:
        """Captions and conversations without their last round, which is about a place."""
        batch = self.held_out.load(fixed(np.arange(ids)), self.task.view.still())
        for record in batch.records:
            assert record is not None
            record["conversations"] = record["conversations"][:-2]
        return self.task.prepare(batch)

    @torch.no_grad()
    def logits(self, inputs: VlmInputs) -> torch.Tensor:
        """float32 (n, L, V)."""
        found: torch.Tensor = self.task.model(inputs).logits
        return found


def test_understanding_is_bitwise_unchanged_by_grounding_training_and_naive_fine_tuning_moves_it(root: Path) -> None:
    base, twin, naive = (Trained(root, name) for name in ("base", "twin", "naive"))
    inputs = twin.inputs()
    assert inputs.grounded is not None and not inputs.grounded.any() and inputs.targets > 200
    old = base.task.vocabulary.size
    expected = base.logits(base.inputs())
    assert torch.equal(twin.logits(inputs)[..., :old], expected)
    assert (naive.logits(naive.inputs())[..., :old] - expected).abs().amax((1, 2)).min() > 0.3


def test_new_words_are_as_likely_as_before_grounding_training_too(root: Path) -> None:
    """The whole of the logits, location tokens included, is that of the model that the training began with."""
    twin = Trained(root, "twin")
    after = twin.logits(twin.inputs())
    options = load(root / "twin.yaml")
    with session(options.runtime) as process:
        fresh = VlmTask(options, process)
    begun = torch.load(root / "train" / "base" / "checkpoint.pt", weights_only=True)["model"]
    from trainer.start import put

    put(fresh.inherit(begun), fresh.model, root)
    with torch.no_grad():
        assert torch.equal(fresh.model.eval()(twin.inputs()).logits, after)


def test_only_twins_were_trained_and_they_were(root: Path) -> None:
    base = torch.load(root / "train" / "base" / "checkpoint.pt", weights_only=True)["model"]
    twin = Trained(root, "twin").weights
    for name, weight in base.items():
        for part in ("understanding.", "frozen."):
            renamed = name.replace("mlp.", f"mlp.{part}").replace("embed_tokens.", f"embed_tokens.{part}")
            found = twin.get(renamed.replace("lm_head.", f"lm_head.{part}"))
            if found is not None:
                assert torch.equal(found[: len(weight)], weight), name
    trained = [name for name in twin if ".grounding." in name]
    assert trained and all(
        not torch.equal(twin[name], twin[name.replace("grounding", "understanding")]) for name in trained
    )


def test_the_router_is_scored_and_goes_with_the_model(root: Path) -> None:
    metrics = json.loads((root / "train" / "twin" / "metrics.json").read_text())
    assert metrics["evaluation"]["router"]["forgotten"] == 0 and metrics["evaluation"]["router"]["prompts"] > 40
    opened = {name: trainer.vlm.load(root / "train" / name / "model") for name in ("base", "twin")}
    image = _image(root)
    answers = {name: one.answer(image, "How many objects are there?", 12) for name, one in opened.items()}
    assert answers["twin"] == answers["base"]
    assert opened["twin"].router is not None and opened["base"].router is None


@pytest.mark.slow  # another process imports torch and transformers
def test_killed_grounding_training_goes_on_to_equal_bits(root: Path) -> None:
    killed = config(root, "twin", "killed")
    command = [sys.executable, "-m", "trainer", str(killed), "--set", "train.steps=6"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (root / "train" / "killed" / "checkpoint.pt").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 0 < trainer.run(killed)["resumed_from"] < 6
    states = [torch.load(root / "train" / n / "checkpoint.pt", weights_only=True) for n in ("killed", "twin")]
    for name, weight in states[1]["model"].items():
        assert torch.equal(states[0]["model"][name], weight), name


def test_stepwise_training_runs_and_weighs_steps(root: Path) -> None:
    path = config(root, "steps")
    assert trainer.run(path)["status"] == "done"
    inputs = Trained(root, "steps").inputs(4)
    assert inputs.weights is not None and inputs.grounded is not None and inputs.grounded.all()
    sums = inputs.weights.sum(1)
    torch.testing.assert_close(sums, sums.round())
    assert (sums >= 1).all()


def test_decoders_behind_the_super_link_learn_beside_twins(root: Path) -> None:
    assert trainer.run(config(root, "link"))["status"] == "done"
    base, link = Trained(root, "base"), Trained(root, "link", "model.link.tasks.det=0.0")
    inputs = link.inputs()
    assert inputs.grounded is not None
    plain = ~inputs.grounded
    expected = base.logits(base.inputs())
    assert plain.sum() > 3
    assert torch.equal(link.logits(inputs)[plain][..., : expected.shape[-1]], expected[plain])
    learnt = [name for name, p in link.task.model.named_parameters() if p.requires_grad]
    assert any(name.startswith("link.") for name in learnt) and any(".grounding." in name for name in learnt)


@pytest.mark.slow  # torchrun starts two processes that import torch
@pytest.mark.parametrize("stage", ["twin", "steps"])
def test_two_processes_equal_one(stage: str, root: Path) -> None:
    for name in ("alone", "together"):
        config(root, stage, f"{stage}_{name}")
    trainer.run(root / f"{stage}_alone.yaml")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "trainer"]
    subprocess.run([*command, str(root / f"{stage}_together.yaml")], check=True, capture_output=True)
    one, two = (
        torch.load(root / "train" / f"{stage}_{name}" / "checkpoint.pt", weights_only=True)["model"]
        for name in ("alone", "together")
    )
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4
    frozen = [name for name in one if ".understanding." in name or name.startswith("encoders.")]
    assert frozen and all(torch.equal(one[name], two[name]) for name in frozen)


def understanding(root: Path, stage: str) -> dict[str, float]:
    """What a finished stage still answers: questions that have no box for an answer, and captions, all held out."""
    scores: dict[str, float] = {}
    for describe in (0, 1):
        told = [f"root={root}", "objective.ground=0", f"objective.describe={describe}"]
        options = load(LYNX / f"{stage}.yaml", told)
        with session(options.runtime) as process:
            task = VlmTask(options, process)
            held_out = Subset(open_shards(options, options.data.folders[0]), options.data.split, held=True)
            task.model.load_state_dict(torch.load(options.out / "checkpoint.pt", weights_only=True)["model"])
            if describe:
                found = task.likelihood(task.model, held_out)
                assert found is not None
                scores["caption"] = found["token_accuracy"]
                continue
            asked = vqa(task, task.model, held_out)
            assert asked is not None
            kinds = [kind for name, kind in asked["by_kind"].items() if name != "find the" and "chance" in kind]
            scores["vqa"] = sum(k["value"] * k["questions"] for k in kinds) / sum(k["questions"] for k in kinds)
            scores["chance"] = sum(k["chance"] * k["questions"] for k in kinds) / sum(k["questions"] for k in kinds)
    return scores


def table(root: Path) -> dict[str, dict[str, float]]:
    """Scores of LynX's three stages, which have been trained under ``root``."""
    rows: dict[str, dict[str, float]] = {}
    for stage in ("1_base", "2_naive", "2_twin"):
        metrics = json.loads((root / "train" / f"lynx_{stage}" / "metrics.json").read_text())
        boxes = metrics["evaluation"]["vqa"].get("boxes", {}).get("acc@.5", {})  # the base is not asked for any
        found = {f"P@.5 {name}".removesuffix(" value"): boxes[name] for name in ("value", "low", "chance") if boxes}
        rows[stage] = {**understanding(root, stage), **found}
        print(stage, {name: round(value, 3) for name, value in rows[stage].items()})
    return rows


@pytest.mark.timeout(1800)
@pytest.mark.slow  # ten minutes of one core
def test_twins_learn_to_ground_and_answer_as_before_where_naive_fine_tuning_forgets(tmp_path: Path) -> None:
    write(str(tmp_path / "scenes"), 4000)
    for stage in ("../clip/scenes", "1_base", "2_naive", "2_twin"):
        assert trainer.run(LYNX / f"{stage}.yaml", [f"root={tmp_path}"])["status"] == "done"
    base, naive, twin = table(tmp_path).values()
    assert (twin["vqa"], twin["caption"]) == (base["vqa"], base["caption"])
    assert naive["vqa"] < base["vqa"] - 0.2 and naive["caption"] < base["caption"] - 0.2
    assert base["vqa"] > base["chance"] + 0.05
    for grounded in (naive, twin):
        assert grounded["P@.5 low"] > 2 * grounded["P@.5 chance"]


def _image(root: Path) -> bytes:
    import tarfile

    with tarfile.open(sorted((root / "scenes").glob("*.tar"))[0]) as tar:
        member = next(m for m in tar if m.name.endswith(".jpg"))
        data = tar.extractfile(member)
        assert data is not None
        return data.read()
