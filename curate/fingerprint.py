"""What a stored fact depends on, as one hash: its step, version, configuration, weights and inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.catalog import step_path
from curate.contracts import PoolFact, Signal


def digest(value: Any) -> str:
    """32 hexadecimal digits of the sha256 of canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fingerprint(step: Signal | PoolFact, inputs: Mapping[str, str], context: Sequence[Any] = ()) -> str:
    """Fingerprint of a configured step.

    `inputs`: column -> fingerprint of the step that gives it. `context`: what else its output depends on (the decode
    limit of images, the seed of a step that draws).
    """
    config = step.model_dump(mode="json", exclude={"name", "rename", *(["on"] if step.on is None else [])})
    files = [_weights(spec) for spec in step.models()] if isinstance(step, Signal) else _contents(step.files())
    return digest([step_path(step), step.version, config, files, dict(inputs), list(context)])


def _contents(paths: Sequence[str]) -> list[str]:
    from curate.models.cache import file_sha256

    return [file_sha256(Path(path)) for path in paths]


def _weights(spec: str) -> str:
    from curate.models import resolve

    return resolve(spec).sha256
