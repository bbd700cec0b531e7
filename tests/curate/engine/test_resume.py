"""Kill it anywhere, run the same command, get the same bytes; one or two workers, Ray or inline: the same bytes."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

import curate
from curate.verify import verify

Write = Callable[..., Path]
EXPORT = {
    "samples_per_shard": 20,
    "meta": ["width", "height"],
    "formats": [{"step": "stages.export.webdataset.Webdataset"}],
}


@pytest.fixture
def recipe(write_recipe: Write) -> Path:
    """With a global selection and an export."""
    select = [
        {"step": "filters.text.CaptionLength", "min_words": 2},
        {"step": "stages.select.top.TopFraction", "column": "sharpness", "fraction": 0.7},
    ]
    return write_recipe(select=select, export=EXPORT)


def outcome(root: str) -> dict[str, str]:
    """Digest of every file of the ledger and the export."""
    run = Path(root) / "runs" / "small"
    files = [*run.glob("ledger/*"), *run.glob("export/*/*")]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def command(recipe: Path, root: str, *options: str) -> list[str]:
    """The command that is killed and run again."""
    return [sys.executable, "-m", "curate.cli", "run", str(recipe), "--root", root, *options]


def finish(line: Sequence[str]) -> None:
    """Run to the end; it must succeed."""
    done = subprocess.run(line, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr


def kill_repeatedly(line: Sequence[str], moments: Sequence[float], victim: Callable[[int], int | None]) -> int:
    """Start the command once per moment (seconds after its first commit) and SIGKILL its victim then."""
    killed = 0
    for moment in moments:
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        pid = victim(process.pid) if process.poll() is None else None
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed += 1
        if pid == process.pid:
            process.wait()
        else:
            process.wait(timeout=280)
    return killed


def reference(recipe: Path, tmp_path: Path) -> dict[str, str]:
    """What an undisturbed inline run gives."""
    root = str(tmp_path / "undisturbed")
    result = curate.run(recipe, root=root, executor="inline", quiet=True)
    assert verify(curate.open_run(result["run"])) == []
    found = outcome(root)
    assert len(found) > 5
    return found


def inline_seconds(recipe: Path, tmp_path: Path) -> tuple[float, float]:
    """When a process begins to work and when it is done: the span in which kills are interesting."""
    line = command(recipe, str(tmp_path / "timed"), "--executor", "inline")
    started = time.monotonic()
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "timed" / "runs").exists() and process.poll() is None:
        time.sleep(0.01)
    begun = time.monotonic() - started
    assert process.wait(timeout=100) == 0
    return begun, time.monotonic() - started


def test_ten_kills_inline_give_the_same_bytes(recipe: Path, tmp_path: Path) -> None:
    begun, done = inline_seconds(recipe, tmp_path)
    root = str(tmp_path / "killed")
    line = command(recipe, root, "--executor", "inline")
    draw = random.Random(7)
    moments = [draw.uniform(begun, done) for _ in range(10)]
    assert kill_repeatedly(line, moments, lambda pid: pid) >= 3
    finish(line)
    assert outcome(root) == reference(recipe, tmp_path)
    assert verify(curate.open_run("small", root)) == []


def test_interrupt_is_clean_and_can_be_resumed(recipe: Path, tmp_path: Path) -> None:
    root = tmp_path / "interrupted"
    line = command(recipe, str(root), "--executor", "inline", "--set", "chunk_rows=1")
    process = subprocess.Popen(
        line,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - background shells start us with it ignored
    )
    while not list(root.rglob("facts/*/parts/*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command" in said
    assert not (root / "runs" / "small" / "lock").exists()
    finish(line)
    assert outcome(str(root)) == reference(recipe, tmp_path)


def workers_of(pid: int) -> list[int]:
    """Ray actors below a driver."""
    try:
        below = psutil.Process(pid).children(recursive=True)
        return [p.pid for p in below if "_Runs" in " ".join(p.cmdline())]
    except psutil.NoSuchProcess:
        return []


def kill_a_worker(line: Sequence[str], delay: float) -> bool:
    """Start the command and kill one of its Ray actors while it works; the command must finish by itself."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    hit = False
    deadline = time.monotonic() + 120
    while process.poll() is None and not hit and time.monotonic() < deadline:
        found = workers_of(process.pid)
        if found:
            time.sleep(delay)
            hit = any(psutil.pid_exists(pid) for pid in found)
            for pid in found[:1]:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    return hit


def test_ray_survives_a_killed_worker_and_a_killed_driver(recipe: Path, tmp_path: Path) -> None:
    expected = reference(recipe, tmp_path)
    root = str(tmp_path / "worker")
    assert kill_a_worker(command(recipe, root, "--executor", "ray", "--workers", "2"), 0.3)
    assert outcome(root) == expected
    root = str(tmp_path / "driver")
    line = command(recipe, root, "--executor", "ray", "--workers", "1")
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(Path(root).rglob("facts/*/*.parquet")):
        time.sleep(0.02)
    assert process.poll() is None, "the run ended before it could be killed"
    process.kill()
    process.wait()
    finish(line)
    assert outcome(root) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_ray_kills_at_random_moments(recipe: Path, tmp_path: Path, seed: int) -> None:
    expected = reference(recipe, tmp_path)
    root = str(tmp_path / "random")
    line = command(recipe, root, "--executor", "ray", "--workers", "2")
    draw = random.Random(seed)

    def victim(pid: int) -> int | None:
        below = workers_of(pid)
        return draw.choice(below) if below and draw.random() < 0.5 else pid

    assert kill_repeatedly(line, [draw.uniform(2, 25) for _ in range(3)], victim) >= 1
    finish(line)
    assert outcome(root) == expected


def test_facts_of_ray_and_inline_are_the_same_bytes(recipe: Path, tmp_path: Path) -> None:
    roots = {name: str(tmp_path / name) for name in ("inline", "ray")}
    for name, root in roots.items():
        options: dict[str, Any] = {"workers": 2} if name == "ray" else {}
        curate.run(recipe, root=root, executor=name, quiet=True, **options)
    facts = [
        {str(p.relative_to(root)): p.read_bytes() for p in sorted(Path(root).rglob("pool/**/*.parquet"))}
        for root in roots.values()
    ]
    assert facts[0] == facts[1]
    assert outcome(roots["inline"]) == outcome(roots["ray"])
