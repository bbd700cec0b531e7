"""The picture of the report: its first screens side by side. Needs Chromium.

make quickstart && .venv/bin/python docs/images/make_report_png.py workspace/runs/quickstart/report.html
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT, SCREENS, SHOWN = 1100, 1540, 3, 1650
"""Pixels of a screen, how many of them, and the width of the picture."""


def screenshot(page: Path, target: Path) -> None:
    """The first `SCREENS` screens of a page as one tall image."""
    options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars"
    size = f"--window-size={WIDTH},{SCREENS * HEIGHT}"
    profile = f"--user-data-dir={target.parent}/profile"
    command = ["chromium", *options.split(), size, profile, f"--screenshot={target}", page.resolve().as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def side_by_side(tall: Image.Image) -> Image.Image:
    """The screens beside each other, reduced, in 256 colours."""
    sheet = Image.new("RGB", (SCREENS * WIDTH, HEIGHT), "white")
    for i in range(SCREENS):
        sheet.paste(tall.crop((0, i * HEIGHT, WIDTH, (i + 1) * HEIGHT)), (i * WIDTH, 0))
    return sheet.resize((SHOWN, SHOWN * HEIGHT // (SCREENS * WIDTH)), Image.Resampling.LANCZOS).quantize(256)


def main() -> None:
    """Write `report.png` beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        tall = Path(folder) / "tall.png"
        screenshot(Path(sys.argv[1]), tall)
        with Image.open(tall) as image:
            side_by_side(image.convert("RGB")).save(Path(__file__).with_name("report.png"), optimize=True)


if __name__ == "__main__":
    main()
