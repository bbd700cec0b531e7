"""The index of one webdataset tar, from one sequential read of it.

Adjacent members with one key are one sample, as in webdataset: the key is the path up to the first dot of its base
name. Nothing is extracted: names only become keys, images are hashed as they pass by, and only the caption and the JSON
are taken up.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa

from curate.schema import make_uid, parse_uid
from stages.ingest.members import FILE, Member, damaged, members
from stages.ingest.rows import Row, safe_key, table_of

IMAGES = frozenset(["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"])
MAX_IMAGE = 256 << 20
MAX_TEXT = 1 << 20
MAX_JSON = 4 << 20
CHUNK = 1 << 20

_NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)", re.DOTALL)
_RESERVED = re.compile(r"__[^/]*__(?:$|/)")


@dataclass
class _Sample:
    """What has been seen of one sample."""

    key: str
    image: tuple[int, int, str, bytes] | None = None  # offset, size, extension, sha256
    txt: bytes | None = None
    json: bytes | None = None
    suffixes: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)  # image | txt | json -> why it was not taken up


def index_tar(file: BinaryIO, where: str) -> pa.Table:
    """One row per sample of an uncompressed tar, in the archive's order; schema `curate.schema.INDEX`.

    The caption is the `.txt` member, else `caption` or `text` of the `.json` member; an empty one is a caption. A
    sample without an image or caption is a row with its `error`.

    Args:
        file: seekable, opened in binary mode.
        where: the file's path or URL, for messages.

    Raises:
        PoolError: the archive is compressed, damaged or cut off; names the file, the byte and the remedy.
    """
    return table_of(_row(sample) for sample in _samples(file, where))


def _samples(file: BinaryIO, where: str) -> Iterator[_Sample]:
    sample: _Sample | None = None
    for member in members(file, where):
        match = _NAME.fullmatch(member.name)
        if match is None or member.kind == "folder" or _RESERVED.match(member.name):
            continue  # webdataset passes over these as well
        key, suffix = match[1], match[2].lower()
        if sample is None or key != sample.key or suffix in sample.suffixes:
            if sample is not None:
                yield sample
            sample = _Sample(key)
        sample.suffixes.add(suffix)
        _take(sample, suffix, member, file, where)
    if sample is not None:
        yield sample


def _take(sample: _Sample, suffix: str, member: Member, file: BinaryIO, where: str) -> None:
    """Hash or read the member's data, if it is one that the index wants."""
    part = "image" if suffix in IMAGES else suffix
    if part not in ("image", "txt", "json") or (part == "image" and sample.image):
        return
    limit = {"image": MAX_IMAGE, "txt": MAX_TEXT, "json": MAX_JSON}[part]
    if member.kind != FILE:
        sample.refused[part] = f"the .{suffix} member is a {member.kind}"
    elif member.size > limit:
        sample.refused[part] = f"the .{suffix} member has {member.size} bytes, more than {limit >> 20} MiB"
    elif part == "image":
        digest = _hash(file, member, where)
        sample.image = (member.offset, member.size, suffix, digest)
    else:
        setattr(sample, part, file.read(member.size))


def _hash(file: BinaryIO, member: Member, where: str) -> bytes:
    state, left = hashlib.sha256(), member.size
    while left:
        data = file.read(min(left, CHUNK))
        if not data:
            raise damaged(where, member.offset, "the file became shorter while it was read")
        state.update(data)
        left -= len(data)
    return state.digest()


def _row(sample: _Sample) -> Row:
    key = safe_key(sample.key)
    meta, fields, flaw = _meta(sample)
    text, error = _caption(sample, fields, flaw)
    offset, size, ext, digest = sample.image or (None, None, None, None)
    if sample.image is None:
        error = sample.refused.get("image") or f"no image member (found: {', '.join(sorted(sample.suffixes)):.100})"
    if error is not None:
        offset = size = None
    uid = parse_uid(fields.get("uid")) or make_uid(key, text, digest or b"")
    url = fields.get("url")
    return Row(uid, key, text, url if _is_text(url) else None, offset, size, ext, digest, meta, error)


def _meta(sample: _Sample) -> tuple[str | None, dict[str, Any], str | None]:
    """The JSON as it came, its fields, and what is wrong with it."""
    if sample.json is None:
        return None, {}, sample.refused.get("json")
    try:
        meta = sample.json.decode("utf-8-sig")
        value = json.loads(meta)
    except (ValueError, RecursionError) as error:
        return None, {}, f"the .json member is no JSON: {error}"
    return meta, value if isinstance(value, dict) else {}, None


def _caption(sample: _Sample, fields: dict[str, Any], flaw: str | None) -> tuple[str | None, str | None]:
    """The caption, or why there is none."""
    if sample.txt is not None:
        try:
            return sample.txt.decode("utf-8-sig"), None
        except UnicodeDecodeError as error:
            return None, f"the .txt member is not UTF-8 at byte {error.start}"
    if "txt" in sample.refused:
        return None, sample.refused["txt"]
    for name in ("caption", "text"):
        if _is_text(fields.get(name)):
            return fields[name], None
        if isinstance(fields.get(name), str):
            return None, f"the {name} in the .json member holds a lone surrogate, which no file can hold"
    return None, "no caption" if flaw is None else f"no caption: {flaw}"


def _is_text(value: object) -> bool:
    """Whether it is a string that can be stored: lone surrogates, which JSON can spell, cannot."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
