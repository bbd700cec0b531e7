"""Sieve (facebookresearch/SIEVE@042705a2): phrases taken out, the best of eight captions, fusion by min-max."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.scan import MemoryScan
from stages.select.fusion import Fusion
from stages.select.top import TopFraction
from stages.signals.sieve import align, clean


@pytest.mark.parity("sieve")
def test_sieve(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    if "caption" in given:
        assert clean(given["caption"], "sieve") == expected["clean"]
    elif "cosine_text_vs_generated" in given:
        found = align(np.array(given["cosine_text_vs_generated"]))
        assert (found.score, found.best) == (expected["sieve_score"], expected["best_caption_index"])
        assert found.mean == pytest.approx(expected["cap_mean"], rel=1e-6)
    else:
        scan = MemoryScan({name: np.array(given[f"{name}_scores"]) for name in ("cap", "clip")}, shards=3)
        fusion = Fusion(weights=dict(zip(("cap", "clip"), given["weights"], strict=True)), mode="sieve")
        fused = np.array(fusion.compute(scan.columns, scan.fit(fusion))["fused"], float)
        assert fused.tolist() == pytest.approx(expected["weighted_avg"], abs=1e-12)
        whole = MemoryScan({"fused": fused})
        step = TopFraction(column="fused", fraction=given["fraction"], mode="datacomp")
        state = whole.fit(step)
        assert step.bounds(state)["fused"][0] == pytest.approx(expected["threshold"], abs=1e-12)
        assert np.flatnonzero(step.apply(whole.columns, state, 0)).tolist() == expected["kept"]
