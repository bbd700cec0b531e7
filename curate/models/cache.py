"""A small cache on disk for what is slow to find out again: hashes of weights, and where a hub put them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """`CURATE_CACHE`, else ~/.cache/curate. Everything in it can be deleted."""
    return Path(os.environ.get("CURATE_CACHE") or Path.home() / ".cache" / "curate")


def remember(table: str, key: str, value: list[int | str]) -> None:
    """Note a value in a small JSON table of the cache. A cache that cannot be written only costs time."""
    entries = recall(table) | {key: value}
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=cache_folder(), suffix=".tmp", delete=False) as temporary:
            json.dump(entries, temporary, indent=0, sort_keys=True)
        os.replace(temporary.name, cache_folder() / f"{table}.json")
    except OSError:
        return


def recall(table: str) -> dict[str, list[int | str]]:
    """A table of the cache; empty when it is missing or broken."""
    try:
        found = json.loads((cache_folder() / f"{table}.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def file_sha256(path: Path) -> str:
    """sha256 of a file, read again only when its size or modification time has changed."""
    status = path.stat()
    key, stamp = str(path.absolute()), [status.st_size, status.st_mtime_ns]
    known = recall("sha256").get(key)
    if known and known[:2] == stamp:
        return str(known[2])
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    remember("sha256", key, [*stamp, found])
    return found
