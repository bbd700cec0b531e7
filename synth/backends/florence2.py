"""Florence-2 (Xiao et al. 2023, arXiv:2311.06242): an encoder-decoder that is asked by task tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synth.backends.checkpoint import Checkpoint

PROMPT = "<CAPTION>"
"""`<DETAILED_CAPTION>` and `<MORE_DETAILED_CAPTION>` write one to a few sentences: raise max_words with them."""


def ask(checkpoint: Checkpoint, images: Sequence[Any], prompt: str) -> Any:
    """Inputs of `generate`; the processor turns the task token into its question."""
    return checkpoint.inputs(images=list(images), text=[prompt] * len(images))
