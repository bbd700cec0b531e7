"""Webdataset shards: plain tars that webdataset, open_clip's trainer and `datasets` read as they are."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from curate.contracts import Exporter, Record
from stages.export.images import readable
from stages.export.meta import meta_of


class Webdataset(Exporter):
    """One tar per shard: KEY.jpg|png|webp, KEY.txt, KEY.json, adjacent; `sizes.json` beside them for open_clip.

    Images are kept byte for byte unless `max_side` asks for smaller ones.
    """

    format: ClassVar[str] = "webdataset"
    suffix: ClassVar[str] = ".tar"
    version: ClassVar[int] = 2

    max_side: int | None = Field(
        default=None, ge=16, description="longest side in px; larger images are reduced and stored as JPEG"
    )
    quality: int = Field(default=90, ge=1, le=95, description="JPEG quality of the images that are reduced")

    def write(self, records: Sequence[Record], path: Path) -> None:
        """Byte-identical for equal records: no times, no owners. SampleError names the record whose image is bad."""
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for record in records:
                ext, image = readable(record.image, f"{record.key} ({record.uid})", self.max_side, self.quality)
                meta = json.dumps({**meta_of(record), "key": record.key}, ensure_ascii=False, sort_keys=True)
                for suffix, data in ((ext, image), ("txt", record.text.encode()), ("json", meta.encode())):
                    info = tarfile.TarInfo(f"{record.key}.{suffix}")  # mtime 0, uid 0, gid 0, mode 0644
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))

    def index_files(self, counts: dict[str, int]) -> dict[str, bytes]:
        """`sizes.json`: open_clip reads the number of samples from it."""
        return {"sizes.json": (json.dumps(counts, indent=2, sort_keys=True) + "\n").encode()}
