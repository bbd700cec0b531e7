"""CLIP-type checkpoints in transformers' format (CLIP, SigLIP and their kin): safetensors only, no remote code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from curate.errors import MissingExtra, ModelError
from curate.models.device import Precision, in_batches, pick, stacked, unit, upload
from curate.models.encoder import ImageTextEncoder
from curate.models.specs import Resolved

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

_CPU_BATCH: Final = 8
_GPU_BATCH: Final = 256
_SAFE: Final = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Processor:
    """A checkpoint's image processor without its arithmetic: resize and crop only."""

    processor: Any

    def prepare(self, image: Image) -> np.ndarray:
        """uint8 (H, W, 3)."""
        made = self.processor(image.convert("RGB"), do_rescale=False, do_normalize=False, return_tensors="np")
        pixels = np.asarray(made["pixel_values"][0]).transpose(1, 2, 0)
        return np.ascontiguousarray(pixels.round().clip(0, 255).astype(np.uint8))

    def normalise(self, prepared: torch.Tensor) -> torch.Tensor:
        """uint8 (n, H, W, 3) to float32 (n, 3, H, W), as the checkpoint's preprocessor_config.json says."""
        values = prepared.float()
        if self.processor.do_rescale:
            values = values * self.processor.rescale_factor
        if self.processor.do_normalize:
            values = (values - values.new_tensor(self.processor.image_mean)) / values.new_tensor(
                self.processor.image_std
            )
        return values.permute(0, 3, 1, 2).contiguous()


class TransformersEncoder(ImageTextEncoder):
    """Opened by `image_text_encoder("hf:…")` or `("file:…")`."""

    def __init__(self, found: Resolved, device: str, precision: Precision) -> None:
        """Raises ModelError when the folder is no checkpoint of a model with an image and a text tower."""
        transformers = _import()
        self.spec, self.device, self.precision = found.spec, pick(device), precision
        self.batch = _GPU_BATCH if self.device.type == "cuda" else _CPU_BATCH
        self._processor = open_processor(found)
        try:
            model = transformers.AutoModel.from_pretrained(found.path, use_safetensors=True, **_SAFE)
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(found.path, **_SAFE)
        except (OSError, ValueError) as error:
            raise ModelError(f"{found.spec}: transformers cannot load {found.path}: {error}") from error
        if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
            raise ModelError(f"{found.spec}: {type(model).__name__} does not embed images and texts in one space")
        self._model = model.eval().requires_grad_(False).to(self.device)
        self._context: int = model.config.text_config.max_position_embeddings
        self.dim = self.texts(["a"]).shape[1]

    def prepare(self, image: Image) -> np.ndarray:
        """uint8 (H, W, 3): the checkpoint's own resize and crop."""
        return self._processor.prepare(image)

    def images_prepared(self, prepared: np.ndarray) -> np.ndarray:
        """uint8 (n, H, W, 3) to float32 (n, d), unit rows."""
        found = in_batches(prepared, self.batch, self.device, self._image_batch, self.precision)
        return unit(stacked(found, (self.dim,)))

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """n strings to float32 (n, d), unit rows; padded to and cut at the model's context length."""
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        made = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self._context, return_tensors="np"
        )
        mask = made.get("attention_mask", np.ones_like(made["input_ids"]))
        tokens = np.stack([made["input_ids"], mask], axis=1).astype(np.int64)
        return unit(np.concatenate(list(in_batches(tokens, self.batch, self.device, self._text_batch, self.precision))))

    def _image_batch(self, prepared: np.ndarray) -> torch.Tensor:
        pixels = self._processor.normalise(upload(prepared, self.device))
        return _pooled(self._model.get_image_features(pixel_values=pixels))

    def _text_batch(self, tokens: np.ndarray) -> torch.Tensor:
        ids, mask = upload(tokens, self.device).unbind(dim=1)
        named = {"attention_mask": mask} if "attention_mask" in self._tokenizer.model_input_names else {}
        return _pooled(self._model.get_text_features(input_ids=ids, **named))


def open_processor(found: Resolved) -> Processor:
    """The checkpoint's image processor; no weights are read. Raises ModelError when it has none."""
    transformers = _import()
    try:
        return Processor(transformers.AutoImageProcessor.from_pretrained(found.path, **_SAFE))
    except (OSError, ValueError) as error:
        raise ModelError(f"{found.spec}: {found.path} holds no image processor: {error}") from error


def text_width(found: Resolved) -> int | None:
    """Width of a model that projects into no space of its own (SigLIP): its text tower's. A checkpoint's config.json leaves
    out what is its family's default, so transformers is asked. None for what has no text tower."""
    transformers = _import()
    try:
        config = transformers.AutoConfig.from_pretrained(found.path, **_SAFE)
    except (OSError, ValueError):
        return None
    text = getattr(config, "text_config", None)
    return getattr(text, "projection_size", None) or getattr(text, "hidden_size", None)


def _pooled(features: Any) -> torch.Tensor:
    """transformers 5 wraps the projected embedding in an output object; version 4 gave the tensor."""
    tensor: torch.Tensor = getattr(features, "pooler_output", features)
    return tensor


def _import() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers", extra="models") from error
    return transformers
