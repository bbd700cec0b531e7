"""Webdataset shards: plain tars that webdataset, open_clip's trainer and `datasets` read as they are."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from curate.contracts import Exporter, Record
from curate.image import decode

AS_THEY_ARE = {"jpg": "jpg", "jpeg": "jpg", "png": "png", "webp": "webp"}
"""Formats that every reader knows: their bytes are exported untouched."""


class Webdataset(Exporter):
    """One tar per shard: KEY.jpg|png|webp, KEY.txt, KEY.json, adjacent; `sizes.json` beside them for open_clip."""

    format: ClassVar[str] = "webdataset"
    suffix: ClassVar[str] = ".tar"

    def write(self, records: Sequence[Record], path: Path) -> None:
        """Byte-identical for equal records: no times, no owners."""
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for record in records:
                image, ext = _image(record)
                meta = json.dumps({**record.meta, "key": record.key}, ensure_ascii=False, sort_keys=True)
                members = ((ext, image), ("txt", record.text.encode()), ("json", meta.encode()))
                for suffix, data in members:
                    info = tarfile.TarInfo(f"{record.key}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))

    def index_files(self, counts: dict[str, int]) -> dict[str, bytes]:
        """`sizes.json`: open_clip reads the number of samples from it."""
        return {"sizes.json": (json.dumps(counts, indent=2, sort_keys=True) + "\n").encode()}


def _image(record: Record) -> tuple[bytes, str]:
    """The image's bytes and extension; formats that readers do not know become PNG."""
    known = AS_THEY_ARE.get(record.ext.lower())
    if known:
        return record.image, known
    out = io.BytesIO()
    decode(record.image, "full").save(out, "PNG")
    return out.getvalue(), "png"
