"""Samples per second of the trainer's loaders beside plain webdataset and plain FFCV, on the same samples.

`python -m benchmarks loaders`. Every loader gives square uint8 images of 64 pixels and captions, with two workers, from
a warm page cache; rounds take turns and the median counts, so that a busy machine slows all alike. Ratios are to
plain webdataset over the same tars. FFCV's Loader is timed after it has compiled, which is told apart.
"""

from __future__ import annotations

import json as jsonlib
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainer.beton import BetonShards
from trainer.config import Split
from trainer.data import Batch, Shards, Subset
from trainer.order import Order
from trainer.stream import Stream
from trainer.tar import TarShards

SAMPLES, SHARDS, EDGE, SIDE, BATCH, WORKERS, ROUNDS = 2048, 8, 256, 64, 64, 2, 5
Drain = Callable[[], float]  # reads an epoch, returns the seconds it took


def main(json: bool) -> None:
    """Print a line per loader: samples per second, ratio to plain webdataset."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tars, betons = folder / "tars", {mode: folder / mode for mode in ("jpg", "raw")}
        _write(tars, betons)
        loaders: dict[str, Drain] = {
            "plain webdataset": _webdataset(tars),
            "trainer, tar index": _ours(TarShards(tars, folder / "index")),
            **{f"trainer, ffcv {mode}": _ours(BetonShards(path, folder / "index")) for mode, path in betons.items()},
        }
        compiling = {}
        for mode, path in betons.items():
            began = time.perf_counter()
            loader = _ffcv(path)
            loader()
            compiling[mode] = time.perf_counter() - began
            loaders[f"plain ffcv {mode}"] = loader
        rates = {name: statistics.median(values) for name, values in _race(loaders).items()}
    _tell(rates, compiling, json)


def _race(loaders: dict[str, Drain]) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(ROUNDS):
        for name, drain in loaders.items():
            rates[name].append(SAMPLES / drain())
    return rates


def _tell(rates: dict[str, float], compiling: dict[str, float], json: bool) -> None:
    base = rates["plain webdataset"]
    for name, rate in rates.items():
        line = {"loader": name, "samples_per_second": round(rate), "ratio": round(rate / base, 2)}
        mode = name.rpartition(" ")[2]
        note = f"  (after {compiling[mode]:.0f} s of compiling)" if name.startswith("plain ffcv") else ""
        print(jsonlib.dumps(line) if json else f"{name:20} {rate:9,.0f} samples/s  x{rate / base:.2f}{note}")


def _timed(batches: Iterable[Any]) -> float:
    began = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - began


def _ours(shards: Shards) -> Drain:
    subset = Subset(shards, Split(fraction=0), held=False)
    stream: Stream[Batch] = Stream(subset, Order(subset.sizes, 0), lambda batch: batch, SIDE, 1.0, BATCH, 0, 1, WORKERS)

    batches = stream.since(0)

    def drain() -> float:
        for _ in range(2 * WORKERS):  # what was read ahead while other loaders had their turn does not count
            next(batches)
        return _timed(islice(batches, SAMPLES // BATCH))

    return drain


def _webdataset(folder: Path) -> Drain:
    """As open_clip reads: shards and a buffer shuffled, Pillow, shorter side resized, centre cut; two processes."""
    import webdataset as wds
    from torch.utils.data import DataLoader

    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    data = wds.DataPipeline(
        wds.SimpleShardList(urls, seed=0), wds.split_by_worker, wds.tarfile_to_samples(), wds.shuffle(1000),
        wds.decode("pilrgb"), wds.rename(image="jpg", text="txt"), wds.map_dict(image=_centre),
        wds.to_tuple("image", "text"), wds.batched(BATCH, partial=True),
    )  # fmt: skip
    loader: DataLoader[Any] = DataLoader(data, batch_size=None, num_workers=WORKERS, persistent_workers=True)
    next(iter(loader))  # start the workers, before FFCV starts threads that a fork would trip over
    return lambda: _timed(loader)


def _centre(image: Image.Image) -> np.ndarray:
    ratio = SIDE / min(image.size)
    small = image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.BICUBIC)
    left, top = (small.width - SIDE) // 2, (small.height - SIDE) // 2
    return np.asarray(small.crop((left, top, left + SIDE, top + SIDE)))


def _ffcv(folder: Path) -> Drain:
    from ffcv.fields.bytes import BytesDecoder
    from ffcv.fields.rgb_image import CenterCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor

    loader = Loader(
        str(folder / "00000000.beton"), batch_size=BATCH, num_workers=WORKERS, order=OrderOption.RANDOM, seed=0,
        os_cache=True, pipelines={
            "image": [CenterCropRGBImageDecoder((SIDE, SIDE), ratio=1.0), ToTensor()],
            "caption": [BytesDecoder(), ToTensor()],
        },
    )  # fmt: skip
    return lambda: _timed(loader)


def _pictures() -> Iterator[tuple[Image.Image, dict[str, str]]]:
    """Smooth random pictures of about 10 kB as JPEG, like photos of that size, and captions."""
    draws = np.random.Generator(np.random.Philox(key=0))
    for number in range(SAMPLES):
        coarse = Image.fromarray(draws.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        picture = coarse.resize((EDGE, EDGE * 3 // 4), Image.Resampling.BICUBIC)
        yield picture, {"text": f"a photo of thing number {number}", "uid": f"{number:032x}"}


def _write(tars: Path, betons: dict[str, Path]) -> None:
    """The same samples as tars of JPEGs, as betons of JPEGs and as betons of raw pixels (one file each)."""
    import io

    from ffcv.fields import JSONField, RGBImageField
    from ffcv.writer import DatasetWriter

    pairs = list(_pictures())
    tars.mkdir()
    for shard in range(SHARDS):
        with tarfile.open(tars / f"{shard:08d}.tar", "w") as tar:
            for picture, record in pairs[shard::SHARDS]:
                buffer = io.BytesIO()
                picture.save(buffer, "JPEG", quality=90)
                for suffix, data in (
                    ("jpg", buffer.getvalue()),
                    ("txt", record["text"].encode()),
                    ("json", jsonlib.dumps(record).encode()),
                ):
                    member = tarfile.TarInfo(f"{record['uid']}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    for mode, folder in betons.items():
        folder.mkdir()
        fields = {"image": RGBImageField(write_mode=mode, jpeg_quality=90), "caption": JSONField()}
        writer = DatasetWriter(str(folder / "00000000.beton"), fields, num_workers=1)
        writer.from_indexed_dataset([(np.asarray(picture), record) for picture, record in pairs])
