"""Betons are read back by plain ffcv: its Reader, its decoder and, in the slow suite, its Loader."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.contracts import Record
from curate.errors import SampleError
from stages.export.ffcv import Ffcv, beton_uids, captions


def images(path: Path) -> list[np.ndarray]:
    """The image field of each sample by FFCV's Reader and its JPEG decoder."""
    from ffcv.libffcv import imdecode
    from ffcv.reader import Reader

    reader, data, found = Reader(str(path)), path.read_bytes(), []
    sizes = dict(zip(reader.alloc_table["ptr"].tolist(), reader.alloc_table["size"].tolist(), strict=True))
    for sample in reader.metadata:
        place = sample["f0"]
        start, height, width = int(place["data_ptr"]), int(place["height"]), int(place["width"])
        pixels = np.frombuffer(data, np.uint8, sizes[start], start)
        if place["mode"] == 0:
            out = np.empty((height, width, 3), np.uint8)
            imdecode(pixels, out, height, width, height, width, 0, 0, 1, 1, False, False)
            found.append(out)
        else:
            found.append(pixels.reshape(height, width, 3))
    return found


def test_raw_pixels_and_captions_come_back_exactly(tmp_path: Path, records: list[Record]) -> None:
    path = tmp_path / "a.beton"
    Ffcv().write(records, path)
    assert list(captions(path)) == [{"text": r.text, "uid": r.uid} for r in records]
    assert list(beton_uids(path.read_bytes())) == [r.uid for r in records]
    for found, record in zip(images(path), records, strict=True):
        assert np.array_equal(found, np.asarray(Image.open(io.BytesIO(record.image)).convert("RGB")))


def test_jpeg_mode_is_close_and_smaller(tmp_path: Path, record: Callable[..., Record]) -> None:
    given = [record(i, 200, 150) for i in range(40)]
    Ffcv().write(given, tmp_path / "raw.beton")
    Ffcv(write_mode="jpg").write(given, tmp_path / "jpg.beton")
    pairs = zip(images(tmp_path / "raw.beton"), images(tmp_path / "jpg.beton"), strict=True)
    assert max(np.abs(a.astype(int) - b).mean() for a, b in pairs) < 4


def test_many_pages_and_large_captions(tmp_path: Path, record: Callable[..., Record]) -> None:
    given = [record(i, 256, 256, text=str(i) * 20_000) for i in range(60)]
    path = tmp_path / "a.beton"
    Ffcv().write(given, path)
    assert path.stat().st_size > 2 * (8 << 20)
    assert [c["text"] for c in captions(path)] == [r.text for r in given]


@pytest.mark.parametrize("size", [(3000, 2), (2, 3000), (1000, 700), (257, 257), (256, 1), (1, 1)])
def test_no_side_is_over_the_limit_and_none_is_zero(
    tmp_path: Path, record: Callable[..., Record], size: tuple[int, int]
) -> None:
    Ffcv().write([record(0, *size)], tmp_path / "a.beton")
    height, width, _ = images(tmp_path / "a.beton")[0].shape
    scale = min(1, 256 / max(size))
    assert (width, height) == tuple(max(1, round(side * scale)) for side in size)


def test_a_bad_image_is_an_error_with_its_key_and_no_hang(tmp_path: Path, record: Callable[..., Record]) -> None:
    given = [record(0), record(1), record(2)]
    given[1] = Record(given[1].key, given[1].uid, given[1].image[:300], "jpg", "x", {})
    with pytest.raises(SampleError, match=f"{given[1].key}.*truncated"):
        Ffcv().write(given, tmp_path / "a.beton")


def test_a_caption_over_a_page_is_an_error_with_its_key(tmp_path: Path, record: Callable[..., Record]) -> None:
    long = record(1, text="x" * (9 << 20))
    with pytest.raises(SampleError, match=f"{long.key}.*page"):
        Ffcv().write([record(0), long], tmp_path / "a.beton")


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # numba's, when it frees its compiled loops
@pytest.mark.parametrize("mode", ["raw", "jpg"])
def test_ffcvs_own_loader(tmp_path: Path, record: Callable[..., Record], mode: str) -> None:
    from ffcv.fields.bytes import BytesDecoder
    from ffcv.fields.json import JSONField
    from ffcv.fields.rgb_image import CenterCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor

    given = [record(i, 64, 64, "PNG") for i in range(10)]
    path = tmp_path / "a.beton"
    Ffcv.model_validate({"write_mode": mode, "jpeg_quality": 100}).write(given, path)
    pipelines = {"image": [CenterCropRGBImageDecoder((64, 64), 1), ToTensor()], "caption": [BytesDecoder()]}
    order = OrderOption.SEQUENTIAL
    loader = Loader(str(path), 4, num_workers=1, order=order, drop_last=False, pipelines=pipelines)
    pixels, texts = [], []
    for image, caption in loader:
        pixels.extend(image.numpy().copy())
        texts.extend(JSONField.unpack(caption))
    assert texts == [{"text": r.text, "uid": r.uid} for r in given]
    for found, record_ in zip(pixels, given, strict=True):
        want = np.asarray(Image.open(io.BytesIO(record_.image))).astype(int)
        assert np.abs(found - want).mean() < (0.5 if mode == "raw" else 6)
    del loader
    gc.collect()
