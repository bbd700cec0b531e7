"""HTML manuals of Debian packages as WARC archives: real documents with images. Free licences, but not to be embedded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data.packages import Package, fetch
from benchmarks.data.warcs import crawl, write_warc


@dataclass(frozen=True)
class Manual:
    """The pages of a package below `folder`, or below its subfolder `part`, as an archive."""

    package: str
    folder: str
    part: str = ""

    @property
    def name(self) -> str:
        """Of the archive."""
        return f"{self.package}-{self.part}" if self.part and not self.package.endswith(self.part) else self.package


HANDBOOK = (
    "ar-MA", "ca-ES", "cs-CZ", "da-DK", "de-DE", "el-GR", "en-US", "es-ES", "fa-IR", "fr-FR", "hr-HR", "id-ID", "it-IT",
    "ja-JP", "ko-KR", "nb-NO", "nl-NL", "pl-PL", "pt-BR", "ro-RO", "ru-RU", "sv-SE", "tr-TR", "vi-VN", "zh-CN", "zh-TW",
)  # fmt: skip
"""Translations of the Debian handbook."""

MANUALS = (
    *(Manual(f"gimp-help-{language}", "usr/share/gimp/2.0/help", language) for language in ("en", "de", "fr", "ja")),
    *(Manual("debian-handbook", "usr/share/doc/debian-handbook/html", language) for language in HANDBOOK),
    Manual("python-skimage-doc", "usr/share/doc/python-skimage-doc/html"),
    Manual("gnucash-docs", "usr/share/doc/gnucash-docs"),
    Manual("grass-doc", "usr/share/doc/grass-doc/html"),
    Manual("debian-paketmanagement-buch", "usr/share/doc/debian-paketmanagement-buch"),
    Manual("installation-guide-amd64", "usr/share/doc/installation-guide-amd64"),  # not one content image
    Manual("freedombox-doc-en", "usr/share/freedombox/manual"),  # 354 broken image links
)


def build_manuals(cache: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """Write `folder/<name>.warc.gz` for each manual; (name, records) as each is done. Raises `PackageError`."""
    folder.mkdir(parents=True, exist_ok=True)
    for manual in MANUALS:
        root = fetch(Package("deb", manual.package), cache) / manual.folder / manual.part
        pages = sorted(page for page in root.rglob("*.html") if page.is_file())
        yield manual.name, write_warc(crawl(site(manual), root, pages), folder / f"{manual.name}.warc.gz")


def site(manual: Manual) -> str:
    """Scheme and host of the manual's URLs: of a reserved domain, one per archive."""
    return f"http://{manual.name.lower()}.example"
