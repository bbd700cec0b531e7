from __future__ import annotations

from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

SAMPLE = Path(__file__).parents[3] / "manifests" / "sample" / "documents"


@pytest.fixture(scope="session")
def embedded_pages() -> list[tuple[str, bytes]]:
    """(URL, body) of the HTML pages of the embedded archives."""
    found = []
    for archive in sorted(SAMPLE.glob("*.warc.gz")):
        with archive.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                if (record.http_content_type or "").startswith("text/html"):
                    found.append((record.headers["WARC-Target-URI"], record.reader.read()))
    return found
