"""MMC4's assignment of images to sentences (allenai/mmc4@5304ddd7, scripts/compute_assignments.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stages.documents.mmc4 import assign


@pytest.mark.parity("mmc4_assignment")
def test_assignment(case: dict[str, Any]) -> None:
    similarity = np.array(case["input"]["similarity_matrix_images_x_sentences"])
    matched = assign(similarity)
    assert matched.tolist() == case["expected"]["matched_text_index"]
    assert similarity[np.arange(len(matched)), matched].tolist() == case["expected"]["matched_sim"]
