"""`python -m benchmarks`: every benchmark is found, and a wrong name is told."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import names, run


def test_benchmarks_are_found_and_programs_are_not() -> None:
    assert {"decode", "hashes", "selection", "text"} <= set(names())
    assert not {"__main__", "data", "default_encoder"} & set(names())


def test_an_unknown_name_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["nope"]) == 2
    assert "no benchmark nope; there are: " in capsys.readouterr().err
