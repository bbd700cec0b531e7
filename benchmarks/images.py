"""Size, aspect, blur and perceptual hash of JPEGs with planted faults, against a plain OpenCV loop: images/s and ratios.

    python -m benchmarks images

One core for each. Ours is the engine's own work on a shard: reading the tar, isolating bad samples, filters between the
signals, writing the facts; the loop does what people write: `cv2.imread`, size, ratio, variance of the Laplacian at full
size, pHash by `cv2.dct`, nothing kept. Both must name the same fault for every image and find the same planted copies.
`luma`: the signals `Luma` and `LumaHash`; `thumb`: `Pixels` and `PHash`, whose decode serves other signals too. `decode`
is the bound: the loop's time over that of nothing but the entropy decoding of the images that size and aspect leave.
"""

from __future__ import annotations

import io
import json as jsonlib
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import curate
from benchmarks.data.jpegs import Planted, jpegs
from curate.engine import worker
from curate.schema import DROPPED
from stages.signals.hashes import from_hex

MIXES = ((0.24, 2000), (1.0, 400), (4.0, 100))
"""Megapixels of clean images, and how many."""
LEAST_SIDE, MOST_ASPECT, COPY_BITS = 200, 3, 6
SHARP = {"plain": 50.0, "luma": 60.0, "thumb": 30.0}
"""Least variance of the Laplacian, each on its own scale."""
RULES = {
    "filters.image.Resolution": "small",
    "filters.image.AspectRatio": "aspect",
    "filters.image.Sharpness": "blur",
}
SIGNALS = {
    "luma": ("luma.Luma", "luma.LumaHash"),
    "thumb": ("image.Pixels", "hashes.PHash"),
}
Decisions = dict[int, tuple[str, int | None]]
"""Image number -> fate, and the hash of what stays."""


def plain(blob: bytes) -> tuple[str, int | None]:
    """What people write."""
    import cv2

    image = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    height, width = image.shape[:2]
    if min(height, width) < LEAST_SIDE:
        return "small", None
    if max(height, width) > MOST_ASPECT * min(height, width):
        return "aspect", None
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if cv2.Laplacian(grey, cv2.CV_64F).var() < SHARP["plain"]:
        return "blur", None
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    return "kept", int("".join("1" if value > np.median(low[1:]) else "0" for value in low), 2)


def plain_loop(images: Sequence[Planted]) -> tuple[float, Decisions]:
    """CPU seconds and decisions of the loop."""
    begin = time.process_time()
    found = {image.number: plain(image.blob) for image in images}
    return time.process_time() - begin, found


def entropy_decoding(images: Sequence[Planted]) -> float:
    """CPU seconds of decoding at an eighth, which leaves hardly more than undoing the Huffman code."""
    import cv2

    kept = [image.blob for image in images if image.truth not in ("small", "aspect")]
    begin = time.process_time()
    for blob in kept:
        cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    return time.process_time() - begin


def ours(tar: Path, kind: str) -> tuple[float, Decisions]:
    """CPU seconds of the pass in the engine's worker, and decisions from ledger and facts."""
    select: list[dict[str, Any]] = [
        {"step": "filters.image.Resolution", "min_side": LEAST_SIDE},
        {"step": "filters.image.AspectRatio", "max": MOST_ASPECT},
        {"step": "filters.image.Sharpness", "min": SHARP[kind]},
    ]
    names = ("image.Header", *SIGNALS[kind])
    recipe = {
        "name": kind,
        "pool": {"step": "stages.ingest.webdataset.Webdataset", "path": str(tar)},
        "signals": [{"step": f"stages.signals.{name}"} for name in names],
        "select": select,
    }
    with tempfile.TemporaryDirectory() as root, _Clock() as clock:
        file = Path(root, "recipe.yaml")
        file.write_text(yaml.safe_dump(recipe))
        done = curate.run(file, root=root, executor="inline", quiet=True)
        run = curate.open_run(done["run"])
        ledger, hashes = run.ledger().to_pylist(), run.table("phash")["phash"].to_pylist()
    found: Decisions = {}
    for row, digits in zip(ledger, hashes, strict=True):
        fate = RULES[row["rule"]] if row["fate"] == DROPPED else row["fate"]
        found[int(row["key"])] = (fate, int(from_hex([digits])[0]) if fate == "kept" else None)
    return clock.seconds, found


