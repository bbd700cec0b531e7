"""The wheel carries what people run, installs light, and importing it stays light."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import curate

ROOT = Path(__file__).parent.parent
CARRIED = {"curate", "stages", "filters", "synth", "trainer", "manifests"}
UV = Path(sys.executable).with_name("uv")

# Imports every module of the packages named, then prints the packages that this brought in.
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {
    "cv2", "faiss", "fasttext", "ffcv", "img2dataset", "numba", "onnxruntime", "open_clip", "rapidocr", "ray", "scipy",
    "spacy", "timm", "torch", "torchvision", "transformers", "webdataset",
}  # fmt: skip


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that succeeds, run without this environment's Python settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(python: str | Path, cwd: Path, *packages: str) -> set[str]:
    return set(run(python, "-c", IMPORT_ALL, *packages, cwd=cwd).split())


def test_importing_every_module_imports_nothing_heavy(tmp_path: Path) -> None:
    assert imported(sys.executable, tmp_path, "curate", "stages", "filters", "synth").isdisjoint(HEAVY)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_wheel_carries_packages_and_manifests_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == CARRIED
    tracked = run("git", "ls-files", *sorted(CARRIED), cwd=ROOT).splitlines()
    assert names == set(tracked)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_wheel_works_in_a_clean_environment_with_base_dependencies_only(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    locked = run(UV, "export", "--quiet", "--frozen", "--no-dev", "--no-hashes", "--no-emit-project", cwd=ROOT)
    (tmp_path / "locked.txt").write_text(locked)
    run(UV, "pip", "install", "--quiet", "--python", python, "-c", tmp_path / "locked.txt", wheel, cwd=tmp_path)

    assert "Usage: curate" in run(python.with_name("curate"), "--help", cwd=tmp_path)
    assert imported(python, tmp_path, "curate", "stages", "filters", "synth").isdisjoint(HEAVY)


def test_no_module_hides_a_public_name() -> None:
    """Once imported, `curate/plan.py` would take the place of the function `curate.plan`."""
    hidden = [name for name in curate.__all__ if importlib.util.find_spec(f"curate.{name}")]
    assert hidden == []
