"""OBELICS' filters and deduplication (huggingface/OBELICS@0fca7ba4), by the steps and rules of its recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.columns import to_arrow, to_numpy
from curate.contracts import Batch, Columns, DocumentFact, Filter, Selection, Signal
from curate.recipe import Recipe, load_recipe
from curate.scan import MemoryScan
from stages.documents.counts import Counts, OverNodes
from stages.documents.repeats import EndMarks, ImageSet, RepeatedImages
from stages.documents.text import WholeText
from stages.html.media import shown_size
from stages.select.image_urls import FewPlaces
from stages.signals.obelics import TextRatios, punctuation, standard_spaces, words

RECIPE = Path(__file__).parents[2] / "manifests" / "documents" / "obelics.yaml"


@cache
def recipe() -> Recipe:
    return load_recipe(RECIPE)


def rules(first: str, last: str | None = None) -> list[Filter | Selection]:
    """Rules of the recipe, from one name to another."""
    names = [step.name for step in recipe().select]
    return list(recipe().select[names.index(first) : names.index(last or first) + 1])


def keeps(columns: Columns, first: str, last: str | None = None) -> np.ndarray:
    """Boolean (n,): rows that all these filters keep."""
    return np.logical_and.reduce([rule.keep(columns) for rule in rules(first, last) if isinstance(rule, Filter)])


def given(step: Signal | DocumentFact, columns: Columns) -> Columns:
    """A step's columns as rules get them."""
    found = step.compute(Batch(columns)) if isinstance(step, Signal) else step.compute(columns, {})
    n = len(next(iter(columns.values())))
    return {name: to_numpy(to_arrow(found[name], kind, n, name)) for name, kind in step.gives().items()}


def signal(name: str, **fields: Any) -> TextRatios:
    """TextRatios as the recipe has it under this name."""
    (step,) = (step for step in recipe().signals if step.name == name)
    assert isinstance(step, TextRatios)
    return step.model_copy(update=fields)


class Pages:
    """Documents as rows of the pool. A text becomes a row for each of its paragraphs; what is dropped is no row."""

    def __init__(self, documents: Sequence[dict[str, Any]]) -> None:
        rows: list[dict[str, Any]] = []
        for document in documents:
            parent, meta = len(rows), json.dumps({"archive": document.get("warc", "")})
            rows.append({"kind": "document", "text": "", "url": document.get("url", "http://x.com/"), "meta": meta})
            for number, part in enumerate(document["parts"]):
                common = {"parent": parent, "part": number}
                if part.startswith("IMG:"):
                    rows.append({**common, "kind": "image", "url": part})
                else:
                    rows += [{**common, "kind": "text", "text": text} for text in part.split("\n\n") if text]
        names = ("kind", "text", "url", "meta", "sha256")
        columns: dict[str, np.ndarray] = {name: np.array([row.get(name) for row in rows], object) for name in names}
        for name in ("parent", "part"):
            columns[name] = np.array([row.get(name, np.nan) for row in rows], np.float64)
        self.columns: dict[str, np.ndarray] = dict(MemoryScan(columns).columns)

    def learn(self, step: Signal | DocumentFact) -> None:
        self.columns |= given(step, self.columns)

    def apply(self, kind: str, first: str, last: str | None = None) -> None:
        """Rows of this kind that these rules drop are gone, and nodes with their document."""
        for rule in rules(first, last):
            about = np.isin(self.columns["kind"], rule.kinds or (kind,))
            seen = {name: values[about] for name, values in self.columns.items()}
            alive = ~about
            if isinstance(rule, Filter):
                alive[about] = rule.keep(seen)
            else:
                scan = MemoryScan(seen)
                alive[about] = rule.apply(scan.columns, scan.fit(rule), seed=0) > 0
            owner = np.maximum.accumulate(np.where(self.columns["kind"] == "document", np.arange(len(alive)), 0))
            self.columns = {name: values[alive & alive[owner]] for name, values in self.columns.items()}

    def parts(self, number: int = 0) -> list[str]:
        """What is left of the document's parts; texts of a part joined again."""
        starts = np.flatnonzero(self.columns["kind"] == "document").tolist()
        if number >= len(starts):
            return []
        found: dict[int, list[str]] = {}
        for row in range(starts[number] + 1, [*starts, len(self.columns["kind"])][number + 1]):
            said = self.columns["url" if self.columns["kind"][row] == "image" else "text"][row]
            found.setdefault(int(self.columns["part"][row]), []).append(said)
        return ["\n\n".join(texts) for texts in found.values()]


@pytest.mark.parity("obelics_text_ratios")
def test_text_ratios(case: dict[str, Any]) -> None:
    text, expected = case["input"]["text"], case["expected"]
    if "text" in expected:
        assert standard_spaces(text) == expected["text"]
        return
    columns = given(signal("paragraph"), {"text": np.array([text], object)})
    ours = {name.removeprefix("text_"): values[0] for name, values in columns.items()}
    assert words(text) == expected["words"]
    assert ours["words"] == len(expected["words"])
    assert ours["char_repetition"] == pytest.approx(expected["char_repetition_10"], rel=1e-6)
    assert ours["word_repetition"] == pytest.approx(expected["word_repetition_5"], rel=1e-6)
    assert ours["special"] == pytest.approx(expected["special_char_ratio"], rel=1e-6)
    assert ours["stop_words"] == pytest.approx(expected["stopword_ratio"], rel=1e-6)
    assert ours["flagged"] == pytest.approx(expected["flagged_ratio"], rel=1e-6)
    assert ours["punctuation"] == pytest.approx(expected["punctuation_ratio_min12"], rel=1e-6)
    assert punctuation(text) == pytest.approx(expected["punctuation_ratio_nomin"], rel=1e-6)


