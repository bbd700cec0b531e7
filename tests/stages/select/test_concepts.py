"""Concept frequency: its counts on a real run, and the pieces it is made of."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.compute as pc
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import curate
from curate.errors import RunError
from curate.inspect import Run
from stages.select.concepts import Misalignment, concept_frequency, misalignment, rank_chart, search, terms

SAMPLE = Path(__file__).parents[3] / "manifests/sample/00000.tar"
CAPTIONS = ("A cat", "Two cats and a dog", "A hot dog", "Dogs", "Nothing of note", "A cat on a hot stove")
"""Put to the sample's first images; the third and fourth are dropped by the recipe's rule."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("concepts")
    with tarfile.open(SAMPLE) as source, tarfile.open(folder / "0.tar", "w") as tar:
        images = [member for member in source if member.name.endswith(".png") and member.size > 5000]
        for number, (member, text) in enumerate(zip(images, CAPTIONS, strict=False)):
            file = source.extractfile(member)
            assert file is not None
            for name, data in ((f"{number}.png", file.read()), (f"{number}.txt", text.encode())):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    recipe = {
        "name": "concepts",
        "pool": {"step": "stages.ingest.webdataset.Webdataset", "path": f"{folder}/*.tar"},
        "signals": [
            {"step": "stages.signals.lemmas.Lemmas"},
            {"step": "stages.signals.similarity.ClipScore"},
            {"step": "stages.signals.text.CaptionStats"},
        ],
        "select": [{"step": "filters.text.CaptionLength", "min_words": 2, "max_words": 6}],
        "compute": "all",
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    root = str(folder / "root")
    return curate.open_run(curate.run(folder / "recipe.yaml", root=root, executor="inline", quiet=True)["run"])


def test_counts_of_captions_images_and_both(run: Run) -> None:
    report = concept_frequency(run, ["dog", "cat", "hot_dog", "unicorn"], min_similarity=-1)
    rows = {row["concept"]: row for row in report.table.to_pylist()}
    assert {name: row["texts"] for name, row in rows.items()} == {"cat": 3, "dog": 3, "hot_dog": 1, "unicorn": 0}
    assert rows["dog"]["texts_kept"] == 2  # 'Dogs' alone is too short for the rule
    assert all(row["images"] == 6 and row["both"] == row["texts"] for row in rows.values())
    assert report.misalignment == Misalignment(0, 6)
    assert report.table["concept"].to_pylist()[:2] == ["cat", "dog"]


def test_nothing_is_shown_beyond_every_similarity(run: Run) -> None:
    report = concept_frequency(run, ["dog"], min_similarity=1.1)
    assert report.table["images"].to_pylist() == report.table["both"].to_pylist() == [0]
    assert report.misalignment_kept == Misalignment(0, 2)


def test_images_that_show_another_concept_are_misaligned(run: Run) -> None:
    concepts = ["dog", "cat", "flag", "star", "flower", "house"]
    table = concept_frequency(run, concepts, min_similarity=-1).table
    assert pc.sum(table["both"]).as_py() == pc.sum(table["texts"]).as_py()
    seen = {least: concept_frequency(run, concepts, min_similarity=least) for least in np.linspace(0, 0.5, 6).tolist()}
    shown = [pc.sum(report.table["images"]).as_py() for report in seen.values()]
    assert shown == sorted(shown, reverse=True)
    assert any(report.misalignment.misaligned > 0 for report in seen.values())


def test_a_word_that_no_caption_has_is_dropped_as_published(run: Run) -> None:
    found = concept_frequency(run, ["dog unicorn"], min_similarity=1.1, unknown="drop").table
    assert found["texts"].to_pylist() == [3]


def test_a_run_without_the_columns_says_what_to_add(run: Run, tmp_path: Path) -> None:
    recipe = {
        "name": "bare",
        "pool": {"step": "stages.ingest.webdataset.Webdataset", "path": str(SAMPLE.parent / "00000.tar")},
        "signals": [{"step": "stages.signals.text.CaptionStats"}],
        "max_failed": 0.5,
    }
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump(recipe))
    bare = curate.run(tmp_path / "bare.yaml", root=str(tmp_path / "root"), executor="inline", quiet=True)["run"]
    with pytest.raises(RunError, match="'lemmas'"):
        concept_frequency(curate.open_run(bare), ["dog"], min_similarity=0.4)


def test_terms() -> None:
    assert terms(" Great_White  Shark ") == ["great", "white", "shark"]
    assert terms("") == []


INDEX = st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(0, 6)), max_size=4)


@given(INDEX, st.lists(st.sampled_from("abcde"), max_size=4))
def test_search_is_the_intersection(index: dict[str, list[int]], wanted: list[str]) -> None:
    everything = range(7)
    strict = [d for d in everything if wanted and all(d in index.get(term, []) for term in wanted)]
    assert search(index, wanted) == strict
    known = [term for term in wanted if term in index]
    assert search(index, wanted, "drop") == [d for d in everything if known and all(d in index[t] for t in known)]


SIDES = st.dictionaries(st.integers(0, 8), st.lists(st.integers(0, 3), min_size=1), max_size=8)


@given(SIDES, SIDES)
def test_misalignment_by_definition(images: dict[int, list[int]], texts: dict[int, list[int]]) -> None:
    found = misalignment(images, texts)
    assert found.misaligned == sum(not set(images[s]) & set(texts[s]) for s in images if s in texts)
    assert 0 <= found.degree() <= 1
    assert found.degree(100) == found.misaligned / 100


def test_the_chart_is_a_drawing() -> None:
    drawn = rank_chart({"captions": np.array([1000, 3, 0, 50]), "images": np.zeros(4, np.int64)})
    root = ElementTree.fromstring(drawn)
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len((line.get("points") or "").split()) for line in lines] == [3, 0]
    assert [text.text for text in root.findall("{http://www.w3.org/2000/svg}text")][:2] == ["captions", "images"]
