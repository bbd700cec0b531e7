"""Text detectors from a user's ONNX file: each head's map to regions, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.errors import ModelError
from curate.models.text_detector import RapidDetector, text_detector


def network(path: Path, head: str) -> str:
    """An ONNX file whose map says 'text' where the frame is dark, at a quarter of its resolution."""
    from onnx import TensorProto, helper, save

    four = helper.make_tensor("four", TensorProto.FLOAT, [], [-4.0])
    nodes = [
        helper.make_node("AveragePool", ["frame"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("ReduceMean", ["small"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["grey", "four"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["chance"]),
        helper.make_node("Concat", ["chance", "chance"], ["both"], axis=1),
        helper.make_node("Transpose", ["both"], ["last"], perm=[0, 2, 3, 1]),
    ]
    name, shape = {"db": ("chance", [1, 1, 128, 128]), "fast": ("logits", [1, 1, 128, 128])}.get(
        head, ("last", [1, 128, 128, 2])
    )
    frame = helper.make_tensor_value_info("frame", TensorProto.FLOAT, [1, 3, 512, 512])
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, head, [frame], [output], [four])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return f"file:{path}"


@pytest.mark.parametrize("head", ["db", "fast", "craft"])
def test_a_map_becomes_regions_of_their_full_size(head: Any, tmp_path: Path) -> None:
    pixels = np.full((512, 512, 3), 255, np.uint8)
    pixels[128:180, 100:300] = 0
    pixels[400:402, 400:402] = 0  # too thin to be text
    quads, scores = text_detector(network(tmp_path / f"{head}.onnx", head), head)(pixels)
    growth = {"db": 32, "fast": 16, "craft": 14}[head]  # what the head adds on each side, in px
    assert quads.shape == (1, 4, 2)
    assert quads[0].min(axis=0) == pytest.approx([100 - growth, 128 - growth], abs=5)
    assert quads[0].max(axis=0) == pytest.approx([300 + growth, 180 + growth], abs=5)
    assert scores[0] > 0.9
    nothing = text_detector(network(tmp_path / f"{head}.onnx", head), head)(np.full((512, 512, 3), 255, np.uint8))
    assert (nothing.quads.shape, nothing.scores.shape) == ((0, 4, 2), (0,))


def test_a_network_that_changes_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    pixels = np.full((512, 512, 3), 255, np.uint8)
    pixels[128:180, 100:300] = 0
    assert (text_detector(network(path, "db"))(pixels).scores < 1).all()  # probabilities
    assert (text_detector(network(path, "fast"))(pixels).scores > 1).all()  # logits


def test_a_detector_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"no")
    (tmp_path / "broken.onnx").write_bytes(b"no")
    with pytest.raises(ModelError, match="file of an ONNX model"):
        text_detector(f"file:{tmp_path}/weights.pt")
    with pytest.raises(ModelError, match="no ONNX model that can be run"):
        text_detector(f"file:{tmp_path}/broken.onnx")
    spec = network(tmp_path / "fast.onnx", "fast")
    with pytest.raises(ModelError, match="none of the head 'craft'"):
        text_detector(spec, "craft")(np.zeros((512, 512, 3), np.uint8))


def test_a_strip_of_a_million_pixels_has_no_text() -> None:
    found = RapidDetector(480)(np.full((1, 1_000_000, 3), 255, np.uint8))
    assert found.quads.shape == (0, 4, 2)
