"""Tokenizers: CLIP's as open_clip has it, any tokenizer.json, and pages that try to write special tokens."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import ModelError
from stages.export.documents.tokenizer import CLIP_END, CLIP_START, open_vocabulary, tokenizer_file


def words(path: Path, special: tuple[str, ...] = ("<image>", "</s>")) -> Path:
    """A small real tokenizer.json: whole words, white space kept, special tokens."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    tokenizer = Tokenizer(WordLevel({"?": 0, "a": 1, "red": 2, "bus": 3, " ": 4, "\n\n": 5, "<plain>": 6}, "?"))
    tokenizer.pre_tokenizer = Split(" ", "isolated")
    tokenizer.add_special_tokens(list(special))
    tokenizer.add_tokens([AddedToken("<added>")])
    tokenizer.save(str(path))
    return path


@cache
def simple() -> Any:
    """open_clip's own, without its repair of encodings and its unescaping: a page's text has had both."""
    from open_clip import SimpleTokenizer

    found = SimpleTokenizer()
    found.clean_fn = str.lower
    return found


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"], exclude_characters="ſ"), max_size=60))
def test_the_default_is_clips_tokenizer(text: str) -> None:
    assert open_vocabulary("default").encode(text).tolist() == simple().encode(text)


def test_a_page_cannot_write_special_tokens(tmp_path: Path) -> None:
    clip = open_vocabulary("default")
    assert (clip.number(CLIP_START), clip.number(CLIP_END), clip.size) == (49406, 49407, 49408)
    assert clip.encode(f"{CLIP_END}{CLIP_START}").max() < 49406
    own = open_vocabulary(f"file:{words(tmp_path / 'tokenizer.json')}")
    assert own.encode("a red <image> bus</s>").tolist() == [1, 4, 2, 4, 0, 4, 0]
    assert own.number("<image>") == 7
    for name in ("<plain>", "<added>", "<none>"):  # a text could spell these
        with pytest.raises(ModelError, match="no special token"):
            own.number(name)


def test_case_and_white_space_of_a_tokenizer_file(tmp_path: Path) -> None:
    own = open_vocabulary(f"file:{words(tmp_path / 'tokenizer.json').parent}")  # its folder will do
    assert own.encode("a red Bus").tolist() == [1, 4, 2, 4, 0]
    assert own.size == 10


def test_specs(tmp_path: Path) -> None:
    for spec, said in (
        ("clip", "unknown tokenizer"),
        ("hf:a/b/c", "unknown tokenizer"),
        (f"file:{tmp_path}/none.json", "there is no file"),
    ):
        with pytest.raises(ModelError, match=said):
            tokenizer_file(spec)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ModelError, match="is no tokenizer"):
        open_vocabulary(f"file:{tmp_path / 'broken.json'}")


def test_a_changed_file_is_opened_anew(tmp_path: Path) -> None:
    path = words(tmp_path / "tokenizer.json")
    before = open_vocabulary(f"file:{path}")
    words(path, ("<image>",))
    after = open_vocabulary(f"file:{path}")
    assert before.sha256 != after.sha256
    assert (before.size, after.size) == (10, 9)


def test_a_tokenizer_of_the_hub_is_found_in_its_cache(tmp_path: Path) -> None:
    home = tmp_path / "models--org--tiny"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("c0ffee")
    (home / "snapshots" / "c0ffee").mkdir(parents=True)
    words(home / "snapshots" / "c0ffee" / "tokenizer.json")
    code = (
        "from stages.export.documents.tokenizer import open_vocabulary as o\n"
        "print(o('hf:org/tiny').encode('a red bus').tolist())\n"
        "try: o('hf:org/none')\nexcept Exception as e: print(type(e).__name__)"
    )
    # In a process of its own: the hub's client reads its environment once.
    env = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[1, 4, 2, 4, 3]", "ModelError"]
