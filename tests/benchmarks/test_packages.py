"""Packages come by their ordinary clients; what is there is not fetched again, and errors say what to do."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from benchmarks.data.__main__ import main
from benchmarks.data.packages import CLDR, FLUENT, OPENCLIPART_PNG, Package, PackageError, fetch

NPM = Package("npm", "@some/package", "1.0.0")


def put_archive(cache: Path, member: str) -> None:
    """A package that was downloaded but not unpacked yet, as an interrupted call leaves it."""
    home = cache / NPM.folder
    home.mkdir(parents=True)
    with tarfile.open(home / "some-package-1.0.0.tgz", "w:gz") as tar:
        header = tarfile.TarInfo(member)
        header.size = 4
        tar.addfile(header, io.BytesIO(b"text"))


@pytest.mark.parametrize("package", [OPENCLIPART_PNG, CLDR, FLUENT])
def test_a_missing_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: Package) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match=r"'(apt-get|npm)' is needed .* not on PATH"):
        fetch(package, tmp_path / "cache")


def test_a_failing_client_shows_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tmp_path / "npm"
    client.write_text("#!/bin/sh\necho no such package >&2\nexit 7\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(PackageError, match=r"(?s)@some/package@1.0.0 failed with 7.*no such package"):
        fetch(NPM, tmp_path / "cache")


def test_what_is_there_needs_no_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    put_archive(tmp_path, "package/file.txt")
    first = fetch(NPM, tmp_path)
    assert (first / "package/file.txt").read_text() == "text"
    assert fetch(NPM, tmp_path) == first


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    put_archive(tmp_path, "../../escaped.txt")
    with pytest.raises(tarfile.OutsideDestinationError):
        fetch(NPM, tmp_path)
    assert not list(tmp_path.rglob("escaped.txt"))


def test_the_command_reports_and_exits_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["emoji", "--root", str(tmp_path)]) == 3
    assert "npm" in capsys.readouterr().err
