"""SSCD (facebookresearch/sscd-copy-detection@95902662, README): descriptors with a cosine above 0.75 are copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.scan import MemoryScan
from stages.select.semantic import SemanticDuplicates


@pytest.mark.parity("sscd_copy_rule")
def test_copy_rule(case: dict[str, Any]) -> None:
    cosine = case["input"]["cosine"]
    descriptors = np.array([[1, 0], [cosine, np.sqrt(1 - cosine**2)]], np.float32)
    distance = np.linalg.norm(descriptors[0] - descriptors[1])
    assert distance == pytest.approx(case["expected"]["euclidean_distance"], rel=1e-6)
    step = SemanticDuplicates(k=1, eps=0.25, column="copy_descriptor")
    scan = MemoryScan({"copy_descriptor": descriptors})
    size = np.asarray(step.compute(scan.columns, scan.fit(step))["semantic_size"])
    assert size.tolist() == ([2, 2] if case["expected"]["copy"] else [1, 1])
