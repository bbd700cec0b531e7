"""How many pictures of screens the screenshot rule finds, and what else it takes for one.

    python -m benchmarks.screenshots [--root DIR]

Screens: windows and menus of the GIMP manual (Debian's gimp-help-en, fetched into ROOT/data/packages), as they are and as
JPEG of quality 80. Not screens: its examples of filters, photographs of scikit-image, Tux Paint's stamps, and OpenClipart.
Images with a short side of at least 128 px. The thresholds were chosen on these images; the halves show how much by chance.
"""

from __future__ import annotations

import argparse
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.data.packages import OPENCLIPART_PNG, SKIMAGE, TUXPAINT, Package, fetch
from curate.contracts import Batch
from curate.errors import SampleError
from curate.image import decode
from filters.image import NotScreenshot
from stages.signals.graphics import Graphics

MANUAL = Package("deb", "gimp-help-en")
LEAST_SIDE = 128
_ILLUSTRATION = re.compile(
    r"-ex|examples|/ex|filtered|gradient|ColorToAlpha|symmetry|distort|remove-holes|smooth|lockbrush|components|saved"
    r"|sample|result|before|after|-0\d|heart|align|composite-mode|stroke-path|taj|presets|miter"
)
"""Files among the manual's windows and menus that show a picture and no window."""
_PHOTOS = (
    "astronaut camera chelsea clock_motion coffee coins hubble_deep_field motorcycle_left motorcycle_right retina rocket "
    "brick grass gravel moon cell ihc"
)


def files(cache: Path) -> dict[str, list[Path]]:
    """Images per group, in order of their names."""
    manual = fetch(MANUAL, cache) / "usr/share/gimp/2.0/help/en/images"
    parts = ("dialogs", "menus", "preferences", "tool-options")
    windows = sorted(path for part in parts for path in (manual / part).rglob("*.png"))
    data = fetch(SKIMAGE, cache) / "skimage/data"
    return {
        "windows and menus": [path for path in windows if not _ILLUSTRATION.search(str(path.relative_to(manual)))],
        "filter examples": sorted((manual / "filters/examples").rglob("*.jpg")),
        "photographs": sorted(path for path in data.iterdir() if path.stem in _PHOTOS.split()),
        "stamps": sorted(fetch(TUXPAINT, cache).rglob("*.png")),
        "clip art": sorted(fetch(OPENCLIPART_PNG, cache).rglob("*.png"))[::20],
    }


def pictures(paths: Sequence[Path], again: bool = False) -> Iterator[Image.Image]:
    """Reduced decodes of the images that are large enough; `again`: after JPEG of quality 80."""
    for path in paths:
        try:
            whole = decode(path.read_bytes(), "full")
        except SampleError:
            continue
        if min(whole.size) < LEAST_SIDE:
            continue
        buffer = io.BytesIO()
        whole.save(buffer, "JPEG", quality=80) if again else whole.save(buffer, "PNG")
        yield decode(buffer.getvalue())


def called(images: Iterator[Image.Image]) -> np.ndarray:
    """Boolean per image: whether the rule takes it for a screen."""
    facts = Graphics().compute(Batch({}, images=list(images)))
    return ~NotScreenshot().keep({name: np.asarray(values) for name, values in facts.items()})


def measure(cache: Path) -> None:
    """Print per group the share that is taken for a screen, in all and in every second image."""
    print(f"{'':28}{'images':>8}{'screens':>10}{'even':>8}{'odd':>8}")
    for name, paths in files(cache).items():
        for again in (False, True) if name == "windows and menus" else (False,):
            found = called(pictures(paths, again))
            shares = "".join(f"{part.mean():8.1%}" for part in (found, found[::2], found[1::2]))
            print(f"{name + (' as JPEG' if again else ''):28}{len(found):>8}  {shares}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.screenshots", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("CURATE_ROOT", "workspace")))
    measure(parser.parse_args().root / "data" / "packages")
