"""Fields of the source's JSON: what is there becomes a column, what is hostile becomes null."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import Batch
from stages.signals.source import SourceFields


def read(step: SourceFields, *metas: str | None) -> dict[str, list[object]]:
    found = step.compute(Batch({"meta": np.array(metas, object)}))
    return {name: pa.array(found[name], kind).to_pylist() for name, kind in step.gives().items()}


def test_scores_of_laion() -> None:
    meta = json.dumps({"punsafe": 0.25, "pwatermark": "0.75", "caption": "a cat"})
    assert read(SourceFields(), meta, "{}", None) == {"punsafe": [0.25, None, None], "pwatermark": [0.75, None, None]}


def test_text_and_numbers_are_told_apart() -> None:
    step = SourceFields(fields={"LANGUAGE": "text", "n": "number"})
    metas = ['{"LANGUAGE": "en", "n": 3}', '{"LANGUAGE": 7, "n": "three"}']
    assert read(step, *metas) == {"LANGUAGE": ["en", None], "n": [3.0, None]}


@pytest.mark.parametrize(
    "meta",
    [
        *("", "[1]", "nonsense", '{"n": NaN}', '{"n": 1e999}', '{"n": true}', '{"n": [1]}', '{"n": "inf"}'),
        '{"n": 1' + "0" * 400 + "}",
        '{"n": 1' + "0" * 5000 + "}",
        '{"n": ' * 100_000,
    ],
    ids=lambda meta: meta[:12],
)
def test_what_is_no_number_is_null(meta: str) -> None:
    assert read(SourceFields(fields={"n": "number"}), meta) == {"n": [None]}


@given(st.text())
def test_any_text_can_be_stored(text: str) -> None:
    step = SourceFields(fields={"t": "text"})
    assert read(step, json.dumps({"t": text}))["t"] == [text]
    assert read(step, '{"t": "\\ud800"}')["t"] == ["?"]
