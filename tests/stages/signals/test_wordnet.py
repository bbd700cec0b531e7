"""Entities: which words name a thing of a list, in the original's way and in the mended one."""

from __future__ import annotations

import hashlib
import importlib.util
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import Batch
from curate.errors import ModelError
from stages.signals.wordnet import IMAGENET_21K, Entities, Mode, lexicon, read_synsets

DOG, CAT, WOMAN, SHIRT, CONTAINER = 2084071, 2121620, 10787470, 4197391, 2946921


def entities(text: str | None, mode: Mode = "nouns", synsets: str = "imagenet21k") -> list[int] | None:
    found = Entities(mode=mode, synsets=synsets).compute(Batch({"text": np.array([text], object)}))
    hits: list[int] | None = found["entities"][0]
    assert found["entity_count"][0] == (None if hits is None else len(hits))
    return hits


@pytest.mark.parametrize(
    ("text", "mended", "original"),
    [
        ("A dog, running.", [DOG], []),
        ("#dog/cat", [DOG, CAT], []),
        ("two DOGS and a dog", [DOG], [DOG]),
        ("a woman\u2019s shirt", [WOMAN, SHIRT], [SHIRT]),
        ("we can", [], [CONTAINER]),
        ("a tin-can", [CONTAINER], []),
        ("cerebral", [], [1927456]),
        ("", [], []),
        (None, None, None),
    ],
)
def test_both_ways(text: str | None, mended: list[int] | None, original: list[int] | None) -> None:
    assert entities(text) == mended
    assert entities(text, "datacomp") == original


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("geese", ("n", 1855672)),  # irregular
        ("went", ("v", 1835514)),
        ("happier", ("a", 1148283)),
        ("boxes", ("n", 2883344)),
        ("axes", ("n", 2764044)),  # irregular, with a lemma of its own spelling in another part of speech
        ("quickly", ("r", 85811)),
        ("qwzxs", None),
    ],
)
def test_base_forms(word: str, first: tuple[str, int] | None) -> None:
    assert lexicon().first(word) == first


def test_the_lexicon_is_wordnet_30() -> None:
    lemmas = lexicon().lemmas
    assert {part: len(words) for part, words in lemmas.items()} == {"n": 117798, "v": 11529, "a": 21479, "r": 4481}


def test_the_list_is_the_one_that_datacomp_pins() -> None:
    text = lzma.decompress(IMAGENET_21K.read_bytes())
    assert hashlib.sha256(text).hexdigest().startswith("66362bdedf36d933")
    assert len(read_synsets(IMAGENET_21K)) == 21843
    found = importlib.util.find_spec("timm")
    if found and found.submodule_search_locations:
        info = Path(found.submodule_search_locations[0]) / "data" / "_info"
        assert text == (info / "imagenet21k_goog_synsets.txt").read_bytes()


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "pets.txt"
    path.write_text("n02084071\n")
    assert entities("a dog and a cat", synsets=str(path)) == [DOG]
    before = Entities(synsets=str(path)).models()
    assert before != Entities().models()
    path.write_text("n02084071\nn02121620\n")
    assert entities("a dog and a cat", synsets=str(path)) == [DOG, CAT]


@pytest.mark.parametrize("content", [b"dog\n", b"n2084071\n", b"v02084071", b"\xff\xfe"])
def test_a_list_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="list"):
        entities("a dog", synsets=str(path))
    with pytest.raises(ModelError, match="no such file"):
        Entities(synsets=str(tmp_path / "none.txt")).models()


@given(st.lists(st.text(max_size=30), max_size=8), st.sampled_from(["nouns", "datacomp"]))
def test_a_caption_does_not_depend_on_its_batch(texts: list[str], mode: Mode) -> None:
    together = Entities(mode=mode).compute(Batch({"text": np.array([*texts, None], object)}))["entities"]
    assert together == [*(entities(text, mode) for text in texts), None]
