"""Embeddings per second to their nearest of 1,000 centroids, beside FAISS's flat index and the matrix product alone.

    python -m benchmarks clusters

50,000 embeddings of 512 dimensions in float16, as pools hold them. One core.
"""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Callable

import numpy as np

from stages.select.balance import nearest

ROWS, WIDTH, CENTROIDS = 50_000, 512, 1000


def measure() -> list[dict[str, float | str]]:
    """Rows/s of each way; ours and FAISS's agree but where two centroids are equally near to float precision."""
    import faiss

    faiss.omp_set_num_threads(1)
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(ROWS, WIDTH)).astype(np.float16)
    centroids = draw.normal(size=(CENTROIDS, WIDTH)).astype(np.float32)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(WIDTH)
    index.add(centroids)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "ours": lambda: nearest(vectors, centroids, spherical=True)[0][:, 0],
        "faiss IndexFlatIP": lambda: index.search(vectors.astype(np.float32), 1)[1][:, 0],
        "product alone": lambda: vectors.astype(np.float32) @ centroids.T,
    }
    rows: list[dict[str, float | str]] = []
    found = {}
    for name, way in ways.items():
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            found[name] = way()
            times.append(time.perf_counter() - begin)
        rows.append({"way": name, "rows/s": ROWS / min(times)})
    assert (found["ours"] == found["faiss IndexFlatIP"]).mean() > 0.9999
    return rows


def main(json: bool = False) -> None:
    """Print rows/s of each way."""
    rows = measure()
    if json:
        print(jsonlib.dumps({"benchmark": "clusters", "unit": "rows/s", "rows": rows}))
        return
    print(f"rows/s on one core, {WIDTH} dimensions, {CENTROIDS:,} centroids")
    for row in rows:
        print(f"{row['way']:20}{row['rows/s']:12,.0f}")
