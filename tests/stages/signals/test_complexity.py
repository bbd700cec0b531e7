"""Scene graphs: who has which attributes and relations, who acts, and what is not parsed."""

from __future__ import annotations

import numpy as np
import pytest

from curate.contracts import Batch
from stages.signals.complexity import Complexity, scene_graphs


@pytest.mark.parametrize(
    ("caption", "objects", "actions"),
    [
        (
            "A black cat is chasing a small brown bird",
            {"cat": {"black", "chase bird"}, "bird": {"small", "brown", "cat chase"}},
            ["chase"],
        ),
        ("dogs running on the beach", {"dogs": {"run on beach"}, "beach": {"dogs run on"}}, ["run"]),
        ("The ball was kicked by the boy", {"ball": {"kick by boy"}, "boy": {"ball kick by"}}, ["kick"]),
        ("The house is red", {"house": {"red"}}, []),
        ("there is a dog on the couch", {"dog": {"on couch"}, "couch": {"dog on"}}, []),
        ("A photo of a cat", {"cat": set()}, []),
        ("broken window", {"window": {"broken"}}, []),
        ("smiling woman", {"woman": {"smiling"}}, ["smile"]),
        (
            "A woman and a child walking a dog",
            {"woman": {"walk dog"}, "child": {"walk dog"}, "dog": {"woman walk", "child walk"}},
            ["walk"],
        ),
    ],
)
def test_graph(caption: str, objects: dict[str, set[str]], actions: list[str]) -> None:
    graph = scene_graphs([caption])[0]
    assert {name: set(said) for name, said in graph.objects.items()} == objects
    assert list(graph.actions) == actions


def test_one_subject_may_act_more_than_once() -> None:
    graph = scene_graphs(["Man in a hat sitting on a bench and reading a newspaper"])[0]
    assert set(graph.objects["man"]) == {"in hat", "sit on bench", "read newspaper"}
    assert list(graph.actions) == ["sit", "read"]
    assert graph.complexity == 3


def test_what_the_author_did_to_the_picture_is_no_action() -> None:
    for caption in ("A picture of Peru, tagged with america", "Illustration showing a cat", "Drawing of a bottle"):
        assert scene_graphs([caption])[0].actions == ()


@pytest.mark.parametrize(
    ("caption", "action"),
    [
        ("a man riding a horse", "ride"),
        ("a woman singing a song", "sing"),
        ("a woman running in a park", "run"),
        ("two girls skated on the lake", "skate"),
        ("boys playing chess", "play"),
    ],
)
def test_lemmas(caption: str, action: str) -> None:
    assert list(scene_graphs([caption])[0].actions) == [action]


def test_a_noun_that_stands_twice_is_two_objects() -> None:
    assert list(scene_graphs(["a red car and a blue car"])[0].objects) == ["car", "car#2"]


def test_signal_does_not_depend_on_the_batch_and_takes_anything() -> None:
    captions = ["a red car", "日本の猫", "", "dogs running", "!!!", "a red car", "word " * 2000, "two men play chess"]
    texts = np.array([*captions, None], object)
    whole = Complexity().compute(Batch({"text": texts}))
    assert list(whole["caption_complexity"])[:6] == [1, 0, 0, 1, 0, 1]
    assert list(whole["caption_actions"])[:6] == ["", "", "", "run", "", ""]
    assert whole["caption_complexity"][-1] is None
    for i in range(len(texts)):
        alone = Complexity().compute(Batch({"text": texts[i : i + 1]}))
        assert {name: values[0] for name, values in alone.items()} == {
            name: values[i] for name, values in whole.items()
        }


@pytest.mark.parametrize("text", ["run and " * 300, "the cat of " * 300, "red " * 600, "(" * 2000, "a\x00b\ud800 cat"])
def test_hostile_captions(text: str) -> None:
    graph = scene_graphs([text])[0]
    assert graph.complexity < 1000
