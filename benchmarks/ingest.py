"""Samples per second of `index_tar` beside plain loops over the same tar: `python -m benchmarks ingest`.

One shard of 5,000 samples (image, caption, JSON), from a warm page cache, on one core, for images of 2 kB, where
headers count, and of 20 kB, where bytes count. The plain loops: `tarfile` that does what an index needs (read all, hash
the image, parse the JSON); `tarfile` that reads headers only; webdataset's own iteration, which reads and groups but
neither hashes nor parses. Rounds take turns and the fastest counts.
"""

from __future__ import annotations

import hashlib
import io
import json as jsonlib
import random
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stages.ingest.tar import index_tar

SAMPLES, ROUNDS = 5000, 5
SIZES = (2_000, 20_000)


def write_shard(path: Path, size: int) -> None:
    """A shard as img2dataset writes one, with images of random bytes."""
    bytes_of = random.Random(0).randbytes
    with tarfile.open(path, "w") as tar:
        for i in range(SAMPLES):
            meta = {"key": f"{i:09d}", "url": f"https://example.org/{i}.jpg", "caption": f"caption {i}", "width": 640}
            members = {"jpg": bytes_of(size), "txt": b"caption %d" % i, "json": jsonlib.dumps(meta, indent=4).encode()}
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{i:09d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def indexed(path: Path) -> int:
    """Ours."""
    with path.open("rb") as file:
        return int(index_tar(file, str(path)).num_rows)


def headers(path: Path) -> int:
    """`tarfile`, headers only."""
    with tarfile.open(path, "r:") as tar:
        return sum(member.name.endswith(".jpg") for member in tar)


def same_work(path: Path) -> int:
    """`tarfile`, reading, hashing and parsing what an index holds."""
    rows = []
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            file = tar.extractfile(member)
            data = file.read() if file else b""
            if member.name.endswith(".jpg"):
                rows.append((member.name, member.offset_data, member.size, hashlib.sha256(data).digest()))
            elif member.name.endswith(".json"):
                jsonlib.loads(data)
    return len(rows)


def iterated(path: Path) -> int:
    """webdataset."""
    import webdataset

    return sum(1 for _ in webdataset.WebDataset(str(path), shardshuffle=False))


LOOPS: dict[str, Callable[[Path], int]] = {
    "index_tar": indexed,
    "tarfile, same work": same_work,
    "tarfile, headers only": headers,
    "webdataset iteration": iterated,
}


def main(json: bool = False) -> None:
    """Print a line per loop and image size: samples per second, and `index_tar`'s rate over it."""
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / f"{size}.tar"
            write_shard(path, size)
            seconds = dict.fromkeys(LOOPS, float("inf"))
            for _ in range(ROUNDS):
                for name, loop in LOOPS.items():
                    start = time.perf_counter()
                    if loop(path) != SAMPLES:
                        raise RuntimeError(f"{name} lost samples")
                    seconds[name] = min(seconds[name], time.perf_counter() - start)
            for name, spent in seconds.items():
                rate, ratio = SAMPLES / spent, spent / seconds["index_tar"]
                row = {"benchmark": "ingest", "loop": name, "image_bytes": size, "samples_per_s": round(rate)}
                line = f"{name:24}{size:8} B/image {rate:10,.0f} samples/s   index_tar is {ratio:.2f} times as fast"
                print(jsonlib.dumps(row | {"index_tar_ratio": round(ratio, 3)}) if json else line)
