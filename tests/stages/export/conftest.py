"""Records as the engine hands them over: real encoded images of several formats, captions in many scripts."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from curate.contracts import Record

TEXTS = (
    "a red bus",
    "नमस्ते दुनिया",
    'quotes " and \\ back',
    "line one\nline two\r\n\ttab",
    "</script><img src=x onerror=alert(1)>",
    "\x01\x7f control",
    "🦜" * 300,
    "../../etc/passwd",
)


def picture(seed: int, width: int, height: int, kind: str = "JPEG") -> bytes:
    """An encoded image of smooth colours, a function of its seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(out, kind)
    return out.getvalue()


def make_record(i: int, width: int = 64, height: int = 48, kind: str = "JPEG", text: str | None = None) -> Record:
    uid = hashlib.md5(str(i).encode()).hexdigest()
    meta = {"uid": uid, "url": f"http://x/{i}", "similarity": i / 7 if i % 3 else None, "phrases": ["bus"] * (i % 2)}
    blob = picture(i, width, height, kind)
    return Record(f"{0:08d}{i:06d}", uid, blob, kind.lower(), TEXTS[i % len(TEXTS)] if text is None else text, meta)


@pytest.fixture
def record() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def records() -> list[Record]:
    kinds = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
    return [make_record(i, 40 + 3 * i, 30 + 2 * i, kinds[i % len(kinds)]) for i in range(24)]
