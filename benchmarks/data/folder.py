"""A folder of small JPEGs with a caption table, some of whose files are no JPEGs: input for tests of ingest."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NOT_A_JPEG = b"<html><body><h1>404 Not Found</h1></body></html>\n"
_COLOURS = ("red", "green", "blue", "orange", "purple", "brown")
_SHAPES = ("disc", "square", "triangle")


def jpeg_folder(path: Path, n: int, bad: Collection[int] = (), seed: int = 0) -> Path:
    """Write `000000.jpg …` and `captions.csv` (columns file, caption) into `path`, and return `path`.

    Image i is 96 x 72 px, a coloured shape on a shaded, grainy ground, and depends on (seed, i) only. The files
    numbered in `bad` hold an HTML page instead. Raises ValueError when `bad` names a file outside [0, n).
    """
    if not set(bad) <= set(range(n)):
        raise ValueError(f"bad must lie in [0, {n}), got {sorted(set(bad) - set(range(n)))}")
    path.mkdir(parents=True, exist_ok=True)
    with (path / "captions.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerow(("file", "caption"))
        for index in range(n):
            file, (image, caption) = path / f"{index:06d}.jpg", _scene(seed, index)
            rows.writerow((file.name, caption))
            if index in bad:
                file.write_bytes(NOT_A_JPEG)
            else:
                image.save(file, "JPEG", quality=80)
    return path


def _scene(seed: int, index: int) -> tuple[Image.Image, str]:
    """One picture and its caption, from (seed, index)."""
    rng = np.random.default_rng((seed, index))
    light, slope = rng.integers(120, 220, 3), rng.uniform(-0.6, 0.6, (2, 1, 3))
    down, across = np.mgrid[0:72, 0:96][..., None] - np.array([36, 48])[:, None, None, None]
    ground = light + slope[0] * down + slope[1] * across + rng.normal(0, 6, (72, 96, 3))  # (72, 96, 3)
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    colour, shape = _COLOURS[rng.integers(len(_COLOURS))], _SHAPES[rng.integers(len(_SHAPES))]
    x, y, r = (int(rng.integers(*limits)) for limits in ((24, 72), (20, 52), (10, 20)))
    pen = ImageDraw.Draw(image)
    if shape == "disc":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif shape == "square":
        pen.rectangle((x - r, y - r, x + r, y + r), fill=colour)
    else:
        pen.polygon(((x, y - r), (x - r, y + r), (x + r, y + r)), fill=colour)
    return image, f"a {colour} {shape} on a plain ground, picture {index}"
