"""Any open_clip model (Ilharco et al. 2021), with its own configuration, preprocessing and tokenizer."""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from curate.errors import MissingExtra, ModelError
from curate.models.device import Precision, in_batches, pick, stacked, unit, upload
from curate.models.encoder import ImageTextEncoder, Prepare
from curate.models.specs import Resolved

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

_CPU_BATCH: Final = 8
_GPU_BATCH: Final = 256


class OpenClipEncoder(ImageTextEncoder):
    """Opened by `image_text_encoder("open_clip:…")`."""

    def __init__(self, found: Resolved, device: str, precision: Precision) -> None:
        """Raises ModelError when the weights do not fit the architecture."""
        self.spec, self.device, self.precision = found.spec, pick(device), precision
        self.batch = _GPU_BATCH if self.device.type == "cuda" else _CPU_BATCH
        open_clip = _import()
        name = architecture(found.spec)
        weights = None if name.startswith("local-dir:") else str(found.path)
        try:
            model = open_clip.create_model(name, pretrained=weights, require_pretrained=True, pretrained_hf=False)
            self._tokenizer = open_clip.get_tokenizer(name)
        except pickle.UnpicklingError as error:
            cause = "it is a pickle that needs code to load; only plain tensors are read, convert it to safetensors"
            raise ModelError(f"{found.spec}: {found.path} is refused: {cause}") from error
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(f"{found.spec}: open_clip cannot load {found.path}: {error}") from error
        self._model = model.eval().requires_grad_(False).to(self.device)
        self._prepare = open_preparer(found)
        constants = (np.array(_preprocessing(found)[key], np.float32) for key in ("mean", "std"))
        self._mean, self._std = (upload(constant, self.device) for constant in constants)
        self.dim = self.texts(["a"]).shape[1]

    def prepare(self, image: Image) -> np.ndarray:
        """uint8 (H, W, 3): open_clip's own resize and crop."""
        return self._prepare(image)

    def images_prepared(self, prepared: np.ndarray) -> np.ndarray:
        """uint8 (n, H, W, 3) to float32 (n, d), unit rows."""
        found = in_batches(prepared, self.batch, self.device, self._image_batch, self.precision)
        return unit(stacked(found, (self.dim,)))

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """n strings to float32 (n, d), unit rows; cut at the model's context length."""
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        tokens = self._tokenizer(list(texts)).numpy()
        return unit(np.concatenate(list(in_batches(tokens, self.batch, self.device, self._text_batch, self.precision))))

    def _image_batch(self, prepared: np.ndarray) -> torch.Tensor:
        pixels = upload(prepared, self.device).float().div_(255)  # normalised on the device: bytes travel, not floats
        pixels.sub_(self._mean).div_(self._std)
        encoded: torch.Tensor = self._model.encode_image(pixels.permute(0, 3, 1, 2).contiguous())
        return encoded

    def _text_batch(self, tokens: np.ndarray) -> torch.Tensor:
        encoded: torch.Tensor = self._model.encode_text(upload(tokens, self.device))
        return encoded


def architecture(spec: str) -> str:
    """What open_clip calls the model: `ViT-B-32`, or `local-dir:FOLDER`."""
    rest = spec.removeprefix("open_clip:")
    return rest if rest.startswith("local-dir:") else rest.partition("@file:")[0].partition("/")[0]


def architecture_config(found: Resolved) -> dict[str, Any]:
    """open_clip's `model_cfg` without importing it: from the folder, from the package's list of architectures, or, where
    a program has imported open_clip already, from what it may have added."""
    name = architecture(found.spec)
    if name.startswith("local-dir:"):
        return dict(json.loads((found.path / "open_clip_config.json").read_text())["model_cfg"])
    if "open_clip" in sys.modules:
        return sys.modules["open_clip"].get_model_config(name) or {}
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("open-clip-torch", extra="models")
    return dict(json.loads((Path(spec.submodule_search_locations[0]) / "model_configs" / f"{name}.json").read_text()))


def open_preparer(found: Resolved) -> Prepare:
    """open_clip's inference transform up to its pixels; normalisation stays with the model, on its device."""
    _import()
    from open_clip.transform import PreprocessCfg, image_transform_v2

    steps = image_transform_v2(PreprocessCfg(**_preprocessing(found)), is_train=False).transforms
    geometry = steps[:-3]  # what follows: mode conversion, to tensor, normalise

    def prepare(image: Image) -> np.ndarray:
        picture = image.convert("RGB")
        for step in geometry:
            picture = step(picture)
        return np.asarray(picture)

    return prepare


def _preprocessing(found: Resolved) -> dict[str, Any]:
    """open_clip's preprocessing configuration, read without building the model."""
    _import()
    from open_clip.factory import get_model_config
    from open_clip.pretrained import get_pretrained_cfg
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    name = architecture(found.spec)
    if name.startswith("local-dir:"):
        stored = json.loads((found.path / "open_clip_config.json").read_text())
        model, own = stored["model_cfg"], stored.get("preprocess_cfg", {})
    else:
        tag = found.spec.removeprefix("open_clip:").partition("@file:")[0].partition("/")[2]
        model, own = get_model_config(name), get_pretrained_cfg(name, tag) if tag else {}
    size = {"size": model["vision_cfg"].get("image_size", 224)}
    return dict(merge_preprocess_dict(merge_preprocess_dict(PreprocessCfg(), own), size))


def _import() -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise MissingExtra("open-clip-torch", extra="models") from error
    return open_clip
