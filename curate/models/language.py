"""How probable a text is: one interface over the embedded n-gram model, KenLM files, and causal transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from curate.errors import MissingExtra, ModelError
from curate.models import ngram
from curate.models.device import in_batches, pick, upload
from curate.models.specs import Resolved, current

if TYPE_CHECKING:
    import torch

KENLM: Final = (".arpa", ".binary", ".bin", ".klm", ".gz")
_LENGTHS: Final = (16, 32, 64, 128)
_CPU_BATCH: Final = 8
_GPU_BATCH: Final = 128


class LanguageModel(Protocol):
    """What `language_model` opens."""

    def score(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Natural logarithm of each text's probability, float64 (n,), and how many tokens it is of, int64 (n,).

        A text's score does not depend on the others.
        """
        ...


def language_model(spec: str = "default", pieces: str | None = None, device: str = "auto") -> LanguageModel:
    """`default`: the embedded one. `file:X.arpa` (.binary, .bin, .klm, .gz): KenLM. `file:FOLDER`, `hf:ORG/NAME`: a causal LM.

    `pieces`: the tokenizer.json that a KenLM model's words come from; None: the words between white space. Opened once per
    process and content of its files. Raises ModelError, MissingExtra.
    """
    if spec == "default":
        return ngram.embedded()
    if pieces and not Path(pieces).is_file():
        raise ModelError(f"there is no tokenizer at {pieces}; give the path of a tokenizer.json")
    return _open(current(spec), current(f"file:{pieces}") if pieces else None, device)


def model_files(spec: str, pieces: str | None = None) -> tuple[str, ...]:
    """Specs of the files that the model's scores depend on."""
    if spec == "default":
        return ("language:default",)
    return (spec, f"file:{pieces}") if pieces else (spec,)


@lru_cache(maxsize=2)
def _open(found: Resolved, pieces: Resolved | None, device: str) -> LanguageModel:
    if found.path.suffix in KENLM and found.path.is_file():
        return KenLM(found.path, pieces.path if pieces else None)
    if found.kind == "transformers":
        return CausalLM(found, device)
    raise ModelError(
        f"{found.spec} is no language model: a KenLM file ({', '.join(KENLM)}) or a transformers checkpoint is one"
    )


class KenLM:
    """A KenLM model (Heafield 2011), ARPA or binary. Its file comes from whoever made it: KenLM reads binaries unchecked."""

    def __init__(self, path: Path, pieces: Path | None = None) -> None:
        """Raises MissingExtra without kenlm, ModelError for a file that it cannot read."""
        try:
            import kenlm
        except ImportError as error:
            raise MissingExtra("kenlm", extra="kenlm") from error
        try:
            self._model = kenlm.Model(str(path))
        except (OSError, RuntimeError) as error:
            raise ModelError(f"KenLM cannot read {path}: {error}") from error
        self._pieces = _tokenizer(pieces) if pieces else None

    def score(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """As `LanguageModel`; the end of the text is a token."""
        words = [text.split() for text in texts]
        if self._pieces is not None:
            words = [found.tokens for found in self._pieces.encode_batch(list(texts), add_special_tokens=False)]
        scores = [self._model.score(" ".join(text), bos=True, eos=True) * log(10) for text in words]
        return np.array(scores, np.float64), np.array([len(text) + 1 for text in words], np.int64)


class CausalLM:
    """A decoder in transformers' format: safetensors only, no remote code. Texts are cut at 128 tokens."""

    def __init__(self, found: Resolved, device: str = "auto") -> None:
        """Raises MissingExtra without transformers, ModelError for a folder that holds no causal model."""
        try:
            import transformers
        except ImportError as error:
            raise MissingExtra("transformers", extra="models") from error
        self.device = pick(device)
        self.batch = _GPU_BATCH if self.device.type == "cuda" else _CPU_BATCH
        safe = {"local_files_only": True, "trust_remote_code": False}
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(found.path, use_safetensors=True, **safe)
            tokenizer = transformers.AutoTokenizer.from_pretrained(found.path, **safe)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{found.spec}: transformers cannot load {found.path}: {error}") from error
        self._model = model.eval().requires_grad_(False).to(self.device)
        self._tokenizer = tokenizer
        self._begin = next(
            (token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None), None
        )
        if self._begin is None:
            raise ModelError(f"{found.spec}: the tokenizer has no token that begins a text (bos or eos)")

    def score(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """As `LanguageModel`; the first token is scored after the one that begins a text. The end is no token."""
        ids = [[self._begin, *self._encode(text)] for text in texts]
        lengths = np.array([len(row) for row in ids], np.int64)
        scores = np.zeros(len(ids), np.float64)
        fits = np.array([next(size for size in _LENGTHS if len(row) <= size) for row in ids], np.int64)
        for size in np.unique(fits):
            where = np.flatnonzero(fits == size)
            tokens = np.full((len(where), size), -1, np.int64)
            for row, index in enumerate(where):
                tokens[row, : lengths[index]] = ids[index]
            scores[where] = np.concatenate(list(in_batches(tokens, self.batch, self.device, self._batch)))
        return scores, lengths - 1

    def _encode(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return found[: _LENGTHS[-1] - 1]

    def _batch(self, tokens: np.ndarray) -> torch.Tensor:
        """int64 (batch, L), -1 where a text has ended, to the sums of log p, float32 (batch,)."""
        ids = upload(tokens, self.device)
        real = ids >= 0
        logits = self._model(input_ids=ids.clamp(min=0), attention_mask=real.long()).logits.float()
        scores = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:].clamp(min=0).unsqueeze(2)).squeeze(2)
        return (scores * real[:, 1:]).sum(dim=1)


def _tokenizer(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra("tokenizers", extra="models") from error
    found = Tokenizer.from_file(str(path))
    found.no_truncation()
    found.no_padding()
    return found
