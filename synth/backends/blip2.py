"""BLIP-2 (Li et al. 2023, arXiv:2301.12597): a frozen language model continues the prompt after 32 query tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synth.backends.checkpoint import Checkpoint

PROMPT = "a photo of"
"""The captioning prompt of the paper, section 4.2."""


def ask(checkpoint: Checkpoint, images: Sequence[Any], prompt: str) -> Any:
    """Inputs of `generate`: the image's query tokens, then the prompt."""
    if checkpoint.processor.num_query_tokens is None:  # checkpoints saved before transformers 4.46 do not state it
        checkpoint.processor.num_query_tokens = checkpoint.model.config.num_query_tokens
    return checkpoint.inputs(images=list(images), text=[prompt] * len(images))
