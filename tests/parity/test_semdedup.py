"""SemDeDup (facebookresearch/SemDeDup@6b419451, semdedup.py and clustering/sort_clusters.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from filters.duplicates import NotSemantic
from stages.select.balance import nearest
from stages.select.semantic import hardest_first, similarity_to_earlier


@pytest.mark.parity("semdedup_keep_rule")
def test_keep_rule(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    vectors = np.array(given["embeddings_normalised"], np.float32)
    distance = 1 - nearest(vectors, np.array([given["centroid"]], np.float32), spherical=True)[1][:, 0]
    order = hardest_first(distance)
    assert order.tolist() == expected["sorted_cluster_item_ids"]
    cosine = 1 - np.array(expected["dist_to_centroid_by_item"])  # what was computed in float32
    assert (1 - distance).tolist() == pytest.approx(cosine.tolist(), rel=1e-6, abs=1e-7)
    similarity = similarity_to_earlier(vectors[order])
    assert similarity.tolist() == pytest.approx(expected["max_sim_to_earlier"], rel=1e-6)
    for eps in given["eps"]:
        keep = NotSemantic(eps=eps)({"semdedup_similarity": similarity})
        assert order[keep].tolist() == expected["kept_item_ids"][str(eps)]
