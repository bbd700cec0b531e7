"""A grid of a run's images with their captions and boxes, and a document as its reader would see it, for a notebook.

    grid(run, run.sql("select shard, row, text from samples where fate = 'kept' limit 12").to_arrow_table())
    page(run, "00ab…")

Any table with the columns `shard` and `row` will do for a grid, so a query decides what is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from markupsafe import escape
from PIL import Image, ImageDraw, ImageFont

from curate.engine.boundary import attempt
from curate.errors import RunError
from curate.reading import read_document

if TYPE_CHECKING:
    from curate.inspect import Run

MOST: Final = 400
"""Cells of one picture."""
LINE, GAP, LINES = 14, 10, 2
INK, SOFT, TINT, BOX = "#1d1c1a", "#8a857b", "#f1eee8", "#f2b705"


@dataclass(frozen=True)
class Page:
    """One document as a page: a notebook shows it in a frame in which nothing runs; `html` can be written to a file."""

    html: str = field(repr=False)
    height: int
    """Of the frame, in pixels."""

    def _repr_html_(self) -> str:
        return (
            f'<iframe sandbox srcdoc="{escape(self.html)}" width="100%" height="{self.height}" '
            'style="border:1px solid #dedad2;border-radius:.5rem"></iframe>'
        )


def page(run: Run, uid: str, height: int = 520, nodes: int = 400, pictures: int = 40) -> Page:
    """The document with a uid, or with a node that has it: texts and images in order, what is gone struck with its rule.

    It shows the first `nodes`, and so many `pictures` of the images that are left and of those that are gone. Raises
    RunError where the run has no such document.
    """
    from curate.report import template
    from curate.report.reader import view

    return Page(template("reading.html.j2").render(d=view(run, read_document(run, uid), nodes, pictures)), height)


def grid(run: Run, rows: pa.Table, columns: int = 6, side: int = 160, caption: str = "text") -> Image.Image:
    """The images of `rows` in their order, `columns` to a line, each in a square of `side` pixels.

    Args:
        run: the run that `rows` is a part of.
        rows: a table with `shard` and `row`, and, if it has them, `phrases` (drawn as boxes) and the caption's column.
        columns: images side by side.
        side: pixels of a cell.
        caption: column that is written below each image, two lines of it; skipped where the table has none.

    Returns:
        An RGB image. A sample whose image does not open leaves a cell that says so.

    Raises:
        RunError: the table has no `shard` and `row`, no row at all, or more than 400.
    """
    if not {"shard", "row"} <= set(rows.column_names):
        raise RunError(f"the table has the columns {', '.join(rows.column_names)}; a grid needs `shard` and `row`")
    if not 0 < rows.num_rows <= MOST:
        raise RunError(f"a grid shows 1 to {MOST} samples, not {rows.num_rows:,}; limit the query")
    columns = max(1, min(columns, rows.num_rows))
    width, height = side + GAP, side + GAP + (LINES * LINE if caption in rows.column_names else 0)
    lines = -(-rows.num_rows // columns)
    sheet = Image.new("RGB", (columns * width + GAP, lines * height + GAP), "white")
    for i, cell in enumerate(rows.to_pylist()):
        place = (GAP + width * (i % columns), GAP + height * (i // columns))
        _draw(sheet, place, side, _image(run, cell, side), cell, caption)
    return sheet


def _image(run: Run, cell: Mapping[str, Any], side: int) -> Image.Image | None:
    found, _ = attempt(lambda: run.image(int(cell["shard"]), int(cell["row"]), side), "drawing a grid")
    return found


def _draw(
    sheet: Image.Image,
    place: tuple[int, int],
    side: int,
    image: Image.Image | None,
    cell: Mapping[str, Any],
    caption: str,
) -> None:
    """One cell: the image in the middle of its square, boxes over it, the caption below."""
    draw, (x, y) = ImageDraw.Draw(sheet), place
    font = ImageFont.load_default(11)
    draw.rectangle((x, y, x + side - 1, y + side - 1), fill=TINT)
    if image is None:
        draw.text((x + side / 2, y + side / 2), "does not open", fill=SOFT, font=font, anchor="mm")
    else:
        left, top = x + (side - image.width) // 2, y + (side - image.height) // 2
        sheet.paste(image, (left, top))
        for phrase in cell.get("phrases") or ():
            x1, y1, x2, y2 = phrase["box"]
            w, h = image.width - 1, image.height - 1
            draw.rectangle((left + x1 * w, top + y1 * h, left + x2 * w, top + y2 * h), outline=BOX, width=2)
    for number, line in enumerate(wrap(str(cell.get(caption) or ""), font, side)):
        draw.text((x, y + side + 2 + LINE * number), line, fill=INK, font=font)


def wrap(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> list[str]:
    """At most two lines that fit `width` pixels; an ellipsis where something is left out."""
    words, lines = text[:200].split(), [""]
    for i, word in enumerate(words):
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        elif len(lines) < LINES and lines[-1]:
            lines.append(_cut(word, font, width))
        else:
            rest = [longer, *words[i + 1 :]]
            lines[-1] = _cut(" ".join(rest), font, width)
            break
    return lines


def _cut(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """The text if it fits, else as much of it as fits with an ellipsis (the built-in font has no character for one)."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
