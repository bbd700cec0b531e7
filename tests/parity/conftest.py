"""Published behaviour as fixtures: `pytest tests/parity --fixtures DIR` runs any folder of such files.

A file is a list of {source, case, input, expected[, note]}. A test that takes `case` and is marked
`@pytest.mark.parity("file's name")` runs once per case of that file: it calls the product's public functions, never a
copy of their logic. `test_every_file_is_adapted` fails for a file that no test claims.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "fixtures"
VARIABLE = "PARITY_FIXTURES"
"""Carries the folder to the workers of pytest-xdist."""
CLAIMED = pytest.StashKey[set[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """pytest has a flag of that name, which lists its own fixtures: with a folder behind it, the folder is meant."""
    words = [str(word) for word in config.invocation_params.args]
    after = words[words.index("--fixtures") + 1 :][:1] if "--fixtures" in words else []
    if after and not after[0].startswith("-") and config.option.showfixtures:
        config.option.showfixtures = False
        config.args.remove(after[0])
        os.environ[VARIABLE] = str(Path(after[0]).absolute())


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "parity(file): runs once per case of the fixture file of that name")
    config.stash[CLAIMED] = set()


def folder() -> Path:
    """Where the fixture files are."""
    path = Path(os.environ.get(VARIABLE, HERE))
    if not path.is_dir():
        raise pytest.UsageError(f"--fixtures {path}: there is no such folder")
    return path


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fixture_file" in metafunc.fixturenames:
        names = sorted(path.stem for path in folder().glob("*.json"))
        metafunc.parametrize("fixture_file", names)
    marker = metafunc.definition.get_closest_marker("parity")
    if marker is None:
        return
    name = marker.args[0]
    metafunc.config.stash[CLAIMED].add(name)
    path = folder() / f"{name}.json"
    cases = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    metafunc.parametrize("case", [pytest.param(case, id=case["case"]) for case in cases])


@pytest.fixture
def claimed(request: pytest.FixtureRequest) -> set[str]:
    """Fixture files that a collected test runs."""
    return request.config.stash[CLAIMED]
