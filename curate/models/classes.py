"""Image classifiers in transformers' format (ViT, ConvNeXt, timm's through transformers): safetensors, no remote code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from curate.errors import MissingExtra, ModelError
from curate.models.device import in_batches, pick, stacked
from curate.models.hf import open_processor
from curate.models.specs import Resolved, current, resolve

_CPU_BATCH: Final = 8
_GPU_BATCH: Final = 256


class ImageClassifier:
    """Probabilities of a checkpoint's classes. A row of the result depends on its own image only."""

    def __init__(self, found: Resolved, device: str) -> None:
        """Raises ModelError when the folder is no image classifier, MissingExtra without transformers."""
        try:
            import transformers
        except ImportError as error:
            raise MissingExtra("transformers", extra="models") from error
        self.device = pick(device)
        self.batch = _GPU_BATCH if self.device.type == "cuda" else _CPU_BATCH
        self._processor = open_processor(found)
        try:
            self._model = transformers.AutoModelForImageClassification.from_pretrained(
                found.path, use_safetensors=True, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{found.spec}: transformers finds no image classifier in {found.path}: {error}"
            ) from error
        self._model.eval().requires_grad_(False).to(self.device)
        self.names = class_names(found.spec)
        self._independent = self._model.config.problem_type == "multi_label_classification" or len(self.names) == 1

    def probabilities(self, prepared: np.ndarray) -> np.ndarray:
        """uint8 (n, H, W, 3) of `preparer(spec)` to float32 (n, classes): rows sum to 1 but for multi-label models."""
        return stacked(in_batches(prepared, self.batch, self.device, self._batch), (len(self.names),))

    def _batch(self, prepared: np.ndarray) -> np.ndarray:
        import torch

        pixels = self._processor.normalise(torch.from_numpy(prepared).to(self.device))
        logits = self._model(pixel_values=pixels).logits.float()
        shares = logits.sigmoid() if self._independent else logits.softmax(dim=1)
        return np.asarray(shares.cpu().numpy())


def image_classifier(spec: str, device: str = "auto") -> ImageClassifier:
    """Open `hf:ORG/NAME` or `file:FOLDER`, once per process, device and content of its files."""
    return _open(current(spec), str(pick(device)))


@lru_cache(maxsize=4)
def _open(found: Resolved, device: str) -> ImageClassifier:
    return ImageClassifier(found, device)


def class_names(spec: str) -> list[str]:
    """The checkpoint's labels in the order of its outputs; no weights are read. Raises ModelError when it names none."""
    found = resolve(spec)
    config: dict[str, Any] = {}
    if found.kind == "transformers":
        config = json.loads((found.path / "config.json").read_text(encoding="utf-8"))
    labels = config.get("id2label")
    if not isinstance(labels, dict) or not labels:
        raise ModelError(f"{spec}: its configuration names no classes (id2label); is it an image classifier?")
    return [str(labels[key]) for key in sorted(labels, key=int)]


def places(spec: str, wanted: Sequence[str]) -> list[int]:
    """Numbers of the classes named so. Raises ModelError that lists the names there are."""
    names = class_names(spec)
    for name in wanted:
        if name not in names:
            raise ModelError(f"{spec} has no class {name!r}; it has {', '.join(names[:20])}")
    return [names.index(name) for name in wanted]
