"""Debian, npm and PyPI packages, downloaded by their ordinary clients and unpacked; nothing is installed.

Each package is fetched once into `<cache>/<name>/` and unpacked beside it. Only this file runs another program.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


class PackageError(Exception):
    """A client is missing, or it could not fetch the package. Says which command failed and what to do."""


@dataclass(frozen=True)
class Package:
    """One package: its registry, its name there, and the version asked for ('' = what the distribution has)."""

    kind: Literal["deb", "npm", "pypi"]
    name: str
    version: str = ""

    @property
    def folder(self) -> str:
        """Name of the folder that it is kept in."""
        return f"{self.kind}-{self.name.lstrip('@').replace('/', '-')}"


OPENCLIPART_PNG = Package("deb", "openclipart-png")
OPENCLIPART_SVG = Package("deb", "openclipart-svg")
TUXPAINT = Package("deb", "tuxpaint-stamps-default")
WORDS = Package("deb", "wamerican")
FLUENT = Package("npm", "@lobehub/fluent-emoji-3d", "1.1.0")
CLDR = Package("npm", "cldr-annotations-full", "48.2.0")
SKIMAGE = Package("pypi", "scikit-image", "0.26.0")


def fetch(package: Package, cache: Path) -> Path:
    """The folder that holds the unpacked `package`, downloaded into `cache` unless it is there already.

    Raises PackageError when the client is missing or fails.
    """
    home = cache / package.folder
    unpacked = home / "unpacked"
    if unpacked.is_dir():
        return unpacked
    home.mkdir(parents=True, exist_ok=True)
    archive = _download(package, home)
    partial = home / "unpacked.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    _unpack(package.kind, archive, partial)
    partial.rename(unpacked)  # a folder named `unpacked` is complete
    return unpacked


def _download(package: Package, home: Path) -> Path:
    suffix = {"deb": ".deb", "npm": ".tgz", "pypi": ".whl"}[package.kind]
    if not list(home.glob(f"*{suffix}")):
        _run(_command(package), home)
    found = sorted(home.glob(f"*{suffix}"))
    if not found:
        raise PackageError(f"{' '.join(_command(package))} succeeded but left no *{suffix} in {home}")
    return found[-1]


def _command(package: Package) -> list[str]:
    versioned = {"deb": "=", "npm": "@", "pypi": "=="}[package.kind].join(filter(None, (package.name, package.version)))
    if package.kind == "deb":
        return [_client("apt-get", "any Debian or Ubuntu has it"), "download", versioned]
    if package.kind == "npm":
        return [_client("npm", "apt-get install npm"), "pack", "--silent", versioned]
    return [*_pip(), "download", "--no-deps", "--only-binary=:all:", "--quiet", versioned]


def _client(program: str, remedy: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise PackageError(f"{program!r} is needed to download the packages and is not on PATH ({remedy})")
    return path


def _pip() -> list[str]:
    """pip of this environment, or else any pip: an environment made by uv has none of its own."""
    module = [sys.executable, "-m", "pip"]
    if subprocess.run([*module, "--version"], capture_output=True, check=False).returncode == 0:
        return module
    return [shutil.which("pip3") or _client("pip", "apt-get install python3-pip")]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        hint = "; run `apt-get update` first if its lists are old" if "apt-get" in command[0] else ""
        raise PackageError(f"{' '.join(command)} failed with {done.returncode}{hint}:\n{done.stderr.strip()}")


def _unpack(kind: str, archive: Path, target: Path) -> None:
    if kind == "deb":
        _run(
            [_client("dpkg", "any Debian or Ubuntu has it"), "-x", str(archive.resolve()), str(target.resolve())],
            target,
        )
    elif kind == "npm":
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")  # refuses absolute paths and links that lead out
    else:
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)
