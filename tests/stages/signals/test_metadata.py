"""Metadata files: read as written, refused when wrong, and made from WordNet, a corpus and titles."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data.packages import Package, PackageError, fetch
from curate.errors import ModelError
from stages.signals.metadata import (
    EMBEDDED,
    NgramCounts,
    entry_names,
    main,
    metadata_files,
    read_entries,
    union,
    wordnet_names,
)

NOUNS = """\
  1 This software and database is being provided to you, the LICENSEE, by
00001740 03 n 01 entity 0 003 ~ 00001930 n 0000 ~ 00002137 n 0000 ~ 04424418 n 0000 | that which is perceived
07676602 13 n 06 frank 0 frankfurter 0 hotdog 0 hot_dog 1 dog 0 wiener 0 000 | a smooth-textured sausage
09119277 15 n 02 New_York 0 New_York_City 0 000 | the largest city
15159819 28 n 01 A.D. 0 000 | in the Christian era
00013662 00 s 01 galore(ip) 0 000 | in great numbers
"""


def test_a_synset_is_named_by_its_first_lemma_up_to_the_full_stop() -> None:
    found = list(wordnet_names(NOUNS.splitlines()))
    assert found == ["entity", "frank", "new york", "a", "galore"]


def test_the_union_has_the_numbers_and_no_bare_punctuation() -> None:
    assert union(["dog", "", "!", "..."], ["dog", "7"]) == sorted({*map(str, range(100)), "dog", "..."})


def test_the_embedded_list_has_its_licence_beside_it() -> None:
    assert "Princeton University" in (EMBEDDED.parent / "WORDNET-LICENSE.txt").read_text()
    assert EMBEDDED.stat().st_size < 1_000_000


@pytest.mark.slow
def test_the_embedded_list_is_made_of_wordnet(tmp_path: Path) -> None:
    try:
        folder = fetch(Package("deb", "wordnet-base"), tmp_path) / "usr/share/wordnet"
    except PackageError as error:
        pytest.skip(f"WordNet 3.0 cannot be fetched here: {error}")
    main(["--wordnet", str(folder), "--out", str(tmp_path / "entries.txt")])
    assert read_entries(tmp_path / "entries.txt") == entry_names()


def test_files_are_read_as_written(tmp_path: Path) -> None:
    text, listed = tmp_path / "en.txt", tmp_path / "ja.json"
    text.write_text("dog \nhot dog\n  \n犬\r\n", newline="")
    listed.write_text(json.dumps(["犬", "dog\nhouse"]))
    assert read_entries(text) == ["dog ", "hot dog", "  ", "犬\r"]
    assert read_entries(listed) == ["犬", "dog\nhouse"]
    assert list(metadata_files(str(tmp_path))) == ["en", "ja"]
    assert len(entry_names(str(tmp_path))) == 6
    assert metadata_files(str(text)) == {"": text}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"dog\n\ncat\n", "entry 2 is empty"),
        (b"dog\ncat\ndog\n", "entry 3 repeats entry 1, 'dog'"),
        (b"\xff\xfe", "cannot be read"),
        (b"", "entry 1 is empty"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=said):
        read_entries(path)


def test_a_wrong_list_or_none(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('{"dog": 1}')
    (tmp_path / "list.txt.xz").write_bytes(b"not compressed")
    for name, said in (("list.json", "no list of strings"), ("list.txt.xz", "cannot be read")):
        with pytest.raises(ModelError, match=said):
            read_entries(tmp_path / name)
    with pytest.raises(ModelError, match="no such file"):
        metadata_files(str(tmp_path / "nothing"))


WORDS = st.lists(st.lists(st.sampled_from(["a", "B", "dog", ",", "hot"]), max_size=12), max_size=12)


@given(WORDS, st.integers(1, 4), st.floats(-1, 3))
@settings(max_examples=25, deadline=None)
def test_words_and_bigrams_of_a_corpus(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]], least: int, pmi: float
) -> None:
    counts = NgramCounts(tmp_path_factory.mktemp("ngrams"))
    ones: Counter[str] = Counter()
    twos: Counter[tuple[str, str]] = Counter()
    for text in texts:
        counts.add(" ".join(text))
        ones.update(word for word in text if word != ",")
        twos.update(pair for pair in pairwise(text) if "," not in pair)
    assert counts.words(least) == sorted(word for word, n in ones.items() if n >= least)
    total = sum(ones.values())
    wanted = [
        f"{a} {b}" for (a, b), n in twos.items() if n >= least and math.log2(n * total / (ones[a] * ones[b])) >= pmi
    ]
    assert counts.bigrams(pmi, least) == sorted(wanted)


def test_counts_are_exact_beyond_what_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.signals.metadata._HELD", 5)
    counts = NgramCounts(tmp_path)
    for number in range(200):
        counts.add(f"word{number % 20} again")
    assert counts.words(10) == sorted({"again", *(f"word{i}" for i in range(20))})
    assert counts.words(11) == ["again"]
    assert len(counts.bigrams(0.5, 10)) == 20


def test_the_command_joins_all_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, titles, out = (tmp_path / name for name in ("corpus.txt", "titles.txt", "entries.txt"))
    corpus.write_text("zyzzyva beetle\n" * 3 + "beetle of the field\n" * 9)
    titles.write_text("A Field Guide to Zyzzyvas\n")
    main(["--corpus", str(corpus), "--min-count", "3", "--min-pmi", "1", "--titles", str(titles), "--out", str(out)])
    found = set(read_entries(out))
    assert {"A Field Guide to Zyzzyvas", "zyzzyva", "zyzzyva beetle", "of the", "new york", "42"} <= found
    assert capsys.readouterr().out.startswith(f"{len(found):,} entries in ")
