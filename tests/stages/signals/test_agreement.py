"""Labels of real photos, and which of them a caption names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.contracts import Batch
from curate.models.imagenet import class_lemmas, class_names
from stages.signals.agreement import LabelAgreement, Labels, names, stem

CAT: list[dict[str, Any]] = [
    {"name": "Egyptian cat", "score": 0.5},
    {"name": "tabby", "score": 0.3},
    {"name": "pickup", "score": 0.01},
]


def agree(captions: list[str | None], labels: list[Any], **fields: Any) -> dict[str, Any]:
    columns = {}
    for name, values in (("text", captions), ("labels", labels)):
        columns[name] = np.empty(len(values), object)
        columns[name][:] = values
    return dict(LabelAgreement(**fields).compute(Batch(columns)))


def test_a_photo_agrees_with_what_it_shows() -> None:
    from skimage import data

    photos = [Image.fromarray(image()) for image in (data.chelsea, data.coffee)]
    labels = Labels(top=5).compute(Batch({}, images=photos))["labels"]
    assert pa.array(labels, Labels().gives()["labels"]).null_count == 0
    assert [len(row) for row in labels] == [5, 5]
    assert labels[1][0]["name"] == "espresso"
    found = agree(["My cats, sleeping", "A cup of coffee"], list(labels))
    assert found["label_agreement"][0] > 0.5
    assert all("cat" in name or name == "tabby" for name in found["label_matches"][0])
    swapped = agree(["A cup of coffee", "My cats, sleeping"], list(labels))
    assert swapped["label_match_count"] == [0, 0]


def test_labels_do_not_depend_on_where_they_are_prepared_or_on_neighbours() -> None:
    images = [Image.new("RGB", (300, 260), colour) for colour in ("red", "gray", "blue")]
    step = Labels()
    stack = np.stack([row for row in map(step.prepare, images) if row is not None])
    here, ahead = (step.compute(batch)["labels"] for batch in (Batch({}, images=images), Batch({}, prepared=stack)))
    alone = step.compute(Batch({}, images=images[1:2]))["labels"]
    assert here == ahead
    assert alone[0] == here[1]


@pytest.mark.parametrize(
    ("caption", "matches"),
    [
        ("An EGYPTIAN CAT on a wall", ["Egyptian cat", "tabby"]),  # tabby cat is a cat too
        ("two cats' toys", ["Egyptian cat", "tabby"]),
        ("a tabby", ["tabby"]),
        ("Egyptian pyramids", []),
        ("a catalogue", []),
        ("pickup trucks", ["pickup"]),
        ("", []),
    ],
)
def test_a_label_is_named_by_its_synonyms_and_its_kind(caption: str, matches: list[str]) -> None:
    found = agree([caption], [CAT])
    assert found["label_matches"] == [matches]
    assert found["label_match_count"] == [len(matches)]
    assert found["label_agreement"][0] == pytest.approx(sum(row["score"] for row in CAT if row["name"] in matches))


def test_only_labels_that_count_are_looked_at() -> None:
    assert agree(["a pickup"], [CAT], top=2)["label_matches"] == [[]]
    assert agree(["a pickup"], [CAT], min_score=0.1)["label_matches"] == [[]]
    nothing = agree([None, "a cat"], [CAT, []])
    assert nothing["label_agreement"] == [None, 0]
    assert nothing["label_matches"] == [None, []]
    for name, kind in LabelAgreement().gives().items():
        assert pa.array(nothing[name], kind).type == kind


@pytest.mark.parametrize(
    "forms",
    [
        ("berry", "berries", "Berry's"),
        ("box", "boxes"),
        ("fish", "fishes", "fishing", "fished"),
        ("run", "running"),
        ("bake", "baking", "baked"),
        ("house", "houses"),
        ("bus", "buses"),
        ("glass", "glasses"),
        ("bench", "benches"),
    ],
)
def test_forms_of_a_word_have_one_stem(forms: tuple[str, ...]) -> None:
    assert len(set(map(stem, forms))) == 1


@given(st.sampled_from(class_names()), st.text(alphabet="xyz ", max_size=8), st.text(alphabet="xyz ", max_size=8))
def test_every_synonym_names_its_class(name: str, before: str, after: str) -> None:
    for lemma in class_lemmas()[name]:
        label = [{"name": name, "score": 1.0}]
        assert agree([f"{before} {lemma.upper()} {after}"], [label])["label_matches"] == [[name]]


def test_words_of_a_synonym_stand_in_a_row() -> None:
    assert names(["hot", "dog"], {("hot", "dog")})
    assert not names(["dog", "hot"], {("hot", "dog")})
    assert not names(["hot", "big", "dog"], {("hot", "dog")})
