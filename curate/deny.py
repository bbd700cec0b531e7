"""The deny list: samples that must never be in an export, by uid, by URL or by the sha256 of their image's bytes.

`deny.jsonl` under the root holds for every run; a recipe may name further files. A file has one entry per line: 32
hexadecimal digits are a uid, 64 a sha256, anything with `://` a URL; JSON lines may carry {"uid" | "url" | "sha256"}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import fsspec
import pyarrow as pa

from curate.errors import RecipeError
from curate.fingerprint import digest
from curate.storage import Storage

FILE = "deny.jsonl"


@dataclass
class DenyList:
    """Sets to match against. Empty sets match nothing."""

    uids: set[bytes] = field(default_factory=set)
    urls: set[str] = field(default_factory=set)
    hashes: set[bytes] = field(default_factory=set)

    def add(self, line: str, place: str) -> None:
        """One entry. Raises `RecipeError` for what is none."""
        text = line.strip()
        if text.startswith("{"):
            text = _named(text, place)
        digits = text.lower()
        hexadecimal = all(c in "0123456789abcdef" for c in digits)
        if "://" in text:
            self.urls.add(text)
        elif hexadecimal and len(digits) == 32:
            self.uids.add(bytes.fromhex(digits))
        elif hexadecimal and len(digits) == 64:
            self.hashes.add(bytes.fromhex(digits))
        elif text:
            raise RecipeError(f"{place}: {text[:80]!r} is neither a uid (32 hex digits), a sha256 (64) nor a URL")

    def match(self, index: pa.Table) -> list[str | None]:
        """For each index row what it matches on, or None."""
        if not (self.uids or self.urls or self.hashes):
            return [None] * index.num_rows
        rows = zip(index["uid"].to_pylist(), index["url"].to_pylist(), index["sha256"].to_pylist(), strict=True)
        return [
            "uid" if uid in self.uids else "url" if url in self.urls else "sha256" if sha in self.hashes else None
            for uid, url, sha in rows
        ]

    @property
    def entries(self) -> int:
        """How many there are."""
        return len(self.uids) + len(self.urls) + len(self.hashes)

    @property
    def digest(self) -> str:
        """Identity of the list, for the proof of absence."""
        parts = [sorted(u.hex() for u in self.uids), sorted(self.urls), sorted(h.hex() for h in self.hashes)]
        return digest(parts)


def _named(line: str, place: str) -> str:
    """The entry of a JSON line. One that names nothing known is an error: it would be let through in silence."""
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise RecipeError(f"{place}: {line[:80]!r} is no JSON: {error}") from error
    found = [str(entry[key]) for key in ("uid", "url", "sha256") if entry.get(key)]
    if len(found) != 1:
        raise RecipeError(f"{place}: {line[:80]!r} must have one of uid, url, sha256")
    return found[0]


def read_deny(storage: Storage, files: Iterable[str] = ()) -> DenyList:
    """The root's list and those that a recipe names."""
    found = DenyList()
    sources = [storage.read(FILE).decode()] if storage.exists(FILE) else []
    names = [storage.url(FILE)] * len(sources)
    for name in files:
        try:
            with fsspec.open(name, "r", encoding="utf-8") as file:
                sources.append(file.read())
        except FileNotFoundError as error:
            raise RecipeError(f"the deny list {name} does not exist") from error
        names.append(name)
    for name, text in zip(names, sources, strict=True):
        for number, line in enumerate(text.splitlines(), 1):
            found.add(line, f"{name}:{number}")
    return found


def add_deny(storage: Storage, entries: Iterable[str]) -> DenyList:
    """Append entries to the root's list; it holds from the next run on."""
    old = storage.read(FILE).decode() if storage.exists(FILE) else ""
    found = DenyList()
    lines = [entry.strip() for entry in entries]
    for line in [*old.splitlines(), *lines]:
        found.add(line, FILE)
    known = set(old.splitlines())
    storage.write(FILE, (old + "".join(f"{line}\n" for line in lines if line and line not in known)).encode())
    return found
