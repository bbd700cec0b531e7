"""Checksum files that `sha256sum --check` reads."""

from __future__ import annotations

from collections.abc import Mapping


def sha256sums(digests: Mapping[str, str]) -> str:
    """One line per file, sorted by name. `digests`: file name -> hexadecimal sha256."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
