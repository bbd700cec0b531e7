"""Any open_clip model (Ilharco et al. 2021), with its own configuration, preprocessing and tokenizer."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from curate.errors import MissingExtra, ModelError
from curate.models.device import in_batches, pick, stacked, unit
from curate.models.encoder import ImageTextEncoder, Prepare
from curate.models.specs import Resolved

if TYPE_CHECKING:
    from PIL.Image import Image

_CPU_BATCH: Final = 8
_GPU_BATCH: Final = 256


class OpenClipEncoder(ImageTextEncoder):
    """Opened by `image_text_encoder("open_clip:…")`."""

    def __init__(self, found: Resolved, device: str) -> None:
        """Raises ModelError when the weights do not fit the architecture."""
        self.spec, self.device = found.spec, pick(device)
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
        self._mean, self._std = (np.array(_preprocessing(found)[key], np.float32) for key in ("mean", "std"))
        self.dim = self.texts(["a"]).shape[1]

    def prepare(self, image: Image) -> np.ndarray:
        """uint8 (H, W, 3): open_clip's own resize and crop."""
        return self._prepare(image)

    def images_prepared(self, prepared: np.ndarray) -> np.ndarray:
        """uint8 (n, H, W, 3) to float32 (n, d), unit rows."""
        return unit(stacked(in_batches(prepared, self.batch, self.device, self._image_batch), (self.dim,)))

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """n strings to float32 (n, d), unit rows; cut at the model's context length."""
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        tokens = self._tokenizer(list(texts)).numpy()
        return unit(np.concatenate(list(in_batches(tokens, self.batch, self.device, self._text_batch))))

    def _image_batch(self, prepared: np.ndarray) -> np.ndarray:
        import torch

        pixels = (prepared.astype(np.float32) / 255 - self._mean) / self._std
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(self.device)
        return np.asarray(self._model.encode_image(images).float().cpu().numpy())

    def _text_batch(self, tokens: np.ndarray) -> np.ndarray:
        import torch

        return np.asarray(self._model.encode_text(torch.from_numpy(tokens).to(self.device)).float().cpu().numpy())


def architecture(spec: str) -> str:
    """What open_clip calls the model: `ViT-B-32`, or `local-dir:FOLDER`."""
    rest = spec.removeprefix("open_clip:")
    return rest if rest.startswith("local-dir:") else rest.partition("@file:")[0].partition("/")[0]


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