class _Clock:
    """Adds up the CPU time of the worker's two halves while it is open."""

    def __enter__(self) -> _Clock:
        self.seconds = 0.0
        self._was = worker.PassWorker.front, worker.PassWorker.back
        worker.PassWorker.front = self._timed(self._was[0])  # type: ignore[method-assign]
        worker.PassWorker.back = self._timed(self._was[1])  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        worker.PassWorker.front, worker.PassWorker.back = self._was  # type: ignore[method-assign]

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any) -> Any:
            begin = time.process_time()
            try:
                return method(*given)
            finally:
                self.seconds += time.process_time() - begin

        return timed


def agreement(images: Sequence[Planted], one: Decisions, other: Decisions) -> dict[str, int]:
    """Images whose fate differs; planted copies that each finds; fates that are not the planted ones."""
    apart = sum(one[image.number][0] != other[image.number][0] for image in images)
    fates = {"small": "small", "aspect": "aspect", "blur": "blur"}
    wrong = sum(other[image.number][0] != fates.get(image.truth, "kept") for image in images)
    copies = [image for image in images if image.mate is not None and one[image.number][0] == "kept"]
    found = [sum(_alike(decided, image) for image in copies) for decided in (one, other)]
    return {"apart": apart, "wrong": wrong, "copies": len(copies), "found_plain": found[0], "found": found[1]}


def _alike(found: Mapping[int, tuple[str, int | None]], image: Planted) -> bool:
    a, b = found[image.number][1], found[image.mate or 0][1]
    return a is not None and b is not None and (a ^ b).bit_count() <= COPY_BITS


def packed(images: Sequence[Planted], folder: str) -> Path:
    """A webdataset tar of the images."""
    path = Path(folder, "00000.tar")
    with tarfile.open(path, "w") as tar:
        for image in images:
            for name, data in ((f"{image.number:08d}.jpg", image.blob), (f"{image.number:08d}.txt", b"a caption")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def measure(megapixels: float, count: int, repeats: int = 3) -> dict[str, Any]:
    """Least CPU seconds of each over `repeats`, and what they decided."""
    import cv2

    cv2.setNumThreads(1)
    images = list(jpegs(count, megapixels))
    with tempfile.TemporaryDirectory() as folder:
        tar = packed(images, folder)
        loops = [plain_loop(images) for _ in range(repeats)]
        bound = min(entropy_decoding(images) for _ in range(repeats))
        runs = {kind: [ours(tar, kind) for _ in range(repeats)] for kind in SIGNALS}
    slowest, decided = min(seconds for seconds, _ in loops), loops[0][1]
    row: dict[str, Any] = {
        "Mpx": megapixels,
        "images": count,
        "opencv": cv2.__version__,
        "truth": dict(Counter(image.truth for image in images)),
        "plain": count / slowest,
        "decode": slowest / bound,
    }
    for kind, made in runs.items():
        row[kind] = slowest / min(seconds for seconds, _ in made)
        row[f"{kind}_agrees"] = agreement(images, decided, made[0][1])
    return row


def main(json: bool = False) -> None:
    """Print images/s of the loop, and how many times that ours does. Fails where a decision differs."""
    rows = [measure(*mix) for mix in MIXES]
    if json:
        print(jsonlib.dumps({"benchmark": "images", "unit": "times the OpenCV loop", "rows": rows}))
    else:
        print(f"one core; times a loop over OpenCV {rows[0]['opencv']}")
        print(
            f"{'Mpx':>6}{'images':>8}{'loop images/s':>15}{'luma':>8}{'thumb':>8}{'bound':>8}   decisions apart, copies"
        )
        for row in rows:
            told = ", ".join(
                f"{kind} {a['apart']}, {a['found']} of {a['copies']} (loop {a['found_plain']})"
                for kind, a in ((kind, row[f"{kind}_agrees"]) for kind in SIGNALS)
            )
            ratios = "".join(f"{row[way]:>7.1f}x" for way in ("luma", "thumb", "decode"))
            print(f"{row['Mpx']:>6}{row['images']:>8}{row['plain']:>15,.0f}{ratios}   {told}")
    if any(row[f"{kind}_agrees"]["apart"] for row in rows for kind in SIGNALS):
        raise SystemExit("decisions differ")
