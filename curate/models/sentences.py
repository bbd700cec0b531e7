"""Sentence embeddings by all-MiniLM-L6-v2 (Reimers & Gurevych 2019, arXiv:1908.10084; MiniLM by Wang et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from curate.errors import MissingExtra, ModelError
from curate.models.device import in_batches, pick, stacked, unit
from curate.models.specs import minilm_folder

if TYPE_CHECKING:
    import torch

DIM: Final = 384
_LENGTHS: Final = (16, 32, 64, 128)
"""Word pieces per row after padding. A text goes into the shortest that holds it and is cut at the longest, which is
where the model's training cut."""
_CPU_BATCH: Final = 16
_GPU_BATCH: Final = 256


class SentenceEncoder:
    """Mean-pooled, unit-length embeddings of 384 numbers. Open it with `sentence_encoder`."""

    dim = DIM

    def __init__(self, device: str) -> None:
        """`device`: a torch device by name. Raises MissingExtra without torch, transformers or the weights' package."""
        try:
            from safetensors.torch import load_file
            from tokenizers import Tokenizer
            from transformers import BertConfig, BertModel
        except ImportError as error:
            raise MissingExtra(str(error.name), extra="models") from error
        folder = minilm_folder()
        self.device = pick(device)
        self.batch = _GPU_BATCH if self.device.type == "cuda" else _CPU_BATCH
        model = BertModel(BertConfig.from_json_file(folder / "config.json"), add_pooling_layer=False)
        weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("pooler.")}
        weights.pop("embeddings.position_ids", None)
        model.load_state_dict(weights, strict=True)
        self._model = model.eval().requires_grad_(False).to(self.device)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_LENGTHS[-1])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """n strings to float32 (n, 384), unit rows. A row depends on its own text only, not on the others' lengths."""
        rows = np.zeros((len(texts), DIM), np.float32)
        pieces = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        fits = np.array([next(size for size in _LENGTHS if len(ids) <= size) for ids in pieces], np.int64)
        for size in _LENGTHS:
            where = np.flatnonzero(fits == size)
            if not where.size:
                continue
            tokens = np.zeros((where.size, size), np.int64)  # 0 is [PAD]
            for row, index in enumerate(where):
                tokens[row, : len(pieces[index])] = pieces[index]
            rows[where] = stacked(in_batches(tokens, self.batch, self.device, self._pool), (DIM,))
        return unit(rows)

    def _pool(self, tokens: np.ndarray) -> np.ndarray:
        """int64 (batch, L) to the mean over real tokens, float32 (batch, 384)."""
        import torch

        ids = torch.from_numpy(tokens).to(self.device)
        mask = ids != 0
        mask[:, 0] = True  # a row that only pads the batch still needs a token to attend to
        states = self._model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
        return np.asarray(_mean(states, mask).cpu().numpy())


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask.unsqueeze(-1).float()
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def sentence_encoder(spec: str = "default", device: str = "auto") -> SentenceEncoder:
    """The embedded sentence encoder, loaded once per process and device. `default` is the only one there is."""
    if spec != "default":
        raise ModelError(f"unknown sentence encoder {spec!r}; the one there is, is 'default'")
    return _open(str(pick(device)))


@lru_cache(maxsize=2)
def _open(device: str) -> SentenceEncoder:
    return SentenceEncoder(device)
