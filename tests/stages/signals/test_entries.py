"""The signal: entries by caption, by language, and a fingerprint that knows the metadata's content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curate.contracts import Batch
from curate.fingerprint import fingerprint
from stages.signals.entries import Entries
from stages.signals.metadata import entry_names


def found(step: Entries, texts: list[str | None], lang: list[str | None] | None = None) -> list[list[int] | None]:
    columns = {"text": np.array(texts, object)}
    if lang is not None:
        columns["lang"] = np.array(lang, object)
    return list(step.compute(Batch(columns))["entries"])


@pytest.fixture
def languages(tmp_path: Path) -> Path:
    (tmp_path / "de.txt").write_text("Hund\nkleiner Hund\n")
    (tmp_path / "en.txt").write_text("dog\nsmall dog\ncat\n")
    (tmp_path / "README").write_text("no metadata")
    return tmp_path


def test_the_default_is_wordnet() -> None:
    names = entry_names()
    mentioned = found(Entries(), ["A photograph of a Corgi in New York", "qqq", "", None])
    assert {"photograph", "corgi", "new york", "york"} <= {names[i] for i in mentioned[0] or []}
    assert mentioned[1:] == [[], [], None]


def test_a_folder_matches_by_language_and_numbers_through(languages: Path) -> None:
    step = Entries(metadata=str(languages), mode="v2")
    assert step.inputs() == ("text", "lang")
    texts: list[str | None] = ["ein kleiner Hund", "a small dog", "Hund dog", "Hund", None, "dog"]
    assert found(step, texts, ["de", "en", "en", "fr", "de", None]) == [[0, 1], [2, 3], [2], [], None, []]
    (languages / "other.json").write_text('["Hund"]')
    assert found(step, texts, ["de", "en", "en", "fr", "de", None]) == [[0, 1], [2, 3], [2], [5], None, []]


def test_the_mode_decides(tmp_path: Path) -> None:
    path = tmp_path / "entries.txt"
    path.write_text("dog\nC++\n")
    of = {mode: found(Entries(metadata=str(path), mode=mode), ["Dog, C++code"])[0] for mode in ("unicode", "v1", "v2")}
    assert of == {"unicode": [0, 1], "v1": [], "v2": [1]}


def test_changed_metadata_is_another_fact_and_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "entries.txt"
    path.write_text("dog\n")
    step = Entries(metadata=str(path))
    before, first = fingerprint(step, {}), found(step, ["a cat"])
    path.write_text("dog\ncat\n")
    assert first == [[]]
    assert found(step, ["a cat"]) == [[1]]
    assert fingerprint(step, {}) != before
