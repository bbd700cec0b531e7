"""DataComp's recipes on the sample: the reference set that ships, and what the text-based filter drops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import curate
from curate.subset import write_column

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "manifests/sample"


@pytest.mark.slow
def test_the_reference_is_what_its_recipe_makes(tmp_path: Path) -> None:
    result = curate.run(ROOT / "manifests/datacomp/reference.yaml", str(tmp_path), "inline", quiet=True)
    write_column(curate.open_run(result["run"]), "image_embedding", tmp_path / "reference.npy")
    made = np.load(tmp_path / "reference.npy").astype(np.float64)
    ships = np.load(ROOT / "manifests/datacomp/reference.npy").astype(np.float64)
    assert made.shape == ships.shape == (33, ships.shape[1])
    assert np.einsum("nd,nd->n", made, ships).min() > 0.999  # up to the last bits of another processor


def test_the_text_based_filter_on_planted_captions(tmp_path: Path) -> None:
    changes = [f"pool.path={SAMPLE}/00000.tar", "export.formats=[]"]
    recipe = ROOT / "manifests/datacomp/text_based.yaml"
    run = curate.open_run(curate.run(recipe, str(tmp_path), "inline", overrides=changes, quiet=True)["run"])
    truth = {row["key"]: row["fault"] for row in pq.read_table(SAMPLE / "truth.parquet").to_pylist()}
    ledger = run.table("key", "fate", "lang", "entity_count").to_pylist()
    fate = [(truth[row["key"]], row["fate"]) for row in ledger]
    assert {fate for fault, fate in fate if fault == "empty_caption"} == {"dropped"}
    dropped = [fate == "dropped" for fault, fate in fate if fault == "non_english"]
    assert np.mean(dropped) > 0.8  # the rest is taken for English by lid.176
    for row in ledger:
        assert row["fate"] != "kept" or (row["lang"] == "en" and row["entity_count"] >= 1)
        assert row["fate"] != "dropped" or row["lang"] != "en" or row["entity_count"] == 0
