"""Photographs of scikit-image (PyPI) that their own docstrings declare public domain or CC0, and regions of them.

Few such photographs come inside a package, so regions of them, each with a caption of what the region shows, are
samples of their own. Regions do not overlap enough to look alike (checked by perceptual hash when the sample is built).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data.packages import SKIMAGE, fetch

Region = tuple[int, int, int, int]  # left, top, right, bottom in px of the file
WHOLE: Region = (0, 0, 0, 0)


@dataclass(frozen=True)
class Photo:
    """One photograph or a region of it, with a caption written for it; `region` is WHOLE for the whole file."""

    file: Path
    licence: str
    region: Region
    caption: str


_PUBLIC, _CC0 = "public-domain", "CC0-1.0"
_CAPTIONS: dict[str, tuple[str, dict[Region, str]]] = {
    "astronaut.png": (
        _PUBLIC,
        {
            WHOLE: "Portrait of astronaut Eileen Collins in an orange space suit beside the American flag",
            (130, 0, 330, 210): "The smiling face of a woman astronaut above the black collar of her suit",
            (310, 0, 512, 290): "A model of the space shuttle on its launch vehicle behind the astronaut",
            (90, 280, 312, 512): "Mission patches sewn on the front of an orange pressure suit",
            (280, 312, 512, 512): "A black and white space helmet held by an astronaut",
        },
    ),
    "camera.png": (
        _CC0,
        {
            WHOLE: "A man in a black coat looks through a camera on a tripod on a lawn, black and white photograph",
            (90, 40, 340, 290): "A photographer bends his head to look into the viewfinder of his camera",
            (200, 260, 430, 512): "The three metal legs of a camera tripod standing on grass",
            (300, 90, 512, 300): "Distant buildings and a tower behind a flat lawn",
        },
    ),
    "chelsea.png": (
        _CC0,
        {
            WHOLE: "Chelsea the cat, a brown tabby cat with green eyes, looks past the camera",
            (120, 40, 330, 250): "Close-up of the green eye of a tabby cat",
            (150, 100, 400, 300): "The pink nose and white whiskers of a cat",
        },
    ),
    "coffee.png": (
        _CC0,
        {
            WHOLE: "A cup of espresso on a red saucer with a spoon on a wooden table",
            (160, 0, 420, 210): "Looking into a white cup half full of coffee",
            (280, 190, 520, 400): "A shiny steel spoon on a red saucer",
            (390, 0, 600, 210): "The brown grain of a polished wooden table top",
        },
    ),
    "rocket.jpg": (
        _PUBLIC,
        {
            WHOLE: "A Falcon 9 rocket on its launch pad at dusk between lightning towers",
            (230, 110, 430, 427): "A tall white rocket standing upright under a dark blue sky",
            (0, 0, 220, 300): "A lattice steel tower against the evening sky",
            (40, 220, 260, 427): "Bright flood lights at the foot of a launch pad at dusk",
        },
    ),
    "hubble_deep_field.jpg": (
        _PUBLIC,
        {
            WHOLE: "The Hubble extreme deep field, thousands of distant galaxies on a black sky",
            (0, 0, 420, 420): "Many small blue and orange galaxies in deep space",
            (560, 380, 1000, 800): "A bright orange galaxy among hundreds of faint ones",
            (60, 440, 480, 860): "A field of remote galaxies seen by the Hubble space telescope",
            (560, 0, 980, 380): "Spiral galaxies scattered over the dark night sky",
        },
    ),
    "retina.jpg": (
        _CC0,
        {
            WHOLE: "Fundus photograph of the retina of a normal left eye",
            (60, 430, 500, 870): "The bright optic disc of a retina where blood vessels come together",
            (480, 480, 960, 960): "The dark macula in the centre of a human retina",
            (300, 80, 760, 480): "Branching red blood vessels in the upper part of a retina",
            (400, 960, 900, 1380): "Thin arteries and veins in the lower half of an eye's retina",
        },
    ),
    "brick.png": (
        _CC0,
        {
            WHOLE: "A wall of grey bricks with light mortar, seen at an angle",
            (40, 290, 290, 512): "Close view of the lower part of a brick wall",
        },
    ),
    "grass.png": (
        _CC0,
        {
            WHOLE: "A lawn of grass and clover from above in black and white",
            (20, 20, 270, 270): "Blades of grass and small leaves on the ground",
        },
    ),
    "gravel.png": (
        _CC0,
        {
            WHOLE: "Grey gravel of small broken stones from above",
            (240, 240, 490, 490): "Close view of crushed stones lying on the ground",
        },
    ),
    "cell.png": (_CC0, {WHOLE: "Phase image of a single cell floating in saline, a bright disc on a dark background"}),
    "horse.png": (_CC0, {WHOLE: "Black silhouette of a standing horse seen from the side"}),
}
CLOCK = ("clock_motion.png", _PUBLIC, "A wall clock photographed while the camera was moving sideways")
TEXT = ("text.png", _PUBLIC, "Hand-written mathematical formulas on a sheet of lined paper")


def photos(cache: Path) -> Iterator[Photo]:
    """Whole photographs and their regions, in file order."""
    data = fetch(SKIMAGE, cache) / "skimage/data"
    for name, (licence, regions) in sorted(_CAPTIONS.items()):
        for region, caption in regions.items():
            yield Photo(data / name, licence, region, caption)


def flawed(cache: Path) -> tuple[Photo, Photo]:
    """Two whole files that are faulty by nature: a clock blurred by motion, and a sheet of hand-written text."""
    data = fetch(SKIMAGE, cache) / "skimage/data"
    clock, text = (Photo(data / name, licence, WHOLE, caption) for name, licence, caption in (CLOCK, TEXT))
    return clock, text
