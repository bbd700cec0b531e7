"""What sources of web pages share, wherever the pages lie: their fields, where images come from, and the shard."""

from __future__ import annotations

import os
import tempfile
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

import pyarrow as pa
from pydantic import Field, model_validator

from curate.contracts import Ingested, Source, Unit
from stages.ingest.documents import Extract, Images, Parsed, Store, WebPage, document_tables, parse
from stages.ingest.download import Downloads, check_url, fetched
from stages.ingest.files import Refused, read_inside
from stages.ingest.pack import Blobs
from stages.ingest.tar import MAX_IMAGE

MISSING = "missing image: "

Mode = Literal["default", "obelics", "mmc4"]


class WebSource(Source):
    """Pages in units that are parts of archives, tars or folders; each becomes a document with its nodes."""

    documents: ClassVar[bool] = True

    mode: Mode = Field(
        default="default",
        description="how a page is cut into nodes: stages.html.page, the same by sentence (mmc4), or as OBELICS does",
    )
    images: Literal["archive", "folder", "download"] = Field(
        default="archive", description="where images are: with the pages, in `folder`, or on the web"
    )
    folder: str | None = Field(
        default=None, description="local folder of images: http://host/a/b.png is host/a/b.png, as wget mirrors"
    )
    download: Downloads = Field(default=Downloads(), description="limits and manners of `images: download`")
    max_page_megabytes: float = Field(default=16, gt=0, description="larger pages fail")

    @model_validator(mode="after")
    def _check_folder(self) -> Self:
        if (self.images == "folder") != (self.folder is not None):
            raise ValueError("`folder` and `images: folder` belong together: give both, or neither")
        return self

    @abstractmethod
    def pages(self, unit: Unit, passed: Counter[str]) -> Iterator[WebPage]:
        """The pages of a unit, in order; what is none is counted in `passed`. It may be asked for them twice."""

    @abstractmethod
    def archived(self, unit: Unit) -> AbstractContextManager[Images]:
        """The images that lie where the unit's pages do."""

    def tables(self, pages: Iterable[Parsed], store: Store) -> Iterator[pa.Table]:
        """The index of a shard, in pieces."""
        return document_tables(pages, store)

    def ingest(self, unit: Unit, target: Path) -> Ingested:
        """Cut the unit's pages into nodes, and write the images that they show to a tar at `target`."""
        passed = Counter[str]()
        with self._images(unit) as images, Blobs(target) as blobs:
            tables = list(self.tables(self._parsed(unit, passed), Store(images, blobs)))
        return Ingested(pa.concat_tables(tables), passed=dict(sorted(passed.items())))

    def settings(self) -> str:
        """The fields on which a shard's rows depend, for its stamp."""
        return repr((self.mode, self.images, self.folder, self.max_page_megabytes, self.download.image_size))

    def _parsed(self, unit: Unit, passed: Counter[str]) -> Iterator[Parsed]:
        return parse(self.pages(unit, passed), extractor(self.mode))

    @contextmanager
    def _images(self, unit: Unit) -> Iterator[Images]:
        if self.folder is not None:
            yield Mirror(self.folder)
        elif self.images == "archive":
            with self.archived(unit) as images:
                yield images
        else:
            # All URLs have to be known before the first row is written; parsing twice keeps no page in memory.
            parsed = (one.page for one in self._parsed(unit, Counter()) if one.page)
            urls = (node.url for page in parsed for node in page.nodes if node.url)
            with tempfile.TemporaryDirectory(prefix="curate-images-") as folder:
                yield Downloaded(self.download, urls, Path(folder))


def extractor(mode: Mode) -> Extract:
    """The function that cuts a page into nodes. Raises `MissingExtra` when it is called without its parser."""
    if mode == "obelics":
        from stages.html import obelics

        return obelics.extract
    if mode == "mmc4":
        from stages.html import sentences

        return sentences.extract
    from stages.html import page

    return page.extract


class Mirror:
    """Images in a local folder, at the place that their URL names: host/path."""

    def __init__(self, folder: str) -> None:
        self.root = os.path.realpath(folder)

    def read(self, url: str) -> bytes:
        """The file's bytes. Raises `Refused`: missing, outside of the folder, no plain file, too large, no URL."""
        parts = parts_of(url)
        return read_inside(self.root, f"{parts.hostname}/{unquote(parts.path).lstrip('/')}", MAX_IMAGE)


class Downloaded:
    """Images that img2dataset fetched into a folder."""

    def __init__(self, downloads: Downloads, urls: Iterable[str], folder: Path) -> None:
        wanted = {number: url for number, url in enumerate(dict.fromkeys(urls)) if check_url(url) is None}
        found = downloads.download(wanted, folder) if wanted else {}
        self.ends = {url: found[number] for number, url in wanted.items()}

    def read(self, url: str) -> bytes:
        """The downloaded bytes. Raises `Refused` with why they could not be had."""
        end = self.ends.get(url) or check_url(url) or f"{MISSING}another URL of it was asked for"
        if isinstance(end, str):
            raise Refused(end)
        return fetched(end)


def parts_of(url: str) -> SplitResult:
    """A URL in its parts. Raises `Refused` where it is none: what a page names may be anything."""
    try:
        return urlsplit(url)
    except ValueError as error:
        raise Refused(f"{MISSING}a malformed URL: {error}") from error


def address(url: str) -> str:
    """A URL as images are looked up by it: without scheme and fragment, which name no other bytes, and in one spelling."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return url
    path = "/".join(part for part in unquote(parts.path, errors="surrogateescape").split("/") if part)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.netloc.lower()}/{quote(path, errors='surrogateescape')}{query}"
