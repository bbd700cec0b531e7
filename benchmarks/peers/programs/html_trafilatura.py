"""Main text with images by trafilatura: `html_trafilatura.py FOLDER fast|full`. It gives other images than all."""

import json
import sys
import time
from pathlib import Path

import trafilatura

folder, fast = Path(sys.argv[1]), sys.argv[2] == "fast"
urls = (folder / "urls.txt").read_text().split("\n")
pages = [(path.read_bytes(), url) for path, url in zip(sorted(folder.glob("*.html")), urls, strict=True)]
begin = time.process_time()
texts = [
    trafilatura.extract(html, url=url, fast=fast, include_images=True, include_comments=False) for html, url in pages
]
seconds = time.process_time() - begin
print(json.dumps({"seconds": seconds, "words": sum(len((text or "").split()) for text in texts)}))
