"""Captions by a vision-language model that writes tokens: what BLIP, BLIP-2, LLaVA and Florence-2 share.

A batch always has the same number of rows (the last image repeats), so that a caption's bits do not depend on how many
others came with it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curate.contracts import Columns
from curate.errors import ModelError
from curate.models.device import inference
from synth.backends import blip, blip2, florence2, llava
from synth.backends.checkpoint import Checkpoint, family, load
from synth.caption import Captioned

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

ROWS = 8
TOKENS_PER_WORD = 2.0
"""Room for max_words: English takes about 1.3 tokens a word; what is too long is cut at a word afterwards."""

Ask = Callable[[Checkpoint, Sequence[Any], str], Any]

FAMILIES: dict[str, tuple[Ask, str, int]] = {
    "blip": (blip.ask, blip.PROMPT, ROWS),
    "blip-2": (blip2.ask, blip2.PROMPT, ROWS),
    "llava": (llava.ask, llava.PROMPT, ROWS),
    "llava_next": (llava.ask, llava.PROMPT, 1),  # tokens per image follow its shape: rows would pad each other
    "llava_onevision": (llava.ask, llava.PROMPT, 1),
    "florence2": (florence2.ask, florence2.PROMPT, ROWS),
}
"""model_type -> how it is asked, what it is asked by default, rows per batch."""


class Decoding(NamedTuple):
    """How tokens are chosen. `temperature` 0: greedy. `top_p`: sampled from the fewest tokens that hold this share of the
    probability. `tokens`: least and most of a caption; None: as many as its words need."""

    temperature: float = 0.0
    top_p: float = 1.0
    tokens: tuple[int, int] | None = None


def open_generator(spec: str, prompt: str | None, max_words: int, decoding: Decoding) -> Generator:
    """Load the checkpoint behind the spec. Raises ModelError when its family is not one of FAMILIES."""
    kind = family(spec)
    if kind not in FAMILIES:
        raise ModelError(f"{spec} is a {kind!r}; captions come from {', '.join(FAMILIES)}, or from 'default'")
    ask, usual, rows = FAMILIES[kind]
    checkpoint = load(spec, "AutoModelForImageTextToText")
    generator = Generator(checkpoint, ask, usual if prompt is None else prompt, rows, max_words, decoding)
    if kind == "blip":
        generator.config.eos_token_id = blip.end_token(checkpoint)
    return generator


class Generator:
    """A captioner (`synth.caption.Captioner`) and a drawer (`synth.candidates.Drawer`) around one checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, ask: Ask, prompt: str, rows: int, max_words: int, decoding: Decoding
    ) -> None:
        self.checkpoint, self.ask, self.prompt, self.rows = checkpoint, ask, prompt, rows
        self.max_words, self.decoding = max_words, decoding
        self.config = copy.deepcopy(checkpoint.model.generation_config)
        least, most = decoding.tokens or (None, math.ceil(max_words * TOKENS_PER_WORD) + 2)
        self.config.update(do_sample=False, num_beams=1, min_new_tokens=least, max_new_tokens=most)
        self.config.update(min_length=0, max_length=None)
        self.config.update(temperature=None, top_p=None, top_k=None, early_stopping=False, length_penalty=1.0)
        self.config.update(return_dict_in_generate=True, output_logits=True)

    def candidates(self, images: Sequence[Image] | np.ndarray, seeds: np.ndarray) -> list[list[Captioned]]:
        """A caption per RGB image and seed; `seeds`: int64 (n, k)."""
        count = seeds.shape[1]
        found = self.captions([image for image in images for _ in range(count)], {}, seeds.ravel().tolist())
        return [found[start : start + count] for start in range(0, len(found), count)]

    def captions(self, images: Sequence[Image] | np.ndarray, columns: Columns, seeds: Sequence[int]) -> list[Captioned]:
        """One caption per RGB image."""
        found: list[Captioned] = []
        for start in range(0, len(images), self.rows):
            part, own = list(images[start : start + self.rows]), list(seeds[start : start + self.rows])
            missing = self.rows - len(part)
            found += self._batch(part + part[-1:] * missing, own + own[-1:] * missing)[: len(part)]
        return found

    def _batch(self, images: Sequence[Image], seeds: Sequence[int]) -> list[Captioned]:
        inputs = self.ask(self.checkpoint, images, self.prompt)
        processors = [Sampler(self.decoding, seeds)] if self.decoding.temperature else []
        with inference(self.checkpoint.model.device):
            output = self.checkpoint.model.generate(
                **inputs,
                generation_config=self.config,
                logits_processor=processors,
            )
        written = output.sequences[:, -len(output.logits) :].cpu()
        scores = _scores(written, [step.float().cpu() for step in output.logits], self.config.eos_token_id)
        tokenizer = self.checkpoint.processor.tokenizer
        texts = tokenizer.batch_decode(written, skip_special_tokens=True)
        return [Captioned(cut(text, self.max_words) or None, score) for text, score in zip(texts, scores, strict=True)]


class Sampler:
    """Sampling as a logits processor for greedy search: argmax of logits / T + Gumbel noise is a draw from the softmax.

    (Maddison et al. 2014, arXiv:1411.0030.) Each row has a generator of its own; the global one is never touched.
    """

    def __init__(self, decoding: Decoding, seeds: Sequence[int]) -> None:
        import torch

        self.decoding = decoding
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`scores`: logits (rows, vocabulary)."""
        import torch

        width = scores.shape[-1]
        noise = torch.stack([torch.empty(width).exponential_(generator=own) for own in self.generators])
        logits = nucleus(scores / self.decoding.temperature, self.decoding.top_p)
        return logits - noise.log().to(scores.device)


def nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Logits (rows, vocabulary), minus infinity outside each row's nucleus (Holtzman et al. 2020, arXiv:1904.09751):
    the fewest tokens, likeliest first, that hold `top_p` of its probability."""
    if top_p >= 1:
        return logits
    ranked, order = logits.float().softmax(-1).sort(dim=-1, descending=True, stable=True)
    outside = ranked.cumsum(-1) - ranked >= top_p
    return logits.masked_fill(outside.scatter(-1, order, outside), -math.inf)


def _scores(written: torch.Tensor, logits: Sequence[torch.Tensor], ends: int | list[int] | None) -> list[float]:
    """Geometric mean of each row's token probabilities, its end token included. `written`: (rows, steps)."""
    import torch

    stop = torch.tensor([] if ends is None else [ends] if isinstance(ends, int) else list(ends), dtype=written.dtype)
    chosen = torch.stack([step.log_softmax(-1) for step in logits], dim=1)  # (rows, steps, vocabulary)
    chosen = chosen.gather(-1, written[..., None])[..., 0]
    ended = torch.isin(written, stop).int()
    alive = (ended.cumsum(1) - ended) == 0  # up to and with the first end token
    return [float(row[mask].mean().exp()) for row, mask in zip(chosen, alive, strict=True)]


def cut(text: str, max_words: int) -> str:
    """One line of at most `max_words` words; a longer text ends at its last whole sentence, else at a word."""
    words = text.split()
    if len(words) <= max_words:
        return " ".join(words)
    ends = [i for i, word in enumerate(words[:max_words], 1) if word.endswith((".", "!", "?"))]
    return " ".join(words[: ends[-1] if ends else max_words])
