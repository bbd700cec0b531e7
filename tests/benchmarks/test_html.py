"""The comparison of extractions: its pages, and our side of it. The peers' side needs their environments."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import html
from benchmarks.peers.environment import PROJECT, run_program


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, bytes]]:
    monkeypatch.setenv("CURATE_ROOT", str(tmp_path))
    found = html.sets()
    assert list(found) == ["embedded"]  # the manual is compared only where it has been built
    return found["embedded"]


def test_ours_counts_the_images_of_each_page(embedded: list[tuple[str, bytes]], tmp_path: Path) -> None:
    assert len(embedded) == 24
    html.write(embedded[:3], tmp_path / "pages")
    command = [sys.executable, "-m", "benchmarks.peers.ours_html", str(tmp_path / "pages")]
    said, _ = run_program(command, "ours", 1, PROJECT)
    assert said["images"] == [page.count(b"<img") for _, page in embedded[:3]]
    assert said["seconds"] > 0 and said["words"] > 300


def test_both_parsers_are_timed(embedded: list[tuple[str, bytes]]) -> None:
    assert all(milliseconds > 0 for milliseconds in html.parsers(embedded[:2]).values())
