"""The default extraction over a folder of pages: `python -m benchmarks.peers.ours_html FOLDER`.

Seconds are CPU time of this process and of the parser's, which is its child.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil

from stages.html.page import extract


def cpu() -> float:
    """Seconds of CPU so far."""
    children = [child.cpu_times() for child in psutil.Process().children()]
    return time.process_time() + sum(times.user + times.system for times in children)


def main(folder: Path) -> None:
    """Print seconds per pass, images per page and words."""
    urls = (folder / "urls.txt").read_text().split("\n")
    pages = [(path.read_bytes(), url) for path, url in zip(sorted(folder.glob("*.html")), urls, strict=True)]
    found = [extract(*page) for page in pages]
    passes = max(1, 1000 // len(pages))
    begin = cpu()
    for _ in range(passes):
        for page in pages:
            extract(*page)
    seconds = (cpu() - begin) / passes
    images = [sum(node.kind == "image" for node in page.nodes) + page.merged for page in found]
    words = sum(len((node.text or "").split()) for page in found for node in page.nodes if node.kind == "text")
    print(json.dumps({"seconds": seconds, "images": images, "words": words}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
