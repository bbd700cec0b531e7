"""Records/s of each export format, beside the plain library's own writer on the same records, in one run.

    python -m benchmarks export

Records are photos of scikit-image, cut and saved as JPEGs of 512 by 384 pixels. Plain: webdataset's ShardWriter with the
same members; FFCV's DatasetWriter with one worker and the same fields, fed by Pillow; pyarrow's write_table without the
Hugging Face form. One process each; rounds take turns and the best counts, so that a busy machine slows all alike.
"""

from __future__ import annotations

import contextlib
import io
import json as jsonlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from curate.contracts import Exporter, Record
from stages.export.ffcv import Ffcv
from stages.export.parquet import Parquet
from stages.export.shuffle import ShardPlan, histogram, order_key
from stages.export.spill import SpillRow, gather, read_spill, write_spill
from stages.export.webdataset import Webdataset

RECORDS, WIDTH, HEIGHT, SIDE, ROUNDS = 1000, 512, 384, 256, 3

Write = Callable[[Sequence[Record], Path], object]


def photos(count: int) -> list[Record]:
    """Cuts of real photos, each at its own place."""
    import skimage.data

    sources = [Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")]
    draws = np.random.default_rng(0)
    records = []
    for i in range(count):
        photo = sources[i % len(sources)]
        left, top = (int(draws.integers(0, side // 2)) for side in photo.size)
        cut = photo.crop((left, top, left + photo.width // 2, top + photo.height // 2))
        buffer = io.BytesIO()
        cut.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        uid = f"{i * 0x9E3779B97F4A7C15:032x}"
        meta = {"uid": uid, "url": f"http://example.org/{i}", "width": WIDTH, "height": HEIGHT, "similarity": i / count}
        records.append(Record(f"{0:08d}{i:06d}", uid, buffer.getvalue(), "jpg", f"photo number {i}", meta))
    return records


def plain_webdataset(records: Sequence[Record], path: Path) -> None:
    """ShardWriter, as webdataset's documentation has it."""
    import webdataset

    with contextlib.redirect_stdout(io.StringIO()), webdataset.TarWriter(str(path)) as sink:
        for r in records:
            sink.write({"__key__": r.key, "jpg": r.image, "txt": r.text, "json": r.meta})


class _Samples:
    """The records as FFCV's writer indexes them."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, number: int) -> tuple[Image.Image, dict[str, str]]:
        record = self.records[number]
        image = Image.open(io.BytesIO(record.image)).convert("RGB")
        return image, {"text": record.text, "uid": record.uid}


def plain_ffcv(mode: str) -> Write:
    """DatasetWriter, as FFCV's documentation has it, with one worker."""

    def write(records: Sequence[Record], path: Path) -> None:
        from ffcv.fields import JSONField, RGBImageField
        from ffcv.writer import DatasetWriter

        fields = {"image": RGBImageField(mode, max_resolution=SIDE), "caption": JSONField()}
        with contextlib.redirect_stderr(io.StringIO()):
            DatasetWriter(str(path), fields, num_workers=1).from_indexed_dataset(_Samples(records))

    return write


def plain_parquet(records: Sequence[Record], path: Path) -> None:
    """One table, written at once."""
    rows = [{"image": r.image, "text": r.text, "key": r.key, **r.meta} for r in records]
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


def shuffle(records: Sequence[Record], path: Path) -> None:
    """What comes before any format: order, spill to four output shards, gather."""
    words = np.array([np.frombuffer(bytes.fromhex(r.uid), ">u8") for r in records], np.uint64)
    keys = order_key(words, np.zeros(len(records), np.int64), 0)
    plan = ShardPlan.from_histogram(histogram(keys), max(1, len(records) // 4))
    rows = [
        SpillRow(int(key), bytes.fromhex(r.uid), 0, r.image, r.ext, r.text, jsonlib.dumps(r.meta))
        for key, r in zip(keys, records, strict=True)
    ]
    write_spill(rows, plan, path)
    for shard in range(len(plan.counts)):
        with path.open("rb") as file:
            gather([read_spill(file, shard)], shard)


def seconds(writers: dict[str, Write], records: Sequence[Record]) -> dict[str, float]:
    """Best seconds of each; the first round, in which libraries are loaded, does not count."""
    best = dict.fromkeys(writers, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS + 1):
            for name, write in writers.items():
                path = Path(folder) / "shard"
                begin = time.perf_counter()
                write(records, path)
                took = time.perf_counter() - begin
                best[name] = min(best[name], took) if turn else best[name]
                path.unlink()
    return best


def main(json: bool = False) -> None:
    """Print records/s of each format, and how many times its plain writer's that is."""
    records = photos(RECORDS)
    pairs: dict[str, tuple[Exporter, Write]] = {
        "webdataset": (Webdataset(), plain_webdataset),
        "ffcv raw": (Ffcv(max_resolution=SIDE), plain_ffcv("raw")),
        "ffcv jpg": (Ffcv(max_resolution=SIDE, write_mode="jpg"), plain_ffcv("jpg")),
        "parquet": (Parquet(), plain_parquet),
    }
    writers: dict[str, Write] = {"shuffle": shuffle}
    for name, (exporter, plain) in pairs.items():
        writers |= {name: exporter.write, f"plain {name}": plain}
    rates = {name: len(records) / took for name, took in seconds(writers, records).items()}
    if json:
        print(jsonlib.dumps({"benchmark": "export", "unit": "records/s", "rates": rates}))
        return
    size = sum(len(r.image) for r in records) / len(records) / 1e3
    print(f"records/s, one process, {len(records)} JPEGs of {WIDTH}x{HEIGHT} px, {size:.0f} kB on average")
    print(f"{'shuffle':12}{rates['shuffle']:>10,.0f}   order, spill and gather, before any format")
    for name in pairs:
        ours, plain_rate = rates[name], rates[f"plain {name}"]
        print(f"{name:12}{ours:>10,.0f}   plain {plain_rate:>8,.0f}   {ours / plain_rate:.2f}x")
