"""Decisions about images, by their header or by their pixels."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from curate.contracts import Bounds, Columns, Filter
from filters.thresholds import all_within


class Resolution(Filter):
    """Keeps images whose short side is at least `min_side` pixels, and whose area is at most `max_megapixels`."""

    min_side: int | None = Field(default=None, gt=0)
    max_megapixels: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if not self.bounds():
            raise ValueError("give min_side, max_megapixels or both")
        return self

    def inputs(self) -> tuple[str, ...]:
        """Only what is limited."""
        return tuple(self.bounds())

    def bounds(self) -> Bounds:
        """Limits of both sides and of the area."""
        limits: Bounds = {
            "width": (self.min_side, None),
            "height": (self.min_side, None),
            "megapixels": (None, self.max_megapixels),
        }
        return {name: pair for name, pair in limits.items() if pair != (None, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a pair whose header could not be read."""
        return all_within(columns, self.bounds())


class AspectRatio(Filter):
    """Keeps images whose long side is at most `max` times the short one."""

    needs: ClassVar[tuple[str, ...]] = ("aspect",)

    max: float = Field(default=3.0, ge=1)

    def bounds(self) -> Bounds:
        """The highest ratio that stays."""
        return {"aspect": (None, self.max)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a pair whose header could not be read."""
        return all_within(columns, self.bounds())


class Sharpness(Filter):
    """Keeps images whose variance of the Laplacian, at a short side of 256, is at least `min`: the rest are blurred."""

    needs: ClassVar[tuple[str, ...]] = ("sharpness",)

    min: float = Field(gt=0)

    def bounds(self) -> Bounds:
        """The lowest sharpness that stays."""
        return {"sharpness": (self.min, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops an image that does not decode."""
        return all_within(columns, self.bounds())


class Entropy(Filter):
    """Keeps images whose grey histogram has at least `min` bits: the rest are nearly of one colour."""

    needs: ClassVar[tuple[str, ...]] = ("entropy",)

    min: float = Field(gt=0, le=8)

    def bounds(self) -> Bounds:
        """The lowest entropy that stays."""
        return {"entropy": (self.min, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops an image that does not decode."""
        return all_within(columns, self.bounds())


class NotScreenshot(Filter):
    """Drops pictures of screens: those that have straight lines and thin strokes, both at least to the given share.

    Of a software manual's windows and menus the default finds 95 %, 87 % of them as JPEG of quality 80; of photographs
    and drawings it takes 0 to 6 % for one (docs/methods/screenshots.md). Tables, forms and maps of streets go with them.
    """

    needs: ClassVar[tuple[str, ...]] = ("lines", "strokes")

    lines: float = Field(default=0.0075, ge=0)
    strokes: float = Field(default=0.005, ge=0)

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops an image that does not decode."""
        known = ~np.isnan(columns["lines"]) & ~np.isnan(columns["strokes"])
        return known & ~((columns["lines"] >= self.lines) & (columns["strokes"] >= self.strokes))
