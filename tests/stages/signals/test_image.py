"""Header facts and pixel statistics, on images whose answers are known."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from curate.contracts import Batch
from curate.errors import SampleError
from curate.image import decode
from stages.signals.image import Header, Pixels, colorfulness, sharpness


def encode(image: Image.Image, name: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name)
    return buffer.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def statistics(*pictures: Image.Image) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in Pixels().compute(Batch({}, images=pictures)).items()}


def test_header() -> None:
    blobs = [encode(noise(64, 32)), encode(noise(30, 90), "JPEG")]
    facts = Header().compute(Batch({}, blobs=blobs))
    assert {name: list(values) for name, values in facts.items()} == {
        "width": [64, 30],
        "height": [32, 90],
        "aspect": [2.0, 3.0],
        "megapixels": [pytest.approx(0.002048), pytest.approx(0.0027)],
        "format": ["PNG", "JPEG"],
        "bytes": [len(blob) for blob in blobs],
    }
    assert set(facts) == set(Header().gives())


def test_a_bad_file_is_the_sample_s_own_error() -> None:
    with pytest.raises(SampleError):
        Header().compute(Batch({}, blobs=[b"GIF89a"]))


def test_a_flat_image_has_no_sharpness_entropy_or_colour() -> None:
    found = statistics(Image.new("RGB", (300, 300), (51, 51, 51)))
    assert {name: values.tolist() for name, values in found.items()} == {
        "sharpness": [0.0],
        "entropy": [0.0],
        "brightness": [pytest.approx(0.2)],
        "colorfulness": [0.0],
    }


def test_two_equal_halves_are_one_bit() -> None:
    halves = Image.new("L", (256, 256))
    halves.paste(255, (0, 0, 128, 256))
    found = statistics(halves.convert("RGB"))
    assert found["entropy"][0] == pytest.approx(1.0)
    assert found["brightness"][0] == pytest.approx(0.5)


def test_blur_lowers_sharpness_at_any_size() -> None:
    for scale in (1, 2, 5):
        sharp = noise(128, 128).resize((300 * scale, 300 * scale), Image.Resampling.BICUBIC)
        blurred = sharp.filter(ImageFilter.GaussianBlur(4 * scale))
        a, b = statistics(decode(encode(sharp)), decode(encode(blurred)))["sharpness"]
        assert a > 20 * b


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    grey = noise(40, 30).convert("L")
    y = np.asarray(grey, float)
    laplacian = [
        y[i - 1, j] + y[i + 1, j] + y[i, j - 1] + y[i, j + 1] - 4 * y[i, j] for i in range(1, 29) for j in range(1, 39)
    ]
    assert sharpness(grey) == pytest.approx(np.var(laplacian))
    assert sharpness(Image.new("L", (2, 500))) == 0


def test_colorfulness_is_that_of_hasler_and_suesstrunk() -> None:
    assert colorfulness(Image.new("RGB", (8, 8), (255, 0, 0))) == pytest.approx(0.3 * np.hypot(255, 127.5))
    assert colorfulness(noise(64, 64).convert("L").convert("RGB")) == 0


def test_a_value_does_not_depend_on_the_rest_of_the_batch() -> None:
    pictures = [noise(300 + i, 280, seed=i) for i in range(4)]
    together = statistics(*pictures)
    for i, picture in enumerate(pictures):
        assert all(values[0] == together[name][i] for name, values in statistics(picture).items())


def test_tiny_images() -> None:
    found = statistics(*(Image.new("RGB", size, "red") for size in [(1, 1), (1, 900), (3, 3)]))
    assert all(np.isfinite(values).all() for values in found.values())
