"""Similarity to a reference set: exact, whatever file it comes in and however the pool is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.contracts import Batch
from curate.errors import ModelError
from stages.signals.reference import ReferenceSimilarity, reference_rows

WIDTH = 16


def vectors(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float16)


def unit(rows: np.ndarray) -> np.ndarray:
    wide = rows.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def save(path: Path, rows: np.ndarray) -> str:
    if path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".parquet":
        kind = pa.list_(pa.float32()) if "ragged" in path.name else pa.list_(pa.float16(), WIDTH)
        pq.write_table(pa.table({"key": np.arange(len(rows)), "image_embedding": pa.array(list(rows), kind)}), path)
    else:
        pytest.importorskip("safetensors.numpy").save_file({"image_embedding": rows, "z": rows[:1]}, path)
    return str(path)


def measure(step: ReferenceSimilarity, rows: np.ndarray) -> tuple[list[float | None], list[int | None]]:
    found = step.compute(Batch({"image_embedding": rows}))
    return list(found["reference_similarity"]), list(found["reference_nearest"])


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "ragged.parquet", "a.safetensors"])
def test_every_pair_is_compared(name: str, tmp_path: Path) -> None:
    pool, reference = vectors(1500, 0), vectors(2300, 1)
    score, place = measure(ReferenceSimilarity(reference=save(tmp_path / name, reference)), pool)
    cosines = unit(pool) @ unit(reference).T
    assert score == pytest.approx(cosines.max(axis=1), abs=1e-5)
    assert place == cosines.argmax(axis=1).tolist()


def test_a_row_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    step = ReferenceSimilarity(reference=save(tmp_path / "a.npy", vectors(1100, 2)))
    pool = vectors(1030, 3)
    whole = measure(step, pool)
    for row in (0, 5, 700, 1023, 1024, 1029):
        assert measure(step, pool[row : row + 1]) == ([whole[0][row]], [whole[1][row]])


def test_many_files_are_one_reference(tmp_path: Path) -> None:
    reference = vectors(30, 4)
    whole = save(tmp_path / "whole.npy", reference)
    for number, part in enumerate(np.array_split(reference, 3)):
        save(tmp_path / f"part{number}.parquet", part)
    parts = ReferenceSimilarity(reference=str(tmp_path / "part*.parquet"))
    assert measure(parts, vectors(9, 5)) == measure(ReferenceSimilarity(reference=whole), vectors(9, 5))
    assert len(parts.models()) == 3


def test_rows_without_an_embedding(tmp_path: Path) -> None:
    reference = vectors(4, 6)
    reference[1] = np.nan
    step = ReferenceSimilarity(reference=save(tmp_path / "a.npy", reference))
    pool = vectors(3, 7)
    pool[1] = np.nan
    score, place = measure(step, pool)
    assert score[1] is None and place[1] is None and score[0] is not None
    assert sum(len(rows) for rows in reference_rows(step.reference, "image_embedding", WIDTH)) == 3
    assert measure(step, np.array([None], object)) == ([None], [None])


def test_other_references_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no reference"):
        ReferenceSimilarity(reference=str(tmp_path / "none.npy")).models()
    (tmp_path / "a.pt").write_bytes(b"")
    with pytest.raises(ModelError, match="a reference is a"):
        ReferenceSimilarity(reference=str(tmp_path / "a.pt")).models()
    for name in ("b.npy", "b.parquet", "b.safetensors"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ModelError, match="b\\."):
            measure(ReferenceSimilarity(reference=str(tmp_path / name)), vectors(1, 8))
    np.save(tmp_path / "c.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ModelError, match="cannot be read"):
        measure(ReferenceSimilarity(reference=str(tmp_path / "c.npy")), vectors(1, 8))
    np.save(tmp_path / "d.npy", np.zeros((3, WIDTH + 1)))
    with pytest.raises(ModelError, match="embed both alike"):
        measure(ReferenceSimilarity(reference=str(tmp_path / "d.npy")), vectors(1, 8))
    pq.write_table(pa.table({"other": [1]}), tmp_path / "e.parquet")
    with pytest.raises(ModelError, match="image_embedding"):
        measure(ReferenceSimilarity(reference=str(tmp_path / "e.parquet")), vectors(1, 8))
