"""FFCV shards: `.beton` files that plain `ffcv` reads (Leclerc et al. 2023, "FFCV: Accelerating Training by Removing Data
Bottlenecks").

FFCV's own writer hands samples to forked processes: an error in one hangs it for ever, and with several the pages land in
any order. So its parts (fields, allocator, header) are driven here, in this process and in order: an error is an error,
and equal records give equal bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from curate.contracts import Exporter, Record
from curate.errors import MissingExtra, SampleError
from curate.image import decode


class Ffcv(Exporter):
    """Fields, in this order: `image`, RGBImageField; `caption`, JSONField {"text", "uid"}.

    `raw` pixels load fastest from memory or a fast disk; `jpg` is about eight times smaller and decodes on the fly.
    """

    format: ClassVar[str] = "ffcv"
    suffix: ClassVar[str] = ".beton"

    write_mode: Literal["raw", "jpg"] = "raw"
    max_resolution: int = Field(
        default=256, ge=16, le=4096, description="longest side in px; larger images are reduced"
    )
    jpeg_quality: int = Field(default=90, ge=1, le=100)

    def write(self, records: Sequence[Record], path: Path) -> None:
        """One beton. Raises SampleError naming the key of a record that cannot be written."""
        writer_module, fields = _ffcv()
        layout = {
            "image": fields.RGBImageField(self.write_mode, self.max_resolution, jpeg_quality=self.jpeg_quality),
            "caption": fields.JSONField(),
        }
        writer = writer_module.DatasetWriter(str(path), layout, page_size=self._page_size(), num_workers=1)
        writer.num_samples = len(records)
        writer.prepare()
        try:
            metadata = np.frombuffer(writer.metadata_sm.buf, dtype=writer.metadata_type, count=len(records))
            allocator = writer_module.MemoryAllocator(str(path), writer.data_region_start, writer.page_size)
            with allocator:
                for number, record in enumerate(records):
                    sample = (_pixels(record), {"text": record.text, "uid": record.uid})
                    names = writer.metadata_type.names
                    writer_module.handle_sample(sample, number, names, metadata, allocator, layout)
            del metadata  # it borrows the shared memory that is closed below
            writer.finalize(allocator.allocations)
        finally:
            writer.metadata_sm.close()
            writer.metadata_sm.unlink()

    def _page_size(self) -> int:
        """A power of two that holds the largest image and its caption, 8 MiB at least."""
        need = 3 * self.max_resolution**2 + (1 << 20)
        return max(8 << 20, 1 << (need - 1).bit_length())


def _pixels(record: Record) -> np.ndarray:
    """uint8 (h, w, 3)."""
    try:
        return np.asarray(decode(record.image, "full"))
    except SampleError as error:
        raise SampleError(f"{record.key} ({record.uid}): {error}") from error


def beton_uids(data: bytes) -> Iterator[str]:
    """Uids of the samples in a beton, in order."""
    with tempfile.NamedTemporaryFile(suffix=".beton") as file:
        file.write(data)
        file.flush()
        yield from (caption["uid"] for caption in captions(Path(file.name)))


def captions(path: Path) -> Iterator[dict[str, Any]]:
    """The `caption` field of each sample of a beton."""
    _, fields = _ffcv()
    from ffcv.reader import Reader

    reader = Reader(str(path))
    pages = np.memmap(path, np.uint8, mode="r")
    for place in reader.metadata[reader.metadata.dtype.names[list(reader.handlers).index("caption")]]:
        start = int(place["ptr"])
        yield fields.JSONField.unpack(pages[start : start + int(place["size"])])


def _ffcv() -> tuple[Any, Any]:
    """FFCV's writer and fields."""
    try:
        from ffcv import fields, writer
    except ImportError as error:
        raise MissingExtra("ffcv", "ffcv") from error
    return writer, fields
