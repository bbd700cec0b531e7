"""BLIP (Li et al. 2022, arXiv:2201.12086): a text decoder that attends to the image and goes on from a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synth.backends.checkpoint import Checkpoint

PROMPT = "a picture of"
"""The captioning prompt of the paper's code, whose tokens are not part of the caption."""


def ask(checkpoint: Checkpoint, images: Sequence[Any], prompt: str) -> Any:
    """Inputs of `generate`. Its decoder stops at BERT's separator, which its generation config does not say."""
    return checkpoint.inputs(images=list(images), text=[prompt] * len(images))


def end_token(checkpoint: Checkpoint) -> int:
    """The token that ends a caption."""
    return int(checkpoint.model.config.text_config.sep_token_id)
