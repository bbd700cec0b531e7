"""Concept frequency (bethgelab/frequency_determines_performance@11ef009f)."""

from __future__ import annotations

from typing import Any

import pytest

from stages.select.concepts import Misalignment, misalignment, search, terms

SIZES = {
    "cc3m": 3_318_333,
    "cc12m": 12_423_374,
    "yfcc15m": 14_825_236,
    "laion400m": 414_080_000,
    "laion_aesthetics": 161_100_000,
}
"""Samples of the data sets, as the original states them."""


@pytest.mark.parity("concept_frequency_search")
def test_concepts(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    if "inverted_index" in given:
        found = search(given["inverted_index"], given["search_terms"], unknown="drop")
        assert found == expected["documents"]
        assert len(found) == expected["count"]
    elif "class" in given:
        assert terms(given["class"]) == expected["terms"]
    elif "image_concepts" in given:
        images, texts = ({int(k): v for k, v in given[side].items()} for side in ("image_concepts", "text_concepts"))
        apart = misalignment(images, texts)
        assert apart.misaligned == expected["misaligned"]
        assert apart.degree() == expected["ratio_extracted"]
        assert apart.degree(given["dataset_size"]) == expected["ratio_fixed"]
    else:  # published counts: what can be checked here is that our degrees are the published ones
        degrees = [value for name, value in expected.items() if name.startswith("misalignment_degree")]
        count = expected["misalignment_counts"]
        extracted = Misalignment(count, round(count / degrees[0]))
        assert extracted.degree() == pytest.approx(degrees[0], rel=1e-9)
        assert extracted.degree(SIZES[given["dataset"]]) == pytest.approx(degrees[1], rel=1e-12)
