"""Image descriptors from a file: SSCD's published ResNets (Pizzi et al. 2022, arXiv:2202.10261), or any ONNX model.

A file ends in `.onnx` (one input, float32 (n, 3, S, S), RGB less ImageNet's mean over its deviation; the first output
(n, d)), or it holds the state dict of SSCD's torchvision ResNet-18 or -50 (`sscd_disc_mixup.torchvision.pt`, or the same
tensors as safetensors). TorchScript is not opened: it runs code on loading.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from curate.errors import MissingExtra, ModelError
from curate.models.device import in_batches, pick, stacked, unit, upload
from curate.models.onnx import session
from curate.models.specs import resolve

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
STD: Final = np.array([0.229, 0.224, 0.225], np.float32)
"""ImageNet's, of RGB in [0, 1]."""
GEM: Final = 3.0
"""SSCD's exponent of generalised-mean pooling."""
_CPU_BATCH: Final = 4
_GPU_BATCH: Final = 64


class Describe(Protocol):
    """Turns squares of one size into descriptors."""

    def __call__(self, prepared: np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3) to float32 (n, d) of unit length; a row depends on its own image only."""
        ...


def square(image: Image, side: int) -> np.ndarray:
    """uint8 (side, side, 3): the whole image squeezed, as SSCD recommends for batches."""
    from PIL import Image as images

    return np.asarray(image.convert("RGB").resize((side, side), images.Resampling.BILINEAR))


def image_descriptor(spec: str) -> Describe:
    """Open `file:PATH`; equal specs give the same object. Raises ModelError and MissingExtra."""
    found = resolve(spec)
    if found.kind != "file" or not found.path.is_file():
        raise ModelError(f"{spec}: a descriptor is one file, *.onnx or the state dict of SSCD's torchvision ResNet")
    return _open(found.path, found.sha256)


@lru_cache(maxsize=2)
def _open(path: Path, sha256: str) -> Describe:
    return _Onnx(path) if path.suffix == ".onnx" else _Sscd(path)


class _Onnx:
    """One image at a time: files differ in the batch they allow."""

    def __init__(self, path: Path) -> None:
        self._path, self._session = path, session(path)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, prepared: np.ndarray) -> np.ndarray:
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

        rows = []
        for pixels in prepared:
            values = ((pixels.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)[None]
            try:
                found = self._session.run(None, {self._input: np.ascontiguousarray(values)})[0]
            except (Fail, InvalidArgument, RuntimeException) as error:
                raise ModelError(f"{self._path} does not take (1, 3, S, S) floats: {str(error)[:200]}") from error
            rows.append(np.asarray(found, np.float32).reshape(-1))
        return unit(np.stack(rows)) if rows else np.zeros((0, 0), np.float32)


class _Sscd:
    """A torchvision ResNet with generalised-mean pooling and one linear layer."""

    def __init__(self, path: Path) -> None:
        self.device = pick()
        self._batch = _GPU_BATCH if self.device.type == "cuda" else _CPU_BATCH
        weights = {name.removeprefix("backbone."): value for name, value in _state(path).items()}
        self._model = _resnet(path, weights).to(self.device)
        self._dim = len(weights["fc.bias"])

    def __call__(self, prepared: np.ndarray) -> np.ndarray:
        return unit(stacked(in_batches(prepared, self._batch, self.device, self._forward), (self._dim,)))

    def _forward(self, prepared: np.ndarray) -> torch.Tensor:
        pixels = upload(prepared, self.device).permute(0, 3, 1, 2).float() / 255
        mean, std = (pixels.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        maps = self._model.features((pixels - mean) / std)
        pooled = maps.float().clamp(min=1e-6).pow(GEM).mean(dim=(2, 3)).pow(1 / GEM)
        found: torch.Tensor = self._model.fc(pooled)
        return found


def _resnet(path: Path, weights: Mapping[str, Any]) -> Any:
    """The network in evaluation mode, with `features` (maps before pooling) and `fc`."""
    try:
        import torch
        from torchvision.models import resnet18, resnet50
    except ImportError as error:
        raise MissingExtra(str(error.name), extra="models") from error
    if "fc.bias" not in weights or "conv1.weight" not in weights:
        raise ModelError(f"{path} holds no torchvision ResNet with a linear layer `fc`, as SSCD has it")
    build = resnet50 if "layer1.0.conv3.weight" in weights else resnet18
    model = build(num_classes=len(weights["fc.bias"]))
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise ModelError(f"{path} is no ResNet-18 or -50: {str(error)[:200]}") from error
    model.features = torch.nn.Sequential(*list(model.children())[:-2])
    return model.eval().requires_grad_(False)


def _state(path: Path) -> dict[str, Any]:
    """Tensors of a safetensors file, or of a state dict that torch reads without running any code in it."""
    from pickle import UnpicklingError

    try:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtra(str(error.name), extra="models") from error
    if zipfile.is_zipfile(path) and any(name.endswith("constants.pkl") for name in zipfile.ZipFile(path).namelist()):
        raise ModelError(f"{path} is TorchScript, which runs code on loading; take the state dict (.torchvision.pt)")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelError(f"{path} is no state dict: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"{path} is no state dict of tensors")
    return {str(name): value for name, value in state.items()}
