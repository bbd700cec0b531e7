"""How well the default grounder's boxes fit: objects pasted at a known place, boxed by class activation maps.

    python -m benchmarks.grounding [--root DIR]

Tux Paint stamps of animals, food, household and vehicles (fetched from Debian into ROOT/data/packages) are cut out by
their alpha, scaled and pasted on white, grass, gravel and brick. Those that the classifier names with 0.4 or more
count. IoU with the true box, per share of the map's maximum that is cut at; baselines are the whole image and its
middle (60 % of each side). Then: to how many stamps a phrase of their own caption is grounded, and to how many one of
another stamp's caption.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.data import tuxpaint
from benchmarks.synth import run
from curate.image import decode
from curate.models import classifier
from synth.backends.cam import box_of_map
from synth.boxes import Box, iou
from synth.ground import Ground

CATEGORIES = ("animals", "food", "household", "vehicles")
CANVAS = 400
NAMED = 0.4
SIZES = {"small": (0.35, 0.7), "large": (0.6, 0.98)}
"""Longer side of the object as a share of the canvas, drawn evenly."""
FRACTIONS = (0.2, 0.3, 0.4, 0.5)


def grounds() -> list[Image.Image]:
    """What objects are pasted on."""
    import skimage.data

    textures = [getattr(skimage.data, name)() for name in ("grass", "gravel", "brick")]
    pictures = [Image.fromarray(texture).convert("RGB").resize((CANVAS, CANVAS)) for texture in textures]
    return [Image.new("RGB", (CANVAS, CANVAS), "white"), *pictures]


def scenes(cache: Path, low: float, high: float) -> Iterator[tuple[Image.Image, Box]]:
    """Each stamp on a ground, and where it is."""
    draw, backs = random.Random(0), grounds()
    for pair in tuxpaint.pairs(cache):
        stamp = Image.open(BytesIO(pair.image)).convert("RGBA")
        extent = stamp.getchannel("A").getbbox()
        if pair.meta["category"] not in CATEGORIES or extent is None:
            continue
        stamp = stamp.crop(extent)
        scale = draw.uniform(low, high) * CANVAS / max(stamp.size)
        width, height = (max(8, int(side * scale)) for side in stamp.size)
        x, y = draw.randint(0, CANVAS - width), draw.randint(0, CANVAS - height)
        scene = draw.choice(backs).copy()
        stamp = stamp.resize((width, height), Image.Resampling.BICUBIC)
        scene.paste(stamp, (x, y), stamp)
        yield scene, (x / CANVAS, y / CANVAS, (x + width) / CANVAS, (y + height) / CANVAS)


def measure(size: str, cache: Path) -> None:
    """Print mean IoU and the share above 0.5 for each way to box."""
    model = classifier("default")
    found = list(scenes(cache, *SIZES[size]))
    prepared = np.stack([model.prepare(scene) for scene, _ in found])
    probabilities = model.probabilities(prepared)
    named = np.flatnonzero(probabilities.max(axis=1) >= NAMED)
    maps = model.cam(prepared[named], probabilities[named].argmax(axis=1))
    truth = [found[i][1] for i in named]
    print(f"{size}: {len(named)} of {len(found)} objects are named; the peak is inside {_pointing(maps, truth):.0%}")
    ways: dict[str, list[Box | None]] = {
        "whole image": [(0.0, 0.0, 1.0, 1.0)] * len(named),
        "middle": [(0.2, 0.2, 0.8, 0.8)] * len(named),
        **{f"map at {share:.0%}": [box_of_map(values, share) for values in maps] for share in FRACTIONS},
    }
    for way, boxes in ways.items():
        fits = np.array([iou(box, true) if box else 0.0 for box, true in zip(boxes, truth, strict=True)])
        print(f"  {way:12} mean IoU {fits.mean():.2f}   IoU > 0.5: {(fits > 0.5).mean():.0%}")


def _pointing(maps: np.ndarray, truth: list[Box]) -> float:
    """Share of maps whose largest cell has its middle inside the true box."""
    cells = [np.unravel_index(int(values.argmax()), values.shape) for values in maps]
    side = maps.shape[1]
    points = [((x + 0.5) / side, (y + 0.5) / side) for y, x in cells]
    hits = [box[0] <= x <= box[2] and box[1] <= y <= box[3] for (x, y), box in zip(points, truth, strict=True)]
    return float(np.mean(hits))


def abstains(cache: Path) -> None:
    """Print the share of stamps with a grounded phrase, for their own captions and for those of others."""
    pairs = [pair for pair in tuxpaint.pairs(cache) if pair.caption]
    images = [decode(pair.image) for pair in pairs]
    captions = [pair.caption for pair in pairs]
    random.Random(0).shuffle(others := captions.copy())
    for name, texts in (("their own caption", captions), ("another's caption", others)):
        found = run(Ground(), images, texts, [None] * len(images))["phrases"]
        print(f"{name}: {np.mean([bool(phrases) for phrases in found]):.1%} of {len(images)} stamps have a phrase")


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.grounding", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("CURATE_ROOT", "workspace")))
    folder = parser.parse_args().root / "data" / "packages"
    for name in SIZES:
        measure(name, folder)
    abstains(folder)