@pytest.fixture
def common(case: dict[str, Any], tmp_path: Path) -> str:
    """The case's list of common words as a file."""
    file = tmp_path / "common_words.json"
    file.write_text(json.dumps(case["input"].get("common_words")))
    return str(file)


@pytest.mark.parity("obelics_node_filter")
def test_node_filter(case: dict[str, Any], common: str) -> None:
    kept: list[dict[str, str]] = []
    for part in case["input"]["parts"]:
        if isinstance(part, dict):
            if keeps(image_columns(part), "image format", "image aspect").all():
                kept.append({"image": part["src"]})
            continue
        paragraphs = np.array(part.split("\n\n"), object)
        columns = given(signal("paragraph", common_words=common), {"text": paragraphs})
        stays = keeps(columns, "paragraph words", "paragraph common words")
        if stays.any():
            kept.append({"text": "\n\n".join(paragraphs[stays])})
    assert kept == case["expected"]["kept"]


def image_columns(image: dict[str, Any]) -> Columns:
    """An image's header and its size as shown. A share of the original's size is no size in pixels."""
    shown: dict[str, float] = {}
    for side in ("width", "height"):
        size = shown_size(str(image[f"rendered_{side}"])) if f"rendered_{side}" in image else None
        shown[f"shown_{side}"] = size if isinstance(size, int) else np.nan
    return {
        "format": np.array([image["format"]], object),
        "width": np.array([image["w"]], np.int32),
        "height": np.array([image["h"]], np.int32),
        "aspect": np.array([max(image["w"], image["h"]) / min(image["w"], image["h"])], np.float32),
        **{name: np.array([size], np.float64) for name, size in shown.items()},
    }


@pytest.mark.parity("obelics_doc_filter")
def test_document_filter(case: dict[str, Any], common: str) -> None:
    images = [f"IMG:{number}" for number in range(case["input"]["n_images"])]
    pages = Pages([{"parts": [*case["input"]["texts"], *images]}])
    pages.learn(WholeText())
    pages.learn(Counts())
    pages.learn(signal("document text", common_words=common))
    assumed = {"lang": np.array(["en"], object), "lang_score": np.array([0.8]), "perplexity": np.array([1500.0])}
    document = {name: values[:1] for name, values in pages.columns.items()} | assumed
    assert keeps(document, "images", "perplexity").tolist() == [case["expected"]["keep"]]


@pytest.mark.parity("obelics_dedup")
def test_dedup(case: dict[str, Any]) -> None:
    given_, expected = case["input"], case["expected"]
    if "count" in given_:
        (rule,) = rules("image in many places")
        scan = MemoryScan({"url": np.array(["http://x.com/i.jpg"] * given_["count"], object)}, shards=2, partitions=3)
        assert isinstance(rule, FewPlaces)
        assert (rule.apply(scan.columns, scan.fit(rule), seed=0) > 0).tolist() == [expected["keep"]] * given_["count"]
    elif "scores" in given_:  # the embedded model has one score; its limit is that of OBELICS' "porn"
        pages = Pages([{"parts": ["IMG:1", "IMG:2"]}])
        pages.columns["nsfw"] = np.array([np.nan, 0.0, given_["scores"]["porn"]])
        pages.learn(OverNodes(column="nsfw", take="max"))
        pages.apply("document", "nsfw")
        assert bool(pages.parts()) == expected["keep_document"]
    elif "texts" in expected:
        pages = Pages([{"url": document["url"], "parts": document["texts"]} for document in given_["docs"]])
        pages.apply("text", "paragraph of the domain")
        assert [pages.parts(i) or [""] for i in range(len(given_["docs"]))] == expected["texts"]
    else:
        documents(given_["docs"], expected["keep"])


def documents(given_: list[dict[str, Any]], keep: list[bool]) -> None:
    """Documents of a URL, and those with the same images."""
    by_url = "images" not in given_[0]
    shown = [document.get("images", ["i"] * document.get("n_images", 0)) for document in given_]
    pages = Pages(
        [
            {"url": document["url"], "warc": document["warc"], "parts": [f"IMG:{image}" for image in images]}
            for document, images in zip(given_, shown, strict=True)
        ]
    )
    if by_url:
        pages.apply("document", "same URL")
        pages.learn(Counts())
        pages.columns["images_2"] = pages.columns["document_images"]
        pages.apply("document", "no image left")
    else:
        pages.learn(ImageSet(mode="obelics"))
        pages.apply("document", "same images")
    left = {json.loads(meta)["archive"] for meta in pages.columns["meta"] if meta}
    assert [document["warc"] in left for document in given_] == keep


@pytest.mark.parity("obelics_final_processing")
def test_final_processing(case: dict[str, Any]) -> None:
    given_, expected = case["input"], case["expected"]
    if "ratio" in expected:
        columns = given(signal("paragraph"), {"text": np.array([given_["text"]], object)})
        assert columns["text_spam"] == pytest.approx([expected["ratio"]], rel=1e-6)
        assert keeps(columns, "spam words").tolist() == [expected["ratio"] < expected["cutoff"]]
        return
    pages = Pages([{"parts": given_["parts"]}])
    pages.learn(RepeatedImages())
    pages.apply("image", "image again")
    pages.learn(signal("paragraph"))
    pages.apply("text", "spam words")
    pages.learn(EndMarks())
    pages.apply("text", "idle end token")
    assert pages.parts() == expected["parts"]
    pages.learn(OverNodes(column="end_mark", take="min"))
    pages.learn(Counts())
    pages.columns |= {f"{name}_4": pages.columns[f"document_{name}"] for name in ("texts", "images")}
    pages.apply("document", "end tokens only", "no image at the end")
    assert bool(pages.parts()) == expected["keep_document"]
