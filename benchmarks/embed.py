"""Images per second through an image-text encoder: this project's path beside a plain open_clip loop, in one run.

    python -m benchmarks embed

Both embed the same JPEGs with the same ViT-B/32 (open_clip's architecture, random weights: nothing is downloaded).
`plain` is what people write: Pillow decodes all pixels, open_clip's transform, batches of the same size, one after the
other. `ours` is what a run does: `curate.image.decode` at reduced scale and `prepare` on CPU workers, which hand bytes to
the encoder while it works; there they are pinned, normalised and multiplied, on a GPU in bfloat16.

`bound` is what the device's matrix products alone would allow: the model's products per image, counted by torch, against
the rate of one large product, measured here. On a GPU its utilisation is read from the driver while `ours` runs.
"""

from __future__ import annotations

import io
import json as jsonlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.decode import photos
from curate.image import decode

if TYPE_CHECKING:
    import torch

    from curate.models import ImageTextEncoder

ARCH = "ViT-B-32"
MEGAPIXELS = 3
"""Of each photo, as an upload of today; the images of web pools are a tenth of it, and decoding matters less."""


class Job(NamedTuple):
    """What both paths do. Each worker has the photos in memory, as it would have read them from its shard."""

    spec: str
    device: str
    precision: str
    batch: int
    workers: int


@lru_cache(maxsize=1)
def blobs() -> list[bytes]:
    """Photos that take turns."""
    return photos(MEGAPIXELS)


def checkpoint(folder: Path) -> str:
    """Random weights in a file, and the spec that opens them."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = open_clip.create_model(ARCH).state_dict()
    path = folder / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return f"open_clip:{ARCH}@file:{path}"


class Plain:
    """The loop of open_clip's README."""

    def __init__(self, job: Job) -> None:
        import open_clip

        path = job.spec.partition("@file:")[2]
        made = open_clip.create_model_and_transforms(ARCH, pretrained=path, device=job.device)
        self.job, self.model, self.transform = job, made[0].eval(), made[2]

    def embed(self, count: int) -> np.ndarray:
        """float32 (count, d), unit rows."""
        import torch
        from PIL import Image

        found = []
        with (
            torch.inference_mode(),
            torch.autocast(self.job.device, torch.bfloat16, enabled=self.job.precision == "bf16"),
        ):
            for start in range(0, count, self.job.batch):
                numbers = range(start, min(count, start + self.job.batch))
                pictures = [Image.open(io.BytesIO(blobs()[number % len(blobs())])) for number in numbers]
                pixels = torch.stack([self.transform(picture) for picture in pictures]).to(self.job.device)
                features = self.model.encode_image(pixels)
                found.append((features / features.norm(dim=-1, keepdim=True)).float().cpu().numpy())
        return np.concatenate(found)


def prepared(spec: str, numbers: range) -> np.ndarray:
    """On a CPU worker: photos to the model's input, uint8 (n, H, W, 3)."""
    from curate.models import preparer

    prepare = preparer(spec)
    return np.stack([prepare(decode(blobs()[number % len(blobs())])) for number in numbers])


def batches(job: Job, count: int, workers: ProcessPoolExecutor | None) -> Iterator[np.ndarray]:
    """Prepared batches in order; with workers, some of them before they are asked for."""
    parts = [range(start, min(count, start + job.batch)) for start in range(0, count, job.batch)]
    work = partial(prepared, job.spec)
    return map(work, parts) if workers is None else workers.map(work, parts)


def ours(job: Job, encoder: ImageTextEncoder, count: int, workers: ProcessPoolExecutor | None) -> np.ndarray:
    """float32 (count, d): batches from the workers into the encoder."""
    return np.concatenate([encoder.images_prepared(batch) for batch in batches(job, count, workers)])


def clock(device: str) -> float:
    """Seconds: of a wall clock beside a GPU, of the processor without, where other work must not count."""
    return time.perf_counter() if device == "cuda" else time.process_time()


def products(model: Any, side: int) -> float:
    """Floating-point operations of the image tower per image, counted by torch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    device = next(model.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.encode_image(torch.zeros(1, 3, side, side, device=device))
    return float(counter.get_total_flops())


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of one large matrix product, the best of some."""
    import torch

    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(8):
        begin = clock(device.type)
        product = left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * side**3 / (clock(device.type) - begin))
        del product
    return best


