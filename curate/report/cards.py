"""Samples to look at: a thumbnail inside the page, the caption, and what the run knows about it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from curate.contracts import Synth
from curate.engine.boundary import attempt
from curate.engine.decide import Decider
from curate.plan import Plan
from curate.report.tallies import Example

if TYPE_CHECKING:
    from curate.inspect import Run

THUMB = 128
QUALITY = 72
MAX_PHRASES = 8


class Cards:
    """Draws cards of one run. Only what is shown is ever read."""

    def __init__(self, run: Run, decider: Decider) -> None:
        self.run, self.decider = run, decider
        self.shards = {shard.number: shard for shard in decider.shards}
        self.synth = synth_columns(decider.plan)

    def draw(self, examples: Iterable[Example], side: int = THUMB) -> list[dict[str, Any]]:
        """A card per example: uid, text, value, image (data URL or None), similarity."""
        return [self._card(example, side) for example in examples]

    def draw_synth(self, examples: Iterable[Example], side: int) -> list[dict[str, Any]]:
        """Cards that also have `caption` (synthetic) and `phrases` with their `parts` of the grounded text."""
        cards = []
        for example in examples:
            card = self._card(example, side)
            card["caption"] = self._cell(example, self.synth.get("caption"))
            phrases = (self._cell(example, self.synth.get("phrases")) or [])[:MAX_PHRASES]
            card["phrases"] = phrases
            card["parts"] = parts(str(self._cell(example, self.synth.get("grounded")) or ""), phrases)
            cards.append(card)
        return cards

    def _card(self, example: Example, side: int) -> dict[str, Any]:
        index = self.decider.index(self.shards[example.shard])
        similarity = self._cell(example, "similarity" if "similarity" in self.decider.plan.giver else None)
        return {
            "uid": index["uid"][example.row].as_py().hex(),
            "text": index["text"][example.row].as_py() or "",
            "value": example.value,
            "image": self._thumbnail(example, side),
            "similarity": similarity,
        }

    def _cell(self, example: Example, column: str | None) -> Any:
        if column is None:
            return None
        return self.decider.column(self.shards[example.shard], column)[0][example.row].as_py()

    def _thumbnail(self, example: Example, side: int) -> str | None:
        """A small JPEG as a data URL; None for an image that does not open."""
        index = self.decider.index(self.shards[example.shard])
        if index["offset"][example.row].as_py() is None:
            return None
        image, _ = attempt(lambda: self.run.image(example.shard, example.row, side), "drawing the report")
        if image is None:
            return None
        out = io.BytesIO()
        image.save(out, "JPEG", quality=QUALITY)
        return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def synth_columns(plan: Plan) -> dict[str, str]:
    """Columns of the recipe's synthesis: `caption`, `phrases` and `grounded`, the text that the phrases are of."""
    found: dict[str, str] = {}
    for node in plan.nodes:
        if isinstance(node.step, Synth):
            if "synth_caption" in node.columns:
                found.setdefault("caption", node.columns["synth_caption"])
            if "phrases" in node.columns:
                found.setdefault("phrases", node.columns["phrases"])
                found.setdefault("grounded", str(getattr(node.step, "caption", "text")))
    return found


def parts(text: str, phrases: Sequence[dict[str, Any]]) -> list[tuple[str, int | None]]:
    """The text cut at its phrases: (piece, number of the phrase or None). Overlapping phrases: the first one counts."""
    found: list[tuple[str, int | None]] = []
    end = 0
    for number, phrase in sorted(enumerate(phrases, 1), key=lambda item: (item[1]["start"], item[0])):
        if end <= phrase["start"] < phrase["end"] <= len(text):
            found += [(text[end : phrase["start"]], None), (text[phrase["start"] : phrase["end"]], number)]
            end = phrase["end"]
    return [(piece, number) for piece, number in [*found, (text[end:], None)] if piece]
