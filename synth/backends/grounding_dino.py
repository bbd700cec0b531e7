"""Grounding DINO (Liu et al. 2023, arXiv:2303.05499): all phrases in one text, each followed by a full stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from curate.models.device import inference
from synth.backends.checkpoint import Checkpoint
from synth.boxes import Box, corners

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

PROMPT = "{phrase}. {phrase}."
"""Section 3.4: full stops keep phrases from attending to each other."""


def find(checkpoint: Checkpoint, image: Image, phrases: Sequence[str]) -> list[tuple[Box, float]]:
    """For each phrase the box of the query that its tokens score highest, and that score.

    A phrase beyond the text encoder's 256 tokens has score 0.
    """
    clean = [phrase.replace(".", " ") for phrase in phrases]  # a full stop would split the phrase
    text = " ".join(f"{phrase}." for phrase in clean)
    room = checkpoint.model.config.max_text_len
    inputs = checkpoint.inputs(images=image, text=text, truncation=True, max_length=room)
    with inference(checkpoint.model.device):
        output = checkpoint.model(**inputs)
    scores = output.logits[0].float().sigmoid()  # (queries, text tokens)
    boxes = output.pred_boxes[0].float()
    offsets = checkpoint.processor.tokenizer(text, return_offsets_mapping=True)["offset_mapping"][: scores.shape[1]]
    found, start = [], 0
    for phrase in clean:
        tokens = [i for i, (a, b) in enumerate(offsets) if start <= a < b <= start + len(phrase)]
        start += len(phrase) + 2
        found.append(_best(scores[:, tokens], boxes) if tokens else ((0.0, 0.0, 0.0, 0.0), 0.0))
    return found


def _best(scores: torch.Tensor, boxes: torch.Tensor) -> tuple[Box, float]:
    score, query = scores.amax(dim=1).max(dim=0)
    return corners(boxes[query].tolist()), float(score)
