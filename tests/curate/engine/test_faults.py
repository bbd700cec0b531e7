"""A bad sample never takes others down; a bad environment never becomes a sample's fate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import curate
from curate.errors import EnvironmentFault
from curate.verify import verify

Write = Callable[..., Path]
PLUGINS = str(Path(__file__).resolve().parents[1] / "plugins")


def drive(recipe: Path, root: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The run in a process of its own, which may die."""
    command = [sys.executable, "-m", "curate.cli", "run", str(recipe), "--root", root, "--executor", "inline", "--json"]
    command += options
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([PLUGINS, os.environ.get("PYTHONPATH", "")]),
        "CURATE_PLUGINS": "hostile_steps",
    }
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets recipes of this process use the hostile steps."""
    monkeypatch.syspath_prepend(PLUGINS)
    monkeypatch.setenv("CURATE_PLUGINS", "hostile_steps")


@pytest.mark.usefixtures("plugin")
def test_an_error_for_a_batch_is_pinned_to_its_samples(write_recipe: Write, root: str) -> None:
    signals = [{"step": "hostile_steps.Fussy", "words": 4}]
    recipe = write_recipe(signals=signals, select=[], max_failed=0.5)
    result = curate.run(recipe, root=root, executor="inline", quiet=True)
    assert result["failed"] == {"hostile_steps.Fussy: ValueError: cannot read this caption": 21}
    assert result["kept"] == 99


@pytest.mark.usefixtures("plugin")
def test_an_environment_error_stops_the_run_and_commits_nothing(write_recipe: Write, root: str) -> None:
    recipe = write_recipe(signals=[{"step": "hostile_steps.Fussy", "environment": True}], select=[])
    with pytest.raises(EnvironmentFault, match="No space left on device"):
        curate.run(recipe, root=root, executor="inline", quiet=True)
    assert not [name for name in Path(root).rglob("facts/*/0*.parquet") if "parts" not in str(name)]


@pytest.mark.parametrize(
    ("field", "words"), [("crash_width", "crashed its decoder (signal 11)"), ("hang_width", "hung: no answer")]
)
def test_a_decoder_that_dies_or_hangs_fails_only_its_sample(
    write_recipe: Write, root: str, field: str, words: str
) -> None:
    """Width 326 is number 6 of every seven; the run dies over the first, and the same command gets past each."""
    signals = [{"step": "hostile_steps.Crash", field: 326}]
    recipe = write_recipe(signals=signals, select=[], sample_timeout=0.5, max_failed=0.5, chunk_rows=40)
    for _ in range(3):
        done = drive(recipe, root, "--limit", "8")
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["entered"] == 40
    (error,) = result["failed"]
    assert words in error
    assert result["failed"][error] == 5
    assert result["kept"] == 35


def test_missing_plugin_is_refused_by_a_recipe_alone(write_recipe: Write, root: str) -> None:
    recipe = write_recipe(signals=[{"step": "hostile_steps.Fussy"}], select=[])
    with pytest.raises(curate.CurateError, match="outside stages, filters, synth"):
        curate.run(recipe, root=root, executor="inline", quiet=True)


def test_full_disk_leaves_nothing_half_done(write_recipe: Write, tmp_path: Path) -> None:
    """A real full disk: a small tmpfs where the test may mount one, else a file size limit on the process."""
    recipe = write_recipe(compute="all")
    root = str(tmp_path / "root")
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from curate.cli import main;"
        f"sys.argv = ['curate', 'run', {str(recipe)!r}, '--root', {root!r}, '--executor', 'inline']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 3, done.stderr
    assert "File too large" in done.stderr
    result = curate.run(recipe, root=root, executor="inline", quiet=True)
    assert result["entered"] == 120
    assert verify(curate.open_run(result["run"])) == []
