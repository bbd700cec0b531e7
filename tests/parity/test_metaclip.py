"""MetaCLIP (facebookresearch/MetaCLIP@f47f7841): matching, balancing, the WordNet part of its metadata."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stages.select.metaclip import (
    entry_probabilities,
    keep_probabilities,
    mentions,
    tail_share,
    tail_threshold,
)
from stages.signals.matching import matcher, spaced
from stages.signals.metadata import entry_names


@pytest.mark.parity("metaclip_substring_matching_v1")
def test_matching_v1(case: dict[str, Any]) -> None:
    text, expected = case["input"]["text"], case["expected"]
    assert spaced(text) == expected["spaced_text"]
    assert matcher(case["input"]["metadata"], "v1").match(text) == expected["matched_ids"]


@pytest.mark.parity("metaclip_substring_matching_v2_worldwide")
def test_matching_v2(case: dict[str, Any]) -> None:
    found = matcher(case["input"]["metadata"], "v2").match(case["input"]["text"])
    assert found == case["expected"]["matched_ids"]


@pytest.mark.parity("metaclip_metadata_wordnet")
def test_metadata(case: dict[str, Any]) -> None:
    entries = entry_names()
    if "n_entries" in case["expected"]:
        assert len(entries) == len(set(entries)) == case["expected"]["n_entries"]
    else:
        assert (case["input"]["entry"] in entries) == case["expected"]["present"]


@pytest.mark.parity("metaclip_balancing")
def test_balancing(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    if "prob" in expected:
        assert entry_probabilities(np.array(given["counts"]), given["t"]).tolist() == expected["prob"]
    elif "p" in expected:
        assert tail_share(np.array(given["counts"]), 20_000) == expected["p"]
    elif "t" in expected:
        assert tail_threshold(np.array(given["counts"]), given["p"]) == expected["t"]
    elif "keep_prob" in expected:
        probabilities = entry_probabilities(np.array(given["counts"]), given["t"])
        rows, entries = mentions([given["matched_ids"]])
        found = keep_probabilities(rows, probabilities[entries], 1)
        assert found[0] == pytest.approx(expected["keep_prob"], rel=1e-12)
    else:
        pairs, draws = np.array(given["inverted_index_entry_text"]), np.array(given["uniform_draw_per_row"])
        probabilities = entry_probabilities(np.array(given["entry_count"]), given["t"])
        drawn = (
            draws < probabilities[pairs[:, 0]]
        )  # one draw per mention, as the original; each is then sure or hopeless
        by_text = np.argsort(pairs[:, 1], kind="stable")
        kept = keep_probabilities(pairs[by_text, 1], drawn[by_text].astype(float), pairs[:, 1].max() + 1)
        assert np.flatnonzero(kept).tolist() == expected["kept_text_offsets_sorted_unique"]
