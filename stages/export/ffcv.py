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
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from curate.contracts import Exporter, Record
from curate.errors import MissingExtra, SampleError
from curate.image import THUMB_SIDE, decode


class Ffcv(Exporter):
    """Fields, in this order: `image`, RGBImageField; `caption`, JSONField {"text", "uid"}.

    `raw` pixels load fastest from memory or a fast disk; `jpg` is about eight times smaller and decodes on the fly.
    """

    format: ClassVar[str] = "ffcv"
    suffix: ClassVar[str] = ".beton"
    version: ClassVar[int] = 2

    write_mode: Literal["raw", "jpg"] = "raw"
    max_resolution: int = Field(
        default=256, ge=16, le=4096, description="longest side in px; larger images are reduced"
    )
    jpeg_quality: int = Field(default=90, ge=1, le=100)

    def write(self, records: Sequence[Record], path: Path) -> None:
        """One beton. Raises SampleError naming the key of a record that cannot be written."""
        module, fields = _ffcv()
        layout = {
            "image": fields.RGBImageField(self.write_mode, jpeg_quality=self.jpeg_quality),
            "caption": fields.JSONField(),
        }
        writer = module.DatasetWriter(str(path), layout, page_size=self._page_size(), num_workers=1)
        writer.num_samples = len(records)
        writer.prepare()
        # Its table of samples is shared memory for its workers; there are none, and an array needs no clean-up.
        writer.metadata_sm.close()
        writer.metadata_sm.unlink()
        table = np.zeros(len(records), writer.metadata_type)
        allocator = module.MemoryAllocator(str(path), writer.data_region_start, writer.page_size)
        with allocator:
            for number, record in enumerate(records):
                sample = (self._pixels(record), {"text": record.text, "uid": record.uid})
                try:
                    module.handle_sample(sample, number, table.dtype.names, table, allocator, layout)
                except (MemoryError, ValueError) as error:  # the allocator's words for: more than a page
                    raise SampleError(f"{record.key} ({record.uid}): does not fit a beton's page: {error}") from error
        writer.metadata_sm = SimpleNamespace(buf=table.tobytes())
        writer.finalize(allocator.allocations)

    def _page_size(self) -> int:
        """A power of two that holds the largest image and a caption of 1 MiB, 8 MiB at least."""
        need = 3 * self.max_resolution**2 + (1 << 20)
        return max(8 << 20, 1 << (need - 1).bit_length())

    def _pixels(self, record: Record) -> np.ndarray:
        """uint8 (h, w, 3), no side over `max_resolution`, none under 1 (FFCV's own resizing makes 0 of a thin one)."""
        import cv2

        # A thumb's short side is at least THUMB_SIDE, so up to there it has all the pixels that are needed.
        level: Literal["thumb", "full"] = "thumb" if self.max_resolution <= THUMB_SIDE else "full"
        try:
            pixels = np.asarray(decode(record.image, level))
        except SampleError as error:
            raise SampleError(f"{record.key} ({record.uid}): {error}") from error
        height, width = pixels.shape[:2]
        scale = self.max_resolution / max(height, width)
        if scale >= 1:
            return pixels
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


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
