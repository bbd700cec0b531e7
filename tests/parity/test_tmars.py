"""T-MARS (locuslab/T-MARS@73752177): where an image lies in the detector's frame, and which regions count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.models.text_detector import FAST_KERNEL
from stages.signals.tmars import SIDE, Frame, MaskedSimilarity


@pytest.mark.parity("tmars_text_detection_geometry")
def test_geometry(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    if not given:  # the detector's thresholds
        step = MaskedSimilarity()
        assert (step.min_score, step.min_area) == (expected["min_score"], expected["min_area"])
        assert (expected["short_size"], expected["kernel_logit_threshold"]) == (SIDE, FAST_KERNEL)
        return
    frame = Frame(given["width"], given["height"], given["size"])
    assert list(frame.padding) == expected["padding_ltrb_px"]
    longer = max(frame.width, frame.height)
    assert [side / longer for side in frame.padding] == pytest.approx(expected["padding_fraction"])
    assert frame.scale == pytest.approx(expected["scale"])
    point = frame.to_image(np.array(expected["example_point_512"]))
    assert point.tolist() == pytest.approx(expected["example_point_original"])
