"""Opens a transformers checkpoint from a folder: safetensors only, no code from the checkpoint, nothing fetched."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from curate.errors import MissingExtra, ModelError
from curate.models import resolve
from curate.models.device import pick


@dataclass(frozen=True)
class Checkpoint:
    """A model in evaluation mode on its device, and the processor that makes its inputs."""

    model: Any
    processor: Any

    def inputs(self, **data: Any) -> Any:
        """The processor's tensors on the model's device, floating ones in the model's type."""
        return self.processor(**data, return_tensors="pt").to(self.model.device, self.model.dtype)


def family(spec: str) -> str:
    """`model_type` of the checkpoint's config.json: `blip-2`, `llava`, `owlv2`, … Raises ModelError without one."""
    config = resolve(spec).path / "config.json"
    try:
        return str(json.loads(config.read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{spec}: {config} names no model_type, so no family of models: {error!r}") from error


def load(spec: str, auto_class: str) -> Checkpoint:
    """Load with the named auto class: float32 on a CPU, bfloat16 on a GPU. Raises ModelError for what cannot be."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtra(str(error.name), extra="models") from error
    folder, device = resolve(spec).path, pick()
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    transformers.utils.logging.disable_progress_bar()  # a worker's bar over layers would garble the run's own
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        processor = transformers.AutoProcessor.from_pretrained(folder, **safe)
        kind = getattr(transformers, auto_class)
        model = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, **safe)
    except (OSError, ValueError) as error:
        raise ModelError(f"{spec}: transformers cannot load {folder}: {error}") from error
    return Checkpoint(model.to(device).eval(), processor)
