"""DataComp's baselines (mlfoundations/datacomp@4a8df199, baselines/apply_filter.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from curate.contracts import Batch, Columns
from curate.scan import MemoryScan
from curate.schema import UID, uid_words
from curate.subset import write_sorted
from filters.datacomp import Basic, CaptionFilter, ImageBased, TextBased, fasttext_tokens
from filters.similarity import Similarity
from filters.text import Language
from stages.select.imagenet import ReferenceClusters
from stages.select.top import TopFraction
from stages.signals.text import CaptionStats
from stages.signals.wordnet import Entities, lexicon


def captions(text: str) -> Columns:
    """The caption's columns, as the signal gives them."""
    columns: Columns = {"text": np.array([text], object)}
    return {**columns, **CaptionStats().compute(Batch(columns))}  # type: ignore[dict-item]


@pytest.mark.parity("datacomp_basic_filter")
def test_basic_filter(case: dict[str, Any]) -> None:
    given = case["input"]
    columns = {
        **captions(given["text"]),
        "lang": np.array([given["fasttext_lang"]], object),
        "width": np.array([given["original_width"]], np.int32),
        "height": np.array([given["original_height"]], np.int32),
    }
    assert Basic()(columns).tolist() == [case["expected"]["keep"]]


@pytest.mark.parity("datacomp_caption_filter_image_based")
def test_caption_filter(case: dict[str, Any]) -> None:
    text = case["input"]["text"]
    columns = {"text": np.array([text], object), "lang": np.array([case["input"]["fasttext_lang"]], object)}
    assert CaptionFilter()(columns).tolist() == [case["expected"]["keep"]]
    assert fasttext_tokens(text) == len(case["expected"]["fasttext_tokens"])


@pytest.mark.parity("datacomp_clip_score_threshold")
def test_clip_score(case: dict[str, Any]) -> None:
    given, expected = case["input"], case["expected"]
    if "clip_b32_similarity_score" in given:  # the laion2b baseline: a threshold in float64
        score = np.array([given["clip_b32_similarity_score"]], np.float64)
        columns = {"similarity": score, "lang": np.array([given["gcld3_lang"]], object), "lang_score": np.ones(1)}
        keep = Similarity(min=given["threshold"])(columns) & Language(keep="en")(columns)
        assert keep.tolist() == [expected["keep"]]
    elif "error" in expected:  # where the original fails with an IndexError, the recipe does not pass its check
        with pytest.raises(ValidationError, match="fraction below 1"):
            TopFraction(fraction=given["fraction"], mode="datacomp")
    else:
        scan = MemoryScan({"similarity": np.array(given["scores_float32"], np.float32)}, shards=3)
        step = TopFraction(fraction=given["fraction"], mode="datacomp")
        state = step.fit(scan, seed=0)
        kept = np.flatnonzero(step.apply(scan.columns, state, seed=0))
        assert kept.tolist() == expected["kept_indices"]
        assert len(kept) == expected["n"]
        assert step.bounds(state)["similarity"][0] == pytest.approx(expected["threshold"], rel=1e-6)


@pytest.mark.parity("datacomp_text_based_filter")
def test_text_based(case: dict[str, Any]) -> None:
    text = case["input"]["text"]
    columns: Columns = {"text": np.array([text], object), "lang": np.array(["en"], object)}
    found = Entities(mode="datacomp").compute(Batch(columns))
    keep = TextBased()({**columns, "entity_count": np.array(found["entity_count"])})
    assert keep.tolist() == [case["expected"]["match"]]
    first = [(word, lexicon().first(word)) for word in text.split()]
    expected = case["expected"]["per_word_first_synset"]
    assert [[word, synset[1]] for word, synset in first if synset] == [
        [word, number] for word, _, number, _ in expected
    ]
    assert found["entities"][0] == list(dict.fromkeys(number for _, _, number, listed in expected if listed))


@pytest.mark.parity("datacomp_uid_subset_file")
def test_subset_file(case: dict[str, Any], tmp_path: Path) -> None:
    words = uid_words(pa.array([bytes.fromhex(uid) for uid in case["input"]["uids"]], UID))
    write_sorted(lambda: [words], tmp_path / "subset.npy")
    found = np.load(tmp_path / "subset.npy")
    assert found.dtype == np.dtype("u8,u8")
    assert [[str(upper), str(lower)] for upper, lower in found.tolist()] == case["expected"]["sorted_u8_pairs"]


@pytest.mark.parity("datacomp_image_based")
def test_image_based(case: dict[str, Any], tmp_path: Path) -> None:
    given, expected = case["input"], case["expected"]
    np.save(tmp_path / "reference.npy", np.array(given["target_embeddings"], np.float32))
    centroids = np.array(given["centroids"], np.float32)
    reference = str(tmp_path / "reference.npy")
    step = ReferenceClusters(k=len(centroids), spherical=False, mode="datacomp", reference=reference)
    hits = step.count(centroids)
    assert np.flatnonzero(hits).tolist() == expected["target_centroid_ids"]
    columns: Columns = {"image_embedding": np.array(given["embeddings"], np.float32)}
    found = step.compute(columns, {"centroids": centroids, "hits": hits})
    assert list(found["cluster"]) == expected["assignment"]
    keep = ImageBased()({"reference_hits": np.array(found["reference_hits"], np.int32)})
    kept = [uid for uid, stays in zip(given["uids"], keep, strict=True) if stays]
    assert sorted(kept) == expected["kept_uids_sorted"]
