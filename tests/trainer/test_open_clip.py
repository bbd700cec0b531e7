"""open_clip's own trainer, unmodified, on the shards we train on and from the model we write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import trainer
from tests.trainer.conftest import Configure
from tests.trainer.shapes import write_tars

# open_clip_train asks for webdataset <= 0.2.86, which cannot live beside the newer one that the rest needs.
PIN = "webdataset==0.2.86"


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pinned")
    command = [sys.executable, "-m", "uv", "pip", "install", "--no-config", "--no-deps", "--target", str(folder), PIN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{PIN} cannot be fetched from the registry: {done.stderr.strip()}")
    return folder


@pytest.mark.slow
def test_open_clips_trainer_goes_on_from_our_model_on_our_shards(
    pinned: Path, configure: Configure, tmp_path: Path
) -> None:
    shards = write_tars(tmp_path / "shards", [64, 64])
    metrics = trainer.run(configure(data={"path": str(shards)}, train={"steps": 4, "batch_size": 32}))
    command = [
        sys.executable, "-m", "open_clip_train.main", "--model", f"local-dir:{metrics['model']}",
        "--train-data", f"{shards}/{{00000000..00000001}}.tar", "--dataset-type", "webdataset", "--batch-size", "32",
        "--epochs", "1", "--warmup", "1", "--workers", "1", "--precision", "fp32", "--device", "cpu",
        "--logs", str(tmp_path / "logs"), "--name", "ours",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(pinned)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "[128/128 (100%)]" in done.stderr, "every pair was read: sizes.json told how many there are"
    assert (tmp_path / "logs" / "ours" / "checkpoints" / "epoch_1.pt").exists()
