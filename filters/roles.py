"""Decisions about what a node is for on its page: content stays; trackers, icons, navigation and adverts go."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from curate.contracts import Bounds, Columns, Filter

SIZES: Final = ("width", "height", "shown_width", "shown_height")
ADVERTS: Final = frozenset(
    (
        *((88, 31), (120, 60), (120, 90), (120, 240), (120, 600), (125, 125), (160, 600), (180, 150), (234, 60)),
        *((240, 400), (250, 250), (250, 360), (300, 50), (300, 100), (300, 250), (300, 600), (300, 1050)),
        *((320, 50), (320, 100), (336, 280), (468, 60), (580, 400), (728, 90), (930, 180), (970, 90), (970, 250)),
    )
)
"""Width and height of display adverts, px: IAB's fixed sizes of 2003 to 2017 and those that Google's network takes."""


class NotTracker(Filter):
    """Drops images of which a side, in the file or as shown, is at most `max_side` pixels: trackers, spacers, rules."""

    needs: ClassVar[tuple[str, ...]] = SIZES

    max_side: int = Field(default=3, ge=0)

    def keep(self, columns: Columns) -> np.ndarray:
        """A size that the markup does not say is the file's."""
        sides = np.array([columns[name].astype(np.float64) for name in SIZES])
        return np.nanmin(np.vstack([sides, np.full(sides.shape[1], np.inf)]), axis=0) > self.max_side


class NotIcon(Filter):
    """Drops images that are shown small: of which the long side is below `min_side`, and in a sentence the short side.

    What is in a sentence is a button, a symbol or a formula, though its label may be long: there the short side counts,
    against `min_inline`.
    """

    needs: ClassVar[tuple[str, ...]] = (*SIZES, "image_inline_words", "image_caption")

    min_side: int = Field(default=64, ge=0, description="least long side as shown, px")
    min_inline: int = Field(default=49, ge=0, description="least short side as shown, px, of an image in a sentence")

    def keep(self, columns: Columns) -> np.ndarray:
        """An image that shares its element with nothing but its caption stands in no sentence."""
        width, height = shown(columns)
        captioned = np.array([text is not None for text in columns["image_caption"]], bool)
        inline = (columns["image_inline_words"] > 0) & ~captioned
        small = inline & (np.fmin(width, height) < self.min_inline)
        return (np.fmax(width, height) >= self.min_side) & ~small


class NotNavigation(Filter):
    """Drops images that are there to be clicked: cards, which lead to another page together with a title or with images
    beside them, and what stands in a region that the markup calls navigation or footer."""

    needs: ClassVar[tuple[str, ...]] = ("image_card", "region")

    regions: tuple[str, ...] = Field(default=("nav", "footer"), description="regions whose images are dropped")

    def keep(self, columns: Columns) -> np.ndarray:
        """Where it is unknown whether an image is a card it is none."""
        card = np.array([value is True or value == 1 for value in columns["image_card"].tolist()], bool)
        return ~card & ~np.isin(columns["region"].astype(str), self.regions)


class NotLink(Filter):
    """Drops texts that are one link from beginning to end: menus, tables of contents, `read more`. Headings stay.

    So do captions: whether what they are about is a card, is `NotNavigation`'s to say.
    """

    needs: ClassVar[tuple[str, ...]] = ("link", "tag", "caption_of")

    headings: tuple[str, ...] = Field(default=("h1", "h2", "h3", "h4", "h5", "h6"), description="tags that stay")

    def keep(self, columns: Columns) -> np.ndarray:
        """A text that leads nowhere stays."""
        bare = np.array([link is None for link in columns["link"]], bool)
        return bare | np.isin(columns["tag"].astype(str), self.headings) | (columns["caption_of"] > 0)


class NotRepeated(Filter):
    """Drops images, or texts, that are on many pages of their domain: logos, banners, buttons; notices, menus.

    Both limits must be reached, so that a small domain, on which anything is on a good share of the pages, loses nothing.
    """

    of: Literal["image", "text"] = "image"
    min_pages: int = Field(default=5, ge=2, description="pages of the domain from which it counts as repeated")
    min_share: float = Field(default=0.2, gt=0, le=1, description="share of the domain's pages from which it does")

    def inputs(self) -> tuple[str, ...]:
        """What `ImageFrequency` or `TextFrequency` gives."""
        return (f"{self.of}_pages", f"{self.of}_share")

    def bounds(self) -> Bounds:
        """The share alone."""
        return {f"{self.of}_share": (None, self.min_share)}

    def keep(self, columns: Columns) -> np.ndarray:
        """What is of unknown frequency stays."""
        pages, share = (columns[name] for name in self.inputs())
        return ~((pages >= self.min_pages) & (share >= self.min_share))


class NotAdvert(Filter):
    """Drops images that lead to another host and have, as shown or in the file, the exact size of a display advert."""

    needs: ClassVar[tuple[str, ...]] = (*SIZES, "image_leads")

    sizes: tuple[tuple[int, int], ...] = Field(default=tuple(sorted(ADVERTS)), description="width and height, px")

    def keep(self, columns: Columns) -> np.ndarray:
        """An image that leads nowhere, or to its own host, stays."""
        away = columns["image_leads"] == "elsewhere"
        banner = np.zeros(len(away), bool)
        for width, height in (shown(columns), (columns["width"], columns["height"])):
            pairs = zip(np.round(width).tolist(), np.round(height).tolist(), strict=True)
            banner |= np.array([pair in set(self.sizes) for pair in pairs], bool)
        return ~(away & banner)


def shown(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Width and height in CSS px as the page shows an image, float64 (n,): by markup, a missing side by the file's
    aspect ratio, else the file's own size."""
    width, height, wide, high = (columns[name].astype(np.float64) for name in SIZES)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_high, by_wide = width * high / height, height * wide / width
    found_width = np.where(np.isfinite(wide), wide, np.where(np.isfinite(by_high), by_high, width))
    found_height = np.where(np.isfinite(high), high, np.where(np.isfinite(by_wide), by_wide, height))
    return found_width, found_height
