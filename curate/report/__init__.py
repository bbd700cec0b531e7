"""The report of a run: one self-contained HTML page that opens anywhere and loads nothing."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from curate.report import svg
from curate.report.collect import collect
from curate.report.visible import finalize, shorten
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
    """The page. Equal runs give equal pages, apart from the section `cost`, which tells times and machines.

    Every text that came from outside is made visible and escaped by the template, and the page's own content security
    policy lets nothing run and nothing load.
    """
    return template("page.html.j2").render(**collect(run))


@lru_cache
def template(name: str) -> Template:
    """A page of this folder: every text that it prints is made visible and escaped, nothing in it runs or loads."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = (folder / "page.css").read_text(encoding="utf-8")
    environment.filters |= {"shorten": shorten, "count": "{:,}".format}
    environment.globals |= {
        "css": css,
        "css_hash": base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        "svg": svg,
    }
    return environment.get_template(name)
