"""Copy descriptors: the files that a user can bring are opened for real; tiny ones are made here."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage.data
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import resnet18, resnet50
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

from curate.contracts import Batch
from curate.errors import ModelError
from curate.models.descriptor import MEAN, STD, image_descriptor
from stages.signals.copies import CopyDescriptor

PHOTOS = ["astronaut", "chelsea", "coffee"]


def photos() -> list[Image.Image]:
    return [Image.fromarray(getattr(skimage.data, name)()) for name in PHOTOS]


def tiny_onnx(path: Path, side: int = 64) -> Path:
    """Means over a grid of 4x4, centred: a descriptor of 48 numbers that bears small changes."""
    pooled = helper.make_node("AveragePool", ["image"], ["grid"], kernel_shape=[side // 4] * 2, strides=[side // 4] * 2)
    flat = helper.make_node("Reshape", ["grid", "shape"], ["flat"])
    mean = helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1], keepdims=1)
    centred = helper.make_node("Sub", ["flat", "mean"], ["descriptor"])
    graph = helper.make_graph(
        [pooled, flat, mean, centred],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("descriptor", TensorProto.FLOAT, [1, 48])],
        [numpy_helper.from_array(np.array([1, 48], np.int64), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def test_an_onnx_file(tmp_path: Path) -> None:
    step = CopyDescriptor(model=f"file:{tiny_onnx(tmp_path / 'tiny.onnx')}", side=64, dim=48)
    images = photos()
    upload = images[1].resize((300, 210))
    found = np.asarray(step.compute(Batch({}, images=[*images, upload]))["copy_descriptor"], np.float32)
    assert step.gives()["copy_descriptor"].list_size == 48
    assert np.linalg.norm(found, axis=1).tolist() == pytest.approx([1] * 4, abs=1e-3)
    cosines = found @ found.T
    assert cosines[1, 3] > 0.999
    assert cosines[0, 1] < 0.75 and cosines[0, 2] < 0.75
    values = (np.asarray(images[0].resize((64, 64), Image.Resampling.BILINEAR)) / 255 - MEAN) / STD
    expected = values.reshape(4, 16, 4, 16, 3).mean(axis=(1, 3)).transpose(2, 0, 1).ravel()
    expected = (expected - expected.mean()) / np.linalg.norm(expected - expected.mean())
    assert found[0].tolist() == pytest.approx(expected.tolist(), abs=2e-3)


def test_prepared_on_a_worker_is_the_same(tmp_path: Path) -> None:
    step = CopyDescriptor(model=f"file:{tiny_onnx(tmp_path / 'tiny.onnx')}", side=64, dim=48)
    prepared = np.stack([np.asarray(step.prepare(image)) for image in photos()])
    a = step.compute(Batch({}, prepared=prepared))["copy_descriptor"]
    b = step.compute(Batch({}, images=photos()))["copy_descriptor"]
    assert np.array_equal(np.asarray(a), np.asarray(b))
    assert step.models() == (step.model,)


@pytest.mark.parametrize("suffix", [".torchvision.pt", ".safetensors"])
def test_a_state_dict_as_sscd_publishes_it(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(0)
    network = resnet18(num_classes=32).eval()
    weights = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    path = tmp_path / f"sscd{suffix}"
    if suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    step = CopyDescriptor(model=f"file:{path}", side=96, dim=32)
    found = np.asarray(step.compute(Batch({}, images=photos()))["copy_descriptor"], np.float32)
    assert found == pytest.approx(original(network, photos(), 96), abs=2e-3)


def original(network: torch.nn.Module, images: list[Image.Image], side: int) -> np.ndarray:
    """SSCD's model.py and README in a few lines of torchvision."""
    network.avgpool = Gem()
    transform = Compose([Resize([side, side]), ToTensor(), Normalize(MEAN.tolist(), STD.tolist())])
    with torch.inference_mode():
        rows = network(torch.stack([transform(image) for image in images]))
    return np.asarray(torch.nn.functional.normalize(rows).numpy())


class Gem(torch.nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.flatten(2).clamp(min=1e-6).pow(3).mean(2).pow(1 / 3)[..., None, None]


@pytest.mark.slow
def test_resnet50_of_512(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = resnet50(num_classes=512).eval()
    path = tmp_path / "sscd.torchvision.pt"
    torch.save({f"backbone.{name}": value for name, value in network.state_dict().items()}, path)
    found = CopyDescriptor(model=f"file:{path}").compute(Batch({}, images=photos()))["copy_descriptor"]
    assert np.asarray(found, np.float32) == pytest.approx(original(network, photos(), 320), abs=2e-3)


def test_the_image_side_of_an_encoder() -> None:
    step = CopyDescriptor()
    found = np.asarray(step.compute(Batch({}, images=photos()))["copy_descriptor"])
    assert found.shape == (3, step.gives()["copy_descriptor"].list_size)


def test_what_is_no_descriptor(tmp_path: Path) -> None:
    scripted = tmp_path / "sscd.torchscript.pt"
    with zipfile.ZipFile(scripted, "w") as archive:  # as torch.jit.save lays it out; torch warns that it will go
        archive.writestr("archive/constants.pkl", b"")
    pickled = tmp_path / "evil.pt"
    torch.save({"a": Path("/")}, pickled)
    other = tmp_path / "other.pt"
    torch.save({"head.weight": torch.zeros(2)}, other)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    for path in (scripted, pickled, other, broken):
        with pytest.raises(ModelError, match=path.name):
            image_descriptor(f"file:{path}")
    with pytest.raises(ModelError, match="one file"):
        image_descriptor("default")
    with pytest.raises(ModelError, match="write `dim: 48`"):
        CopyDescriptor(model=f"file:{tiny_onnx(tmp_path / 'a.onnx')}", side=64).compute(Batch({}, images=photos()))
    with pytest.raises(ModelError, match="does not take"):
        image_descriptor(f"file:{tmp_path / 'a.onnx'}")(np.zeros((1, 32, 32, 3), np.uint8))
