"""A small real run whose captions try to take the report over, and a real browser to look at it."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import curate
from curate.inspect import Run

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src="https://attacker.invalid/x.png" onerror="document.title=\'owned\'">',
    "</title></style></table><iframe src='https://attacker.invalid'></iframe>",
    "<svg onload=document.title='owned'><a href='javascript:alert(1)'>a calm lake</a>",
    "{{ 7 * 7 }} {% for x in y %} <!-- --> ]]> &lt;b&gt; &#x3c;script&#x3e;",
    "a friendly \u202egnp.exe\u202c file of a lake",
    "zero\u200bwidth \u2066isolated\u2069 bell\x07 escape\x1b[31m red",
    "<style>*{display:none}</style><base href='https://attacker.invalid/'>",
    "Ünïcödé 猫 قطة 👩‍👩‍👧 cat on the lake",
)
"""Markup, attributes, templates, styles, bidirectional overrides, control characters; and one that is merely foreign."""


def photo(number: int, quality: int = 80) -> bytes:
    """Coarse noise, wider from number to number; every third from number 30 on repeats the picture 30."""
    drawn = 30 if number >= 30 and number % 3 == 0 else number
    noise = np.random.default_rng(drawn).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((120 + 40 * ((drawn + 1) % 9), 150 + 3 * (drawn % 5))).save(
        out, "JPEG", quality=quality
    )
    return out.getvalue()


def caption(number: int) -> str:
    """Every fourth is hostile; the others repeat."""
    words = ("a", "red", "boat", "on", "the", "quiet", "lake")
    return HOSTILE[number // 4 % len(HOSTILE)] if number % 4 == 0 else " ".join(words[: (1, 4, 5)[number % 3]])


def write_tar(path: Path, numbers: range) -> None:
    """A webdataset shard; of every forty one holds no image and one a truncated one."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in numbers:
            blob = photo(number, 80 + number % 2)
            blob = b"<html>not found</html>" if number % 40 == 10 else blob[:-200] if number % 40 == 11 else blob
            meta = json.dumps({"n": number}).encode()
            for ext, data in (("jpg", blob), ("txt", caption(number).encode()), ("json", meta)):
                member = tarfile.TarInfo(f"{number:08d}.{ext}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


RECIPE: dict[str, Any] = {
    "name": "hostile",
    "description": "Captions that <b>attack</b> the page",
    "compute": "all",
    "max_failed": 0.2,
    "signals": [
        {"step": "stages.signals.image.Header"},
        {"step": "stages.signals.image.Pixels"},
        {"step": "stages.signals.hashes.PHash"},
        {"step": "stages.signals.text.CaptionStats"},
    ],
    "facts": [{"step": "stages.select.dedup.Duplicates", "by": "phash", "distance": 2}],
    "select": [
        {"step": "filters.text.CaptionLength", "name": "caption_length", "min_words": 2, "max_words": 12},
        {"step": "filters.image.Resolution", "name": "resolution", "min_side": 130},
        {"step": "filters.image.AspectRatio", "name": "aspect_ratio", "max": 2.5},
        {"step": "filters.image.Entropy", "name": "entropy", "min": 0.1},
        {"step": "stages.select.dedup.OnePerGroup", "name": "duplicates"},
        {"step": "stages.select.top.TopFraction", "name": "sharpest", "column": "sharpness", "fraction": 0.8},
    ],
    "export": {"samples_per_shard": 20, "formats": [{"step": "stages.export.webdataset.Webdataset"}]},
}


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """120 samples in two shards, run inline."""
    folder = tmp_path_factory.mktemp("hostile")
    for shard in range(2):
        write_tar(folder / f"{shard:05d}.tar", range(60 * shard, 60 * shard + 60))
    recipe = folder / "recipe.yaml"
    pool = {"step": "stages.ingest.webdataset.Webdataset", "path": f"{folder}/*.tar"}
    recipe.write_text(yaml.safe_dump({**RECIPE, "pool": pool}, sort_keys=False))
    result = curate.run(recipe, root=str(folder / "root"), executor="inline", quiet=True)
    return curate.open_run(result["run"])


@pytest.fixture(scope="session")
def hostile_texts() -> tuple[str, ...]:
    """What a page may say to take the report over."""
    return HOSTILE


Measure = Callable[..., Any]


@pytest.fixture(scope="session")
def measure(tmp_path_factory: pytest.TempPathFactory) -> Measure:
    """Shows HTML in a real Chromium, `width` pixels wide, and returns what a JavaScript expression finds in it.

    The page is a frame of its own; the expression sees it as `page` (its document) and `view` (its window).
    """
    program = next((p for p in ("chromium", "chromium-browser", "google-chrome") if shutil.which(p)), None)
    if program is None:
        pytest.skip("no Chromium on this machine: the page is not looked at in a browser")

    def look(page: str, expression: str, width: int = 1100) -> Any:
        folder = tmp_path_factory.mktemp("browser")
        frame = f'<iframe width="{width}" height="900" style="border:0" srcdoc="{html.escape(page)}"></iframe>'
        script = (
            "onload = () => { const view = frames[0], page = view.document;"
            f" found.textContent = btoa(unescape(encodeURIComponent(JSON.stringify({expression})))); }}"
        )
        (folder / "page.html").write_text(
            f'<meta charset="utf-8"><pre id="found"></pre>{frame}<script>{script}</script>', encoding="utf-8"
        )
        options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --dump-dom"
        command = [program, *options.split(), f"--user-data-dir={folder}/profile", f"file://{folder}/page.html"]
        dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        match = re.search(r'<pre id="found">([^<]+)</pre>', dom)
        assert match is not None, f"the expression found nothing: {expression}"
        return json.loads(base64.b64decode(match.group(1)))

    return look