class Utilisation:
    """Mean share of the time in which the GPU ran something, by `nvidia-smi` twice a second; NaN without a GPU."""

    def __init__(self, device: str) -> None:
        self.samples: list[float] = []
        self._on = device == "cuda" and shutil.which("nvidia-smi") is not None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Utilisation:
        if self._on:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        if self._on:
            self._thread.join()

    def _watch(self) -> None:
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self._done.wait(0.5):
            answer = subprocess.run(query, capture_output=True, text=True, check=True).stdout
            self.samples.append(float(answer.splitlines()[0]) / 100)

    @property
    def mean(self) -> float:
        """0 to 1."""
        return float(np.mean(self.samples)) if self.samples else float("nan")


def measure() -> dict[str, Any]:
    """Rates in images/s, and what bounds them."""
    import torch

    from curate.models import image_text_encoder

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        spec = checkpoint(Path(folder))
        encoder = image_text_encoder(spec, device)
        precision, cores = ("bf16", len(os.sched_getaffinity(0))) if device == "cuda" else ("fp32", 1)
        job = Job(spec, device, precision, encoder.batch, cores)
        rates, utilisation, least = compared(job, encoder)
        side = encoder.prepare(decode(blobs()[0])).shape[0]
        flops = products(encoder._model, side)  # type: ignore[attr-defined]
    bound = peak(encoder.device, torch.bfloat16 if precision == "bf16" else torch.float32) / flops
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu, one thread",
        "precision": precision,
        "workers": cores,
        **rates,
        "bound": bound,
        **{f"{name} of bound": rate / bound for name, rate in rates.items()},
        "ratio": rates["ours"] / rates["plain"],
        "gpu utilisation": utilisation,
        "least cosine": least,
    }


def compared(job: Job, encoder: ImageTextEncoder) -> tuple[dict[str, float], float, float]:
    """Images/s of each path and of the encoder alone, the GPU's utilisation, the least cosine between the paths."""
    few, many = (4 * job.batch, 64 * job.batch) if job.device == "cuda" else (2 * job.batch, 4 * job.batch)
    loop, rates = Plain(job), {}
    loop.embed(job.batch)  # kernels are chosen and memory is taken before anything is timed
    begin = clock(job.device)
    reference = loop.embed(few)
    rates["plain"] = few / (clock(job.device) - begin)
    workers = ProcessPoolExecutor(job.workers, get_context("spawn")) if job.device == "cuda" else None
    ready = next(batches(job, job.batch, None))
    encoder.images_prepared(ready)
    if workers is not None:
        list(workers.map(partial(prepared, job.spec), [range(1)] * 4 * job.workers))  # they have started
    with Utilisation(job.device) as utilisation:
        begin = clock(job.device)
        found = ours(job, encoder, many, workers)
        rates["ours"] = many / (clock(job.device) - begin)
    if workers is not None:
        workers.shutdown()
    stack = np.concatenate([ready] * (many // job.batch))
    begin = clock(job.device)
    encoder.images_prepared(stack)
    rates["encoder alone"] = many / (clock(job.device) - begin)
    least = float(np.einsum("nd,nd->n", reference, found[:few]).min())
    assert least > 0.98, f"the two paths do not embed alike: {least}"
    return rates, utilisation.mean, least


def main(json: bool = False) -> None:
    """Print images/s, their ratio, and their share of what matrix products alone allow."""
    row = measure()
    if json:
        print(jsonlib.dumps({"benchmark": "embed", "unit": "images/s", "rows": [row]}))
        return
    print(f"{ARCH}, {MEGAPIXELS} Mpx JPEGs, {row['device']}, {row['precision']}, {row['workers']} CPU workers")
    print(f"{'':16}{'images/s':>10}{'of bound':>10}")
    for name in ("plain", "ours", "encoder alone"):
        print(f"{name:16}{row[name]:10,.1f}{row[f'{name} of bound']:10.0%}")
    print(
        f"{'bound':16}{row['bound']:10,.1f}   ours / plain {row['ratio']:.2f}, least cosine {row['least cosine']:.4f}"
    )
    if row["gpu utilisation"] == row["gpu utilisation"]:
        print(f"GPU busy {row['gpu utilisation']:.0%} of the time of ours")
