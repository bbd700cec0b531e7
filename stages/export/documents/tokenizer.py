"""Texts to token numbers: CLIP's vocabulary, which comes inside open_clip, or a `tokenizer.json`."""

from __future__ import annotations

import gzip
import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from curate.errors import MissingExtra, ModelError
from curate.models.cache import file_sha256

if TYPE_CHECKING:
    import tokenizers

DEFAULT: Final = "default"
CLIP: Final = "bpe_simple_vocab_16e6.txt.gz"
"""The byte-pair encoding of CLIP (Radford et al. 2021, section 2.4), as open_clip carries it."""
CLIP_START, CLIP_END = "<|startoftext|>", "<|endoftext|>"
_MERGES: Final = 49152 - 256 - 2
_WORDS: Final = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What CLIP merges within: contractions, words, single digits, runs of anything else; never white space."""


@dataclass(frozen=True)
class Vocabulary:
    """An open tokenizer. `size`: numbers in use are below it. `lower`: it knows texts in lower case only."""

    file: Path
    sha256: str
    size: int
    lower: bool
    model: tokenizers.Tokenizer

    def encode(self, text: str) -> np.ndarray:
        """int32 (n,). A special token's name inside a text is text: no page can end its document or fake an image."""
        ids = self.model.encode(text.lower() if self.lower else text, add_special_tokens=False).ids
        return np.array(ids, np.int32)

    def number(self, token: str) -> int:
        """Of a special token by its name. Raises ModelError if there is none: what a text could spell marks nothing."""
        special = {t.content: number for number, t in self.model.get_added_tokens_decoder().items() if t.special}
        if token not in special:
            raise ModelError(f"the tokenizer {self.file} has no special token {token!r}; it has: {', '.join(special)}")
        return int(special[token])


def tokenizer_file(spec: str) -> Path:
    """The file that a spec stands for: `default`, `file:PATH` (of a tokenizer.json or its folder), `hf:ORG/NAME`.

    Raises ModelError for an unknown spec or a missing file, MissingExtra for a package that is not installed.
    """
    scheme, _, rest = spec.partition(":")
    if spec == DEFAULT:
        package = importlib.util.find_spec("open_clip")
        if package is None or package.origin is None:
            raise MissingExtra("open-clip-torch", extra="models")
        path = Path(package.origin).parent / CLIP
    elif scheme == "file" and rest:
        path = Path(rest) / "tokenizer.json" if Path(rest).is_dir() else Path(rest)
    elif scheme == "hf" and re.fullmatch(r"[\w.-]+/[\w.-]+", rest):
        path = _from_hub(spec, rest)
    else:
        raise ModelError(f"unknown tokenizer {spec!r}: it is `default`, `file:PATH` or `hf:ORG/NAME`")
    if not path.is_file():
        raise ModelError(f"{spec}: there is no file {path}")
    return path


def _from_hub(spec: str, repository: str) -> Path:
    """The cached copy first, the network only when there is none."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtra("huggingface-hub", extra="models") from error
    try:
        try:
            return Path(hf_hub_download(repository, "tokenizer.json", local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(hf_hub_download(repository, "tokenizer.json"))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ModelError(f"{spec}: its tokenizer.json cannot be had: {error}") from error


def open_vocabulary(spec: str) -> Vocabulary:
    """Open a tokenizer, once per process while its file stays the same. Raises as `tokenizer_file` does."""
    path = tokenizer_file(spec)
    return _open(path, file_sha256(path), spec == DEFAULT)


@lru_cache(maxsize=4)
def _open(path: Path, sha256: str, clip: bool) -> Vocabulary:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra("tokenizers", extra="models") from error
    if clip:
        model = _clip(path)
    else:
        try:
            model = Tokenizer.from_buffer(path.read_bytes())  # unlike from_file it raises no bare Exception
        except ValueError as error:
            raise ModelError(f"{path} is no tokenizer.json: {error}") from error
    model.no_truncation()
    model.no_padding()
    model.encode_special_tokens = True
    size = max(model.get_vocab(with_added_tokens=True).values()) + 1
    return Vocabulary(path, sha256, size, clip, model)


def _clip(path: Path) -> tokenizers.Tokenizer:
    """CLIP's tokenizer from its list of merges: numbers go to the 256 bytes, the bytes that end a word, the merges."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : _MERGES + 1]
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    letters = _byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges), CLIP_START, CLIP_END]
    model = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges, end_of_word_suffix="</w>"))
    model.add_special_tokens([CLIP_START, CLIP_END])
    words = Split(Regex(_WORDS), behavior="removed", invert=True)
    model.pre_tokenizer = Sequence([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    return model


def _byte_letters() -> list[str]:
    """The 256 bytes as letters, in CLIP's order: printable ones stand for themselves and come first."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in own] + [chr(256 + i) for i in range(256 - len(own))]
