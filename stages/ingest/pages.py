"""Documents from HTML files: a local folder of a site, or tars of one."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field

from curate.contracts import Unit
from curate.errors import PoolError
from stages.ingest.documents import Images, WebPage
from stages.ingest.files import Refused, find_files, read_inside, reading
from stages.ingest.folder import walk
from stages.ingest.members import FILE, members
from stages.ingest.tar import MAX_IMAGE
from stages.ingest.web import MISSING, WebSource, parts_of

SUFFIXES = (".html", ".htm", ".xhtml")


class Pages(WebSource):
    """Files named .html, .htm or .xhtml, by path: of a local folder, or of uncompressed tars.

    A page's URL is `site` and its path. An image is looked for where its URL leads inside the same folder or tar; one of
    another host is not there. Hidden files of a folder are passed over, links that lead out of it are refused.
    """

    path: str | tuple[str, ...] = Field(
        description="a local folder of pages; or tars by path, glob, {000..012} range or URL; or a list of these"
    )
    site: str = Field(
        default="http://folder.example",
        pattern=r"^https?://[^/?#\s]+$",
        description="where the folder stood on the web",
    )
    documents_per_shard: int = Field(default=1000, ge=1)

    def units(self) -> list[Unit]:
        """One unit per `documents_per_shard` pages of the folder, or of each tar, of which the headers are read for it.

        Stamps cover all files of the folder, since any of them may be a page's image.
        """
        units: list[Unit] = []
        if isinstance(self.path, str) and os.path.isdir(self.path):
            stats = {path: stat for path, stat in walk(self.path).items() if stat[0] >= 0}
            units = self._split("", {"folder": self.path}, sorted(stats), repr(sorted(stats.items())))
        else:
            for file in find_files([self.path] if isinstance(self.path, str) else list(self.path), ".tar"):
                args = {"tar": file.path, "stamp": file.stamp}
                units += self._split(f"{file.name}/", args, sorted(contents(file.path, file.stamp)), repr(file))
        if not units:
            raise PoolError(f"{self.path}: there is no page here ({', '.join(SUFFIXES)}); correct `path`")
        return units

    def _split(self, prefix: str, args: dict[str, Any], paths: list[str], stamp: str) -> list[Unit]:
        pages = [path for path in paths if path.lower().endswith(SUFFIXES)]
        units = []
        for number, start in enumerate(range(0, len(pages), self.documents_per_shard)):
            part = pages[start : start + self.documents_per_shard]
            content = repr((stamp, part, self.site, self.settings())).encode("utf-8", "surrogateescape")
            digest = hashlib.blake2b(content, digest_size=16).hexdigest()
            units.append(Unit(f"{prefix}{number:08d}", digest, args | {"pages": part}))
        return units

    def pages(self, unit: Unit, passed: Counter[str]) -> Iterator[WebPage]:
        """The pages of the unit, by path."""
        limit = int(self.max_page_megabytes * 1e6)
        with _tree(unit) as tree:
            for path in unit.args["pages"]:
                url, meta = f"{self.site}/{quote(path, errors='surrogateescape')}", {"archive": tree.name}
                try:
                    yield WebPage(url, tree.read(path, limit, "page"), meta=meta)
                except Refused as refused:
                    yield WebPage(url, meta=meta, error=str(refused))

    @contextmanager
    def archived(self, unit: Unit) -> Iterator[Images]:
        """The images that lie beside the pages."""
        with _tree(unit) as tree:
            yield SiteImages(self.site, tree)


class Tree(Protocol):
    """Files by path."""

    name: str

    def read(self, path: str, limit: int, what: str = "image") -> bytes:
        """A file of at most `limit` bytes. Raises `Refused`."""
        ...


class SiteImages:
    """Images of a site whose files are a tree."""

    def __init__(self, site: str, tree: Tree) -> None:
        self.host, self.tree = urlsplit(site).netloc.lower(), tree

    def read(self, url: str) -> bytes:
        """The file that the URL's path leads to. Raises `Refused`."""
        parts = parts_of(url)
        if parts.netloc.lower() != self.host:
            raise Refused(f"{MISSING}{parts.netloc} is another host")
        return self.tree.read(unquote(parts.path, errors="surrogateescape").lstrip("/"), MAX_IMAGE)


class FolderTree:
    """Files below a folder."""

    def __init__(self, folder: str) -> None:
        self.name, self.root = os.path.basename(os.path.normpath(folder)), os.path.realpath(folder)

    def read(self, path: str, limit: int, what: str = "image") -> bytes:
        """As `Tree.read`; what leads out of the folder is refused."""
        return read_inside(self.root, path, limit, what)


class TarTree:
    """Members of a tar. What a link or a device is called holds nothing."""

    def __init__(self, file: BinaryIO, path: str, stamp: str) -> None:
        self.name, self.file = posixpath.basename(path), file
        self.places = contents(path, stamp)

    def read(self, path: str, limit: int, what: str = "image") -> bytes:
        """As `Tree.read`."""
        place = self.places.get(inside(path))
        if place is None:
            raise Refused(f"missing {what}: {path}")
        offset, size = place
        if size > limit:
            raise Refused(f"refused: {path} has {size} bytes, more than {limit / 1e6:g} MB")
        self.file.seek(offset)
        return self.file.read(size)


@contextmanager
def _tree(unit: Unit) -> Iterator[Tree]:
    if "folder" in unit.args:
        yield FolderTree(unit.args["folder"])
    else:
        with reading(unit.args["tar"]) as file:
            yield TarTree(file, unit.args["tar"], unit.args["stamp"])


@lru_cache(maxsize=4)
def contents(path: str, stamp: str) -> dict[str, tuple[int, int]]:
    """Where the files of a tar lie: path -> first byte, bytes. `stamp`: what changes when the tar does.

    Raises:
        PoolError: the tar is compressed, damaged or cut off.
    """
    with reading(path) as file:
        return {
            inside(member.name): (member.offset, member.size) for member in members(file, path) if member.kind == FILE
        }


def inside(path: str) -> str:
    """A path from outside in one spelling: without `.`, `..` and doubled slashes, and never above its root."""
    return posixpath.normpath(f"/{path}").lstrip("/")
