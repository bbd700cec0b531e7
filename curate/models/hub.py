"""Weights that live on the Hugging Face hub: the cached copy first, the network only when there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from curate.errors import MissingExtra, ModelError
from curate.models.cache import recall, remember

_WANTED: Final = ["*.safetensors", "*.json", "*.txt", "*.model", "README.md"]


def snapshot(spec: str, repository: str) -> Path:
    """Folder of a hub repository, without pickles and code. Raises ModelError if it cannot be had."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise MissingExtra("huggingface-hub", extra="models") from error
    try:
        return _cached(repository) or Path(snapshot_download(repository, allow_patterns=_WANTED))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise _unavailable(spec, error) from error


def _cached(repository: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repository, allow_patterns=_WANTED, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return folder if any(folder.glob("*.safetensors")) else None  # an interrupted download leaves a partial folder


def open_clip_weights(spec: str, arch: str, tag: str) -> Path:
    """Weights file of an open_clip tag. The place is remembered, so that only the first call imports open_clip."""
    known = recall("open_clip").get(f"{arch}/{tag}")
    if known and Path(str(known[0])).is_file():
        return Path(str(known[0]))
    try:
        from open_clip.pretrained import download_pretrained, get_pretrained_cfg, list_pretrained_tags_by_model
    except ImportError as error:
        raise MissingExtra("open-clip-torch", extra="models") from error
    config = get_pretrained_cfg(arch, tag)
    if not config:
        tags = ", ".join(list_pretrained_tags_by_model(arch)) or "none"
        raise ModelError(f"{spec}: open_clip has no weights {tag!r} for {arch}; it has: {tags}")
    try:
        path = Path(download_pretrained(config))
    except (OSError, ValueError, RuntimeError) as error:
        raise _unavailable(spec, error) from error
    remember("open_clip", f"{arch}/{tag}", [str(path.absolute())])
    return path


def _unavailable(spec: str, error: Exception) -> ModelError:
    cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        f"{spec}: the weights are not in the hub's cache and cannot be fetched ({cause}). Run once with network, or "
        "copy them here and write file:FOLDER or open_clip:ARCH@file:WEIGHTS; 'default' needs no download"
    )
