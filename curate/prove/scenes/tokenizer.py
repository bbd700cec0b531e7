"""A tokenizer whose tokens are the scenes' words: `tokenizer/` beside the shards, as transformers opens it.

A language model that starts from nothing and reads bytes learns to spell before anything else. Here each word of the
scenes, and nearly each of the trainer's own questions, is one token, with and without the space before it; all other text
goes byte by byte, so that any text can be said and comes back as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.prove.scenes.scene import draw_scene
from curate.prove.scenes.words import said_of

SCENES = 300
"""So many scenes use every word there is, whatever the seed of those that are written."""
END, PAD = "</s>", "<pad>"


def write_tokenizer(folder: Path) -> None:
    """Write `tokenizer.json` and its settings; always the same bytes. Needs the extra `train`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    split = pre_tokenizers.ByteLevel(add_prefix_space=False)  # GPT-2's: a word keeps the space before it
    space = "Ġ"  # GPT-2's spelling of it
    pieces = {piece for text in _texts() for piece, _ in split.pre_tokenize_str(text)}
    words = {word for piece in pieces if (word := piece.removeprefix(space)).isascii() and word.isalpha()}
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    whole = sorted({before + word for word in words for before in ("", space)} - set(letters))
    numbers = {token: number for number, token in enumerate([*letters, *whole])}
    tokenizer = Tokenizer(models.BPE(vocab=numbers, merges=[], ignore_merges=True))  # a whole word, or its bytes
    tokenizer.pre_tokenizer, tokenizer.decoder = split, decoders.ByteLevel()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "pad_token": PAD}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def _texts() -> Iterator[str]:
    """What is said of scenes, and what the trainer itself says."""
    from trainer.language import chat, referring
    from trainer.link import asking

    for number in range(SCENES):
        yield from _strings(said_of(draw_scene(0, number)))
    yield from ("User:", "Assistant:", chat.DESCRIBE, *referring.WHERE, *referring.WHAT)
    yield from (wording for task, wordings in asking.WORDINGS.items() for wording in wordings if task != "gen")


def _strings(value: Any) -> Iterator[str]:
    """All texts in a record, without the marks in them."""
    if isinstance(value, str):
        for mark in ("<image>", "<ref>", "</ref>"):
            value = value.replace(mark, "")
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
