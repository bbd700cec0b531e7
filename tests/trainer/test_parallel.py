from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

import trainer
from tests.trainer.conftest import Configure
from tests.trainer.test_train import lines, out, stop_after
from trainer import groups
from trainer.config import Runtime, load
from trainer.errors import ConfigError
from trainer.parallel import Process, _Gather, session, wrap

slow = pytest.mark.slow  # each torchrun starts two processes that import torch: 10 to 20 s


def torchrun(config: Path, processes: int = 2) -> dict[str, Any]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run([*command, "-m", "trainer", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    metrics: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return metrics


def losses(config: Path) -> list[float]:
    return [line["loss"] for line in lines(config) if "loss" in line]


def difference(one: Path, other: Path) -> float:
    a, b = (torch.load(out(path) / "checkpoint.pt", weights_only=True)["model"] for path in (one, other))
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_equal_one(parallel: str, configure: Configure) -> None:
    """Same stream, loss over the whole batch, gradients through the gathered features; corrupt samples included."""
    alone, together = configure("alone"), configure("together", runtime={"parallel": parallel, "workers": 2})
    one, two = trainer.run(alone), torchrun(together)
    assert losses(together) == pytest.approx(losses(alone), rel=1e-5)
    assert difference(alone, together) < 1e-4
    assert two["corrupt"] == one["corrupt"] > 0
    assert two["evaluation"] == one["evaluation"]
    named = [{line["uid"] for line in lines(path) if line.get("event") == "corrupt"} for path in (alone, together)]
    assert named[0] == named[1]


@slow
def test_a_rank_that_comes_late_to_the_next_stage_is_waited_for(tmp_path: Path) -> None:
    """The others do not look for it where it was in the stage before."""
    program = tmp_path / "stages.py"
    program.write_text(
        "import time\n"
        "from trainer.config import Runtime\n"
        "from trainer.parallel import session\n"
        "for stage in range(3):\n"
        "    with session(Runtime(device='cpu')) as process:\n"
        "        assert process.sum([1.0]) == [2.0]\n"
        "    time.sleep(3 * (process.rank == 0))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@slow
def test_a_run_of_one_process_goes_on_with_two(configure: Configure) -> None:
    alone, resumed = configure("alone"), configure("resumed")
    trainer.run(alone)
    stop_after(resumed, steps=5)
    assert torchrun(resumed)["resumed_from"] == 5
    assert losses(resumed) == pytest.approx(losses(alone), rel=1e-5)
    assert difference(alone, resumed) < 1e-4


@slow
def test_compiled_model_learns_the_same(configure: Configure) -> None:
    plain, compiled = configure("plain"), configure("compiled", runtime={"compile": True})
    trainer.run(plain)
    trainer.run(compiled)
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-3)


@slow
def test_a_batch_that_does_not_divide_is_refused(configure: Configure) -> None:
    with pytest.raises(AssertionError, match=r"train\.batch_size: 15 does not divide among 2 processes"):
        torchrun(configure(train={"batch_size": 15}))


def test_batch_normalisation_that_learns_is_refused_with_several_processes() -> None:
    """Each would take the statistics of its own samples: two processes were not one."""
    model, runtime, two = (
        nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
        Runtime(),
        Process(0, 2, torch.device("cpu")),
    )
    with pytest.raises(ConfigError, match=r"model: 1 normalises over the samples of one process"):
        wrap(model, [], runtime, two)
    assert wrap(model, [], runtime, Process(0, 1, torch.device("cpu"))) is model
    model[1].requires_grad_(False)
    groups.learn(model)
    with pytest.raises(ValueError, match="process group"):  # as far as torch, without torchrun
        wrap(model, [], runtime, two)


def test_what_is_gathered_may_be_used_twice(tmp_path: Path) -> None:
    """Autograd hands one gradient to both; summing over ranks within it would spoil the other's."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        gathered = _Gather.apply(torch.ones(2, requires_grad=True), 0, 1)
        given = torch.ones(2)
        (found,) = gathered.grad_fn.apply(given)[:1]
    finally:
        dist.destroy_process_group()
    assert found.tolist() == [1, 1] and found.data_ptr() != given.data_ptr()


def test_one_process_is_its_own_world(configure: Configure) -> None:
    threads = torch.get_num_threads()
    with session(load(configure()).runtime) as process:
        assert (process.rank, process.world, process.device.type) == (0, 1, "cpu")
        assert process.sum([1.0, 2.0]) == [1.0, 2.0] and process.collect([3]) == [3]
    assert torch.get_num_threads() == threads
