"""Synthetic text on the embedded sample: milliseconds per image and core, OCR beside plain RapidOCR in the same run.

`python -m benchmarks synth`. How well the grounder's boxes fit is measured by `python -m benchmarks.grounding`.
"""

from __future__ import annotations

import json as jsonlib
import tarfile
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from curate.contracts import Batch, Synth
from curate.errors import SampleError
from curate.image import decode
from stages.signals.ocr import TextInImage
from synth.caption import Caption
from synth.ground import Ground

SAMPLE = Path(__file__).resolve().parent.parent / "manifests" / "sample"
IMAGES = 128
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")


def pairs() -> list[tuple[Image, str]]:
    """The first images of each tar that decode, as thumbs, with their captions."""
    found: list[tuple[Image, str]] = []
    tars = sorted(SAMPLE.glob("*.tar"))
    for path in tars:
        with tarfile.open(path) as tar:
            own: list[tuple[Image, str]] = []
            for member in tar:
                stem, dot, _ = member.name.rpartition(".")
                if not member.name.lower().endswith(EXTENSIONS) or len(own) == IMAGES // len(tars):
                    continue
                try:
                    image = decode(_bytes(tar, member.name))
                    own.append((image, _bytes(tar, f"{stem}{dot}txt").decode()))
                except (SampleError, KeyError):
                    continue  # planted faults
            found += own
    return found


def _bytes(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    return file.read() if file else b""


def main(json: bool) -> None:
    """Print a line per step; `ratio` is to plain RapidOCR."""
    found = pairs()
    images, captions = [image for image, _ in found], [caption for _, caption in found]
    words = list(TextInImage().compute(Batch({}, images))["ocr_boxes"])
    steps: dict[str, Callable[[], Any]] = {
        "plain RapidOCR": partial(_plain_ocr, images),
        "stages.signals.ocr.TextInImage": partial(TextInImage().compute, Batch({}, images)),
        "synth.caption.Caption": partial(run, Caption(), images, captions, words),
        "synth.ground.Ground": partial(run, Ground(), images, captions, words),
    }
    base = None
    for name, step in steps.items():
        cost = _milliseconds(step, len(images))
        base = base or cost
        line = {"step": name, "ms_per_image": round(cost, 1), "ratio": round(cost / base, 3)}
        print(jsonlib.dumps(line) if json else f"{name:32} {cost:8.1f} ms/image  x{cost / base:.3f}")


def _milliseconds(step: Callable[[], Any], images: int) -> float:
    """CPU time per image, all threads; models are loaded before."""
    step()
    began = time.process_time()
    step()
    return (time.process_time() - began) / images * 1e3


def run(step: Synth, images: Sequence[Image], captions: Sequence[str], words: Sequence[Any]) -> Any:
    """A synth step over images, from their preparation to its columns."""
    prepared = np.stack([array for image in images if (array := step.prepare(image)) is not None])
    columns: dict[str, np.ndarray] = {"uid": np.zeros((len(images), 2), np.uint64)}
    for name, values in (("text", captions), ("ocr_boxes", words)):
        columns[name] = np.empty(len(values), object)
        columns[name][:] = values
    return step.compute(Batch(columns, prepared=prepared))


def _plain_ocr(images: Sequence[Image]) -> None:
    for image in images:
        _plain()(np.asarray(image))


@lru_cache(maxsize=1)
def _plain() -> Any:
    """RapidOCR as it comes, but on one thread."""
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    return RapidOCR(params={"Global.log_level": "error", **threads})
