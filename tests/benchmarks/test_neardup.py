"""The benchmark's truth is a comparison of all pairs, and ours keeps what it says."""

from __future__ import annotations

import tarfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import neardup
from benchmarks.data.captions_planted import KINDS, captions, groups
from stages.select.components import components

SAMPLE = Path(__file__).parents[2] / "manifests" / "sample"


def all_pairs(texts: list[str]) -> list[int]:
    split = [text.lower().split() for text in texts]
    sets = [{" ".join(words[i : i + 2]) for i in range(max(1, len(words) - 1))} if words else set() for words in split]
    near = [
        (i, j)
        for i, j in combinations(range(len(texts)), 2)
        if len(sets[i] & sets[j]) * 10 >= len(sets[i] | sets[j]) * 7 > 0
    ]
    root = list(range(len(texts)))
    for position, lowest in components([np.array(near, np.int64).reshape(-1, 2)]).tolist():
        root[position] = lowest
    return root


def test_captions_are_the_same_every_time_and_all_kinds_occur() -> None:
    texts, kinds = captions(3000)
    assert captions(1500) == (texts[:1500], kinds[:1500])
    assert captions(100, seed=1)[0] != texts[:100]
    assert {kind: kinds.count(kind) > 10 for kind in set(kinds)} == dict.fromkeys([*KINDS, "own"], True)


def test_groups_are_those_of_all_pairs() -> None:
    texts = [*captions(600)[0], "", " ", "one"]
    assert groups(texts) == all_pairs(texts)


@pytest.mark.parametrize("texts", ["planted", "sample"])
def test_ours_keeps_one_of_each_group(texts: str, tmp_path: Path) -> None:
    found = captions(4000)[0] if texts == "planted" else sample()
    path = tmp_path / "captions.parquet"
    pq.write_table(pa.table({"text": found}), path)
    kept = len(set(groups(found)))
    assert 0 < kept < len(found)
    assert neardup.ours(path, "exact")["kept"] == kept
    assert kept <= neardup.ours(path, "minhash")["kept"] < len(found)


def sample() -> list[str]:
    texts = []
    for path in sorted(SAMPLE.glob("*.tar")):
        with tarfile.open(path) as tar:
            files = [tar.extractfile(member) for member in tar if member.name.endswith(".txt")]
            texts += [file.read().decode() for file in files if file]
    return texts


def test_a_peer_that_is_not_to_be_had_is_a_line_of_its_own() -> None:
    row = {"way": "rensa", "missing": "rensa: does not install: no such thing"}
    assert neardup.line(row, 10, 1.0).split(maxsplit=1) == [
        "rensa",
        "not measured: rensa: does not install: no such thing",
    ]
