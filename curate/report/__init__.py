"""The report of a run: one self-contained HTML page that opens anywhere and loads nothing."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from curate.report.collect import collect
from curate.report.svg import bars, boxes, histogram
from curate.storage import Storage

if TYPE_CHECKING:
    from jinja2 import Template

    from curate.inspect import Run


def write_report(storage: Storage, name: str) -> str:
    """Write `runs/<name>/report.html` atomically; returns its path or URL."""
    from curate.inspect import Run

    run = Run(storage, name)
    page = render(run)
    path = f"{run.folder}/report.html"
    storage.write(path, page.encode())
    return storage.url(path)


def render(run: Run) -> str:
    """The page. Every text that came from outside is escaped by the template."""
    return _template().render(**collect(run), histogram=histogram, bars=bars, boxes=boxes)


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    environment.globals["css"] = (folder / "page.css").read_text()
    return environment.get_template("page.html.j2")


def visible(text: object) -> str:
    """Control characters and bidirectional overrides as visible code points, so that a caption cannot disguise itself."""
    hidden = {0xAD, 0x61C, 0x200E, 0x200F, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    out = []
    for character in str(text):
        code = ord(character)
        control = code < 32 or 127 <= code < 160 or code in hidden or 0xD800 <= code < 0xE000
        out.append(f"\u27e8{code:02X}\u27e9" if control and character not in "\n\t" else character)
    return "".join(out)
