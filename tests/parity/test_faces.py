"""The published blur of faces (rom1504/img2dataset, blurrer.py, as DataComp ran it)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stages.export.blur import datacomp_boxes


@pytest.mark.parity("datacomp_face_blur_boxes")
def test_boxes(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    boxes, longer = datacomp_boxes(np.array([given["bbox_xyxy_normalised"]]), given["width"], given["height"])
    assert boxes.tolist() == [expected["adjusted_box_px"]]
    assert longer.tolist() == [expected["diagonal_px"]]
