"""LLaVA (Liu et al. 2023, arXiv:2304.08485) and its successors: the image is a turn of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synth.backends.checkpoint import Checkpoint

PROMPT = "Describe the image in one sentence."


def ask(checkpoint: Checkpoint, images: Sequence[Any], prompt: str) -> Any:
    """Inputs of `generate`: the checkpoint's own chat template, or LLaVA 1.5's where it has none."""
    processor = checkpoint.processor
    if processor.chat_template:
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        turn = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    else:
        turn = f"USER: {processor.image_token}\n{prompt} ASSISTANT:"
    processor.tokenizer.padding_side = "left"
    return checkpoint.inputs(images=list(images), text=[turn] * len(images), padding=True)
