"""Scenes: what a record says is true of the image, faults are as planted, the bytes depend on the arguments alone."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.prove.scenes import sample, write
from curate.prove.scenes.draw import mask, picture
from curate.prove.scenes.faults import FULL, HOT, SHARES, fault_of
from curate.prove.scenes.scene import COLOURS, SIDE, draw_scene
from curate.prove.scenes.write import samples
from trainer.vlm.vocabulary import Vocabulary

numbers = st.integers(0, 1 << 40)


def decoded(rle: dict[str, list[int]]) -> np.ndarray:
    """COCO's RLE by its definition: runs of zeros and ones in turn, down the columns."""
    height, width = rle["size"]
    flat: list[bool] = []
    for i, run in enumerate(rle["counts"]):
        flat += [i % 2 == 1] * run
    return np.array(flat).reshape(width, height).T


@given(numbers, st.booleans())
def test_objects_are_where_the_record_says(number: int, test: bool) -> None:
    scene, record = draw_scene(3, number, test), sample(3, number, test=test).record
    pixels = picture(scene).astype(int)
    assert [o["label"] for o in record["objects"]] == [t.label for t in scene.things]
    for thing, found in zip(scene.things, record["objects"], strict=True):
        inside = decoded(found["mask"])
        assert (inside == mask(thing)).all()
        assert np.abs(pixels[inside] - COLOURS[thing.colour]).max() <= 26  # 12 of the thing's, 14 of each pixel's noise
        rows, columns = np.nonzero(inside)
        assert np.allclose(
            np.array(found["box"]) * SIDE, [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        )
        top, right, bottom, left = (np.array(point[:2]) * SIDE - 0.5 for point in found["keypoints"])
        assert [top[1], right[0], bottom[1], left[0]] == pytest.approx(
            [rows.min(), columns.max(), rows.max(), columns.min()], abs=0.01
        )
    assert not np.logical_and.reduce([mask(t) for t in scene.things]).any() or len(scene.things) == 1


@given(numbers)
def test_words_are_true_of_the_scene_and_negatives_are_not(number: int) -> None:
    scene, record = draw_scene(0, number), sample(0, number).record
    first = scene.things[0]
    true = [record["text"], *record["captions"]]
    assert len(set(true)) == 4
    assert all(thing.label in caption and thing.size in caption for caption in true for thing in scene.things[:2])
    assert len(set(record["negatives"])) == 3 and not set(record["negatives"]) & set(true)
    assert record["preference"]["chosen"] == record["text"] and record["preference"]["rejected"] in record["negatives"]
    turns = record["conversations"]
    assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
    assert [i for i, turn in enumerate(turns) if "<image>" in turn["value"]] == [0]
    answers = {q["value"].removeprefix("<image>\n"): a["value"] for q, a in zip(turns[::2], turns[1::2], strict=True)}
    assert answers["How many objects are there?"] == ("one", "two", "three")[len(scene.things) - 1]
    for question, answer in answers.items():
        if question.startswith("Is there"):
            assert (answer == "yes") == any(t.label in question for t in scene.things)
        elif question.startswith("What colour"):
            assert any(t.shape in question and t.colour == answer for t in scene.things)
        elif question.startswith("Is the "):
            other = scene.things[1]
            dx, dy = other.cell % 3 - first.cell % 3, other.cell // 3 - first.cell // 3
            told = next(word for word in ("left of", "right of", "above", "below") if word in question)
            right = {"left of": dx > 0, "right of": dx < 0, "above": dx == 0 and dy > 0, "below": dx == 0 and dy < 0}
            assert (answer == "yes") == right[told]
    assert [step["boxes"] for step in record["steps"]][:-1] == [[o["box"]] for o in record["objects"]]


@given(numbers)
def test_no_question_says_the_colour_or_shape_that_a_later_one_asks_for(number: int) -> None:
    """A model that reads a conversation learns from it to look at the image, not to copy."""
    scene, turns = draw_scene(0, number), sample(0, number).record["conversations"]
    said = ""
    for question, answer in zip(turns[:-2:2], turns[1:-2:2], strict=True):
        thing = next((t for t in scene.things if t.shape in question["value"]), scene.things[0])
        if question["value"].startswith("What colour"):
            assert f"{thing.colour} {thing.shape}" not in said and answer["value"] == thing.colour
        elif question["value"].startswith("What shape"):
            assert answer["value"] not in said
        said += f"{question['value']} {answer['value']} "


def test_their_tokenizer_has_a_token_for_each_word_and_says_any_text(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path / str(seed), 20, seed=seed)
    files = [(tmp_path / str(seed) / "tokenizer" / "tokenizer.json").read_bytes() for seed in (0, 1)]
    assert files[0] == files[1]
    vocabulary = Vocabulary("0/tokenizer", root=tmp_path)
    for text in ("What colour is the circle?\n", " [0.12,0.30]</s> <image>", "Größe 語\u0000  x"):
        assert vocabulary.decode(vocabulary.encode(text)) == text
    for one in samples(200, seed=5):
        text = one.record["text"]
        assert len(vocabulary.encode(text)) == len(text.split())
    assert vocabulary.pad != vocabulary.end


def test_shares_of_faults_and_what_they_are() -> None:
    kinds = [fault_of(1, number, FULL) for number in range(4000)]
    assert not any(kinds[:HOT])
    for kind, share in SHARES.items():
        assert kinds.count(kind) / len(kinds) == pytest.approx(share, abs=0.03)
    made = [sample(1, number, FULL) for number in range(400)]
    originals = {one.record["text"] for one in made[:HOT]}
    for number, one in enumerate(made):
        assert one.record["fault"] == kinds[number]
        record, clean = one.record, sample(1, number).record
        same_image = one.image == sample(1, number).image
        if record["fault"] is None:
            assert record == clean and same_image
        elif record["fault"] == "duplicate":
            assert record["text"] in originals and not same_image
        elif record["fault"] == "mismatch":
            assert same_image and record["text"] != clean["text"] and record["objects"] == clean["objects"]
        elif record["fault"] == "junk":
            assert not same_image and record["text"] == clean["text"] and record["objects"] == []
        else:
            assert same_image and record["text"] not in {clean["text"], *clean["captions"]}


def test_more_noise_keeps_the_faults_of_less() -> None:
    little, much = ([sample(2, number, noise).record["fault"] for number in range(500)] for noise in (0.2, 0.6))
    assert all(b == a for a, b in zip(little, much, strict=True) if a is not None)
    assert sum(kind is not None for kind in little) == pytest.approx(100, abs=40)
    assert sum(kind is not None for kind in much) == pytest.approx(300, abs=60)


def test_no_test_scene_is_in_a_pool() -> None:
    """Seen through the captions: no wording of a test scene stands in the pool, none fits two test scenes."""
    pool, tests = (
        [{one.record["text"], *one.record["captions"]} for one in made]
        for made in (samples(3000, split="train"), samples(300, split="test", seed=7))
    )
    assert not set.union(*pool) & set.union(*tests)
    assert sum(map(len, tests)) == len(set.union(*tests))
    assert len(set.union(*pool)) > 10_000


def test_shards_are_the_same_bytes_again_and_hold_what_the_formats_want(tmp_path: Path) -> None:
    one, other = (write(tmp_path / name, 50, 0.5, seed=4, per_shard=20) for name in ("a", "b"))
    assert sorted(f.name for f in one.iterdir()) == [
        "00000.tar", "00001.tar", "00002.tar", "sizes.json", "tokenizer",
    ]  # fmt: skip
    files = [f.relative_to(other) for f in other.rglob("*") if f.is_file()]
    assert len(files) == 6 and all((one / f).read_bytes() == (other / f).read_bytes() for f in files)
    assert json.loads((one / "sizes.json").read_text()) == {"00000.tar": 20, "00001.tar": 20, "00002.tar": 10}
    with tarfile.open(one / "00000.tar") as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    records = {name: json.loads(data) for name, data in members.items() if name.endswith("json")}
    assert len(members) == 60
    for name, record in records.items():
        image = Image.open(io.BytesIO(members[name.replace("json", "jpg")]))
        assert image.size == (64, 64) or record["fault"] == "junk"
        assert members[name.replace("json", "txt")].decode() == record["text"]
    assert sum(record["split"] == "test" for record in records.values()) == 2
