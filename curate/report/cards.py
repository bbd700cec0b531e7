"""Examples as the page shows them: a small JPEG that we encoded ourselves, its texts, and its grounded phrases."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from curate.engine.boundary import attempt
from curate.engine.decide import Decider
from curate.report.part import PAIRS, Place, column_of

if TYPE_CHECKING:
    from curate.inspect import Run

SIDE, STRIP_SIDE, QUALITY = 144, 80, 72
"""Longest sides in pixels of the pictures in grids and in strips of duplicates."""
SHOWN: Final = {"synthetic": "synth_caption", "phrases": "phrases", "similarity": "similarity"}
CAPTION: Final = "image_caption"
"""What a page says that an image in it shows, where the recipe finds that out."""


@dataclass(frozen=True)
class Picture:
    """A JPEG as a data URL, and its size in pixels."""

    url: str
    width: int
    height: int


def picture(run: Run, shard: int, row: int, side: int) -> Picture | None:
    """The image of a row, reduced; None for one that does not open. Nothing of the original's bytes reaches the page."""
    image, _ = attempt(lambda: run.image(shard, row, side), "drawing the report")
    if image is None:
        return None
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return Picture("data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode(), *image.size)


class Cards:
    """Makes cards of a run's samples."""

    def __init__(self, run: Run, decider: Decider) -> None:
        self.run, self.decider = run, decider
        self.columns = {name: column_of(decider.plan, given) for name, given in SHOWN.items()}
        self.caption = column_of(decider.plan, CAPTION)

    def card(self, place: Place, value: str = "") -> dict[str, Any]:
        """uid, key, caption, the value that a rule saw, picture, and what was computed or written for the sample."""
        found = self.named(place) | {"value": value, "picture": picture(self.run, place.shard.number, place.row, SIDE)}
        for name, column in self.columns.items():
            found[name] = None if column is None else self._cell(place, column)
        return found

    def member(self, place: Place, kept: bool) -> dict[str, Any]:
        """One of a strip of duplicates."""
        return self.named(place) | {
            "kept": kept,
            "picture": picture(self.run, place.shard.number, place.row, STRIP_SIDE),
        }

    def named(self, place: Place) -> dict[str, Any]:
        """What a sample is called: uid (32 hexadecimal digits), key and caption; of an image in a document, whose text is its
        alt text, its caption is a `note`."""
        row = self.decider.index(place.shard).slice(place.row, 1).to_pylist()[0]
        found = self._cell(place, self.caption) if self.caption else None
        return {
            "uid": row["uid"].hex(),
            "key": row["key"],
            "text": row["text"] or "",
            "note": found or row.get("caption") or "",
            "kind": row.get("kind", PAIRS),
        }

    def _cell(self, place: Place, column: str) -> Any:
        return self.decider.column(place.shard, column)[0][place.row].as_py()
