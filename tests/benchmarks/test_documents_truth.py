"""Truth by class names, on markup as the manuals have it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.documents_truth import (
    Truth,
    compare,
    docbook,
    grass,
    images_run,
    line,
    page_truth,
    sphinx,
    truths,
    variants,
)

FIGURE = b"""<body><div class="navheader"><a><img src="images/prev.png"></a></div>
<div class="figure"><p class="title"><b>Figure 1.  Two views</b></p><div class="figure-contents">
<div class="mediaobject"><img src="a.png"><div class="caption"><p>From the left</p></div></div>
<div class="mediaobject"><img src="b.png"></div></div></div>
<p>Press <span class="guiicon"><span class="inlinemediaobject"><img src="c.png"></span></span></p>"""


def test_docbook() -> None:
    url = "http://x.example/d/"
    assert page_truth(FIGURE, f"{url}page.html", docbook) == [
        Truth(f"{url}images/prev.png", "navigation", ()),
        Truth(f"{url}a.png", "content", ("From the left", "Figure 1. Two views")),
        Truth(f"{url}b.png", "content", ("Figure 1. Two views",)),
        Truth(f"{url}c.png", "icon", ()),
    ]


def test_sphinx_and_grass() -> None:
    html = b"""<a class="logo"><img src="l.png"></a><div class="sphx-glr-thumbcontainer"><figure><img src="t.png">
    <figcaption><p>Title</p></figcaption></figure></div><section><img class="sphx-glr-single-img" src="i.png"></section>"""
    assert [truth.role for truth in page_truth(html, "http://x/", sphinx)] == ["navigation", "navigation", "content"]
    html = b"""<img src="grass_logo.png"><dt><img src="icons/a.png"></dt><ul class="img-list"><img src="b.png"></ul>
    <img src=c.png>"""
    assert [t.role for t in page_truth(html, "http://x/", grass)] == ["navigation", "icon", "navigation", "content"]


def test_ledger_against_truth() -> None:
    page, base = "http://x.example/d/page.html", "http://x.example/d/"
    truth = {page: page_truth(FIGURE, page, docbook)}
    nodes: list[dict[str, Any]] = [
        {"url": f"{base}images/prev.png", "fate": "dropped"},
        {
            "url": f"{base}a.png",
            "fate": "kept",
            "image_caption": "From the left",
            "figure_caption": "Figure 1. Two views",
        },
        {"url": f"{base}b.png", "fate": "dropped", "image_caption": "Wrong"},
        {"url": f"{base}c.png", "fate": "kept"},
        {"url": None, "fate": "kept"},
    ]
    same = {"kind": "image", "shard": 0, "parent": 0, "image_caption": None, "figure_caption": None}
    rows = [{"kind": "document", "shard": 0, "row": 0, "url": page}]
    rows += [same | node | {"row": 1 + i} for i, node in enumerate(nodes)]
    counts = compare(rows, truth)
    assert (counts["images"], counts["content"], counts["taken"], counts["found"]) == (4, 2, 2, 1)
    assert (counts["captioned right"], counts["captioned wrong"], counts["unlabelled"]) == (1, 1, 1)
    assert line("x", counts).split()[-4:] == ["0.5000", "0.5000", "0.5000", "-"]
    assert compare(rows[:1], truth)["lost"] == 2
    assert compare([rows[0], {**rows[1], "fate": "failed"}], truth)["broken"] == 1


@pytest.mark.timeout(120)
def test_the_embedded_pages(tmp_path: Path) -> None:
    """scikit-image's pages: each picture of a result is found, no logo or icon is; no threshold was chosen on them."""
    archives = sorted(Path("manifests/sample/documents").glob("*.warc.gz"))
    run = images_run(archives, tmp_path, "sample")
    truth = truths(archives, sphinx)
    counts = {name: compare(rows, truth) for name, rows in variants(run)}
    found = counts["all rules"]
    assert found["images"] == 106
    assert found["taken"] == found["found"] == found["content"] == 58
    assert found["lost"] == found["broken"] == found["bare wrong"] == 0
    assert counts["without repeated"]["taken"] == 58 + 24  # the site's logo, one on each page
    assert counts["tracker alone"]["taken"] == 106
    table = run.table("kind", "fate", "rule").to_pylist()
    assert Counter(row["rule"] for row in table if row["fate"] == "dropped") == {"icon": 24, "repeated": 24}
    assert all(row["fate"] == "kept" for row in table if row["kind"] != "image")
