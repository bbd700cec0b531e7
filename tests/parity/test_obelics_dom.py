"""OBELICS' reading of a page (huggingface/OBELICS@0fca7ba4, selectolax 0.3.21 with its Modest engine)."""

from __future__ import annotations

from typing import Any

import pytest

from stages.html.media import absolute, file_words, is_valid, shown_size
from stages.html.node import Node
from stages.html.obelics import nodes_of
from stages.html.obelics_dom import parse, simplify


@pytest.mark.parity("obelics_dom_extraction")
def test_dom(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    tree = simplify(parse(given["html"]))
    assert tree == expected["simplified_html"]
    parts: list[str | Node] = []
    for node in nodes_of(tree, given["page_url"]):  # consecutive paragraphs are one text there
        if node.kind == "text" and parts and isinstance(parts[-1], str):
            parts[-1] += f"\n\n{node.text}"
        else:
            parts.append(node if node.kind == "image" else str(node.text))
    assert len(parts) == len(expected["nodes"])
    for part, node in zip(parts, expected["nodes"], strict=True):
        if isinstance(part, str):
            assert node == {"tag": "-text", "text": part, "media": None}
        else:
            same_image(part, node["media"], given["page_url"])


def same_image(node: Node, media: dict[str, Any], page_url: str) -> None:
    """A share of the original ("50%") is no size in pixels; what a file is called follows from its URL."""
    sizes = [media.get("rendered_width"), media.get("rendered_height")]
    assert [node.width, node.height] == [size if isinstance(size, int) else None for size in sizes]
    assert (node.url, node.text) == (media["src"], media.get("alt_text"))
    assert file_words(media["src"]) == media.get("formatted_filename", "")
    source = media["unformatted_src"]
    assert node.url == (source if source.startswith("http") else absolute(source, page_url))


@pytest.mark.parity("obelics_media_helpers")
def test_media(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    if "size" in given and "error" in expected:
        with pytest.raises(ValueError, match="invalid literal"):
            shown_size(given["size"])
    elif "size" in given:
        assert shown_size(given["size"]) == expected["value"]
    elif "src" in given:
        assert file_words(given["src"]) == expected["filename"]
    elif "path" in given:
        assert absolute(given["path"], given["page_url"]) == expected["url"]
    else:
        assert is_valid(given["url"]) is expected["valid"]
