"""CAT's criteria on explicit scene graphs (Radenovic et al. 2023; its filter was not released)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from filters.text import Action, Complexity
from stages.signals.complexity import SceneGraph, scene_graphs


@pytest.mark.parity("cat_filter_convention")
def test_complexity_and_actions_of_a_scene_graph(case: dict[str, Any]) -> None:
    given, expected = case["input"]["scene_graph"], case["expected"]
    graph = SceneGraph(given["objects"], given["actions"])
    assert graph.complexity == expected["complexity"]
    assert len(graph.actions) == expected["n_actions"]
    columns = {
        "caption_complexity": np.array([graph.complexity]),
        "caption_actions": np.array([",".join(graph.actions)], object),
    }
    assert Complexity(min=1)(columns).tolist() == [expected["C1"]]
    assert Action()(columns).tolist() == [expected["A"]]


@pytest.mark.parity("cat_filter_convention")
def test_the_parser_finds_the_same_in_the_caption(case: dict[str, Any]) -> None:
    graph = scene_graphs([case["input"]["caption"]])[0]
    assert graph.complexity == case["expected"]["complexity"]
    assert list(graph.actions) == case["input"]["scene_graph"]["actions"]
