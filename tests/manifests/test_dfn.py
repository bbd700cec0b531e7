"""A filtering network of one's own, from curated shards to the pairs that it keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import curate
import trainer

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_trained_on_curated_shards_filters_what_it_has_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of docs/methods/dfn.md: trained on two shards of the sample, it ranks the other two."""
    root, sample = str(tmp_path), ROOT / "manifests/sample"
    clean = curate.run(
        ROOT / "manifests/datacomp/basic.yaml",
        root,
        "inline",
        overrides=[f"pool.path={sample}/0000[01].tar"],
        quiet=True,
    )
    monkeypatch.setenv("CURATE_ROOT", root)
    metrics = trainer.run(str(ROOT / "manifests/train/dfn.yaml"), ["train.epochs=10"])
    assert metrics["model"] == str(tmp_path / "train/dfn/model")
    overrides = [
        f"pool.path={sample}/0000[23].tar",
        "pool.name=other",
        f"signals.0.model=open_clip:local-dir:{metrics['model']}",
    ]
    result = curate.run(ROOT / "manifests/dfn.yaml", root, "inline", overrides=overrides, quiet=True)
    run = curate.open_run(result["run"])
    similarity = run.table("similarity")["similarity"].to_numpy()
    scored = np.isfinite(similarity)
    assert result["kept"] == scored.sum() * 15 // 100
    assert clean["kept"] > 0
    truth = {(row["shard"], row["key"]): row["fault"] for row in pq.read_table(sample / "truth.parquet").to_pylist()}
    units = {shard.number: shard.unit for shard in run.shards}
    ledger = run.ledger().to_pylist()
    faults = np.array([truth[units[row["shard"]], row["key"]] for row in ledger])
    kept = np.array([row["fate"] == "kept" for row in ledger])
    rank = np.argsort(np.argsort(np.where(scored, similarity, -np.inf)))
    assert rank[faults == "clean"].mean() > rank[faults == "mismatched"].mean()
    assert kept[faults == "clean"].mean() > kept[faults == "mismatched"].mean()
