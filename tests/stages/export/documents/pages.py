"""Documents as the engine hands them over: texts in many scripts, images of several formats, by seed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from curate.contracts import NodeRecord, Record

TEXTS = (
    "A red bus stops at the corner, and nobody gets in.",
    "नमस्ते दुनिया",
    'quotes " and \\ back',
    "line one\nline two",
    "</script><img src=x onerror=alert(1)>",
    "🦜" * 9,
    "<|endoftext|> said the page, and <|startoftext|>.",
    "",
)
KINDS = ("JPEG", "PNG", "WEBP", "GIF")


def picture(seed: int, kind: str = "JPEG") -> bytes:
    """An encoded image of smooth colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((40 + seed % 9, 30), Image.Resampling.BICUBIC).save(out, kind)
    return out.getvalue()


def uid(*parts: object) -> str:
    return hashlib.md5("/".join(map(str, parts)).encode()).hexdigest()


def text_node(document: int, number: int, text: str) -> NodeRecord:
    return NodeRecord("text", uid(document, number), text, meta={"url": None, "caption": None, "tag": "p"})


def image_node(document: int, number: int) -> NodeRecord:
    kind = KINDS[(document + number) % len(KINDS)]
    url = None if number % 5 == 4 else f"https://example.org/{document}/{number}"  # a data: URI has none
    meta = {"url": url, "caption": f"Figure {number}" if number % 2 else None, "tag": "img"}
    blob = picture(100 * document + number, kind)
    return NodeRecord("image", uid(document, number), f"alt {number}", blob, kind.lower(), meta)


def document(number: int, nodes: Sequence[str | None]) -> Record:
    """`nodes`: a text, or None for an image."""
    made = tuple(image_node(number, i) if text is None else text_node(number, i, text) for i, text in enumerate(nodes))
    meta = {
        "uid": uid(number),
        "url": f"https://example.org/{number}.html",
        "joint": None if number % 3 else float("nan"),
    }
    return Record(f"{0:08d}{number:06d}", uid(number), b"", "", f"Title {number}", meta, made)


def documents(count: int = 12) -> list[Record]:
    """Of 0 to 8 nodes, about a third of them images."""
    draw = np.random.default_rng(5)
    return [
        document(i, [None if draw.random() < 0.35 else TEXTS[int(draw.integers(len(TEXTS)))] for _ in range(i % 9)])
        for i in range(count)
    ]
