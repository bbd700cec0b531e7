"""How well content images of real manuals are found, and their captions, against what the manuals' class names tell.

    python -m benchmarks.documents_truth [--root DIR] [--rules] [NAME...]

Runs manifests/documents/images.yaml on the archives that `make data` writes (ROOT/data/manuals) and compares the ledger
with the truth. That is independent of the extraction: the HTML is parsed here again, and only here class names are looked
at. DocBook writes `mediaobject` around a figure's image, `figure` around it and its title, `navheader` around navigation;
Sphinx and GRASS have habits of their own. Rules and thresholds were chosen on GIMP's manual in German and on Debian's
handbook; English and Japanese, GnuCash, GRASS and scikit-image were only measured.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urljoin

import numpy as np
import pyarrow as pa

import curate
from curate.columns import to_numpy
from curate.contracts import Filter
from curate.inspect import Run, open_run
from curate.schema import DOCUMENT, DROPPED, FAILED, IMAGE, KEPT

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

Role = Literal["content", "navigation", "icon"]
Labeller = Callable[["LexborNode", frozenset[str]], Role]

_FIGURE: Final = re.compile(r"Fig(ure)?\.?[\s\d]*[:.]")
_ICONS_OF_GRASS: Final = ("icons/", "barscales/", "northarrows/", "colortables/")


@dataclass(frozen=True)
class Truth:
    """One <img> of a page."""

    url: str
    """Absolute, without a fragment."""
    role: Role
    captions: tuple[str, ...]
    """The image's own caption first, then the title of the figure that it stands in; spaces collapsed."""


def page_truth(html: bytes, url: str, labeller: Labeller) -> list[Truth]:
    """Labels of the page's images in the order of its markup; those without a source are left out."""
    from selectolax.lexbor import LexborHTMLParser

    found = []
    for image in LexborHTMLParser(html).css("img[src]"):
        around = list(_ancestors(image))
        classes = frozenset(name for node in around for name in _classes(node))
        role = labeller(image, classes)
        source = (image.attributes.get("src") or "").strip()
        captions = _captions(around) if role == "content" else ()
        found.append(Truth(urljoin(url, source).partition("#")[0], role, captions))
    return found


def docbook(image: LexborNode, classes: frozenset[str]) -> Role:
    """GIMP's, GnuCash's and Debian's manuals: a media object is content, an inline one or one of the stylesheet is not."""
    if classes & {"navheader", "navfooter"} or (classes & {"left", "right"} and not classes & {"mediaobject"}):
        return "navigation"
    return "content" if "mediaobject" in classes and "guiicon" not in classes else "icon"


def sphinx(image: LexborNode, classes: frozenset[str]) -> Role:
    """scikit-image's gallery: thumbnails lead to other pages, the header has logos, one icon folds a table."""
    if classes & {"sphx-glr-thumbcontainer", "logo", "navbar-inner"}:
        return "navigation"
    return "icon" if "toggler" in _classes(image) else "content"


def grass(image: LexborNode, classes: frozenset[str]) -> Role:
    """GRASS's manual: a logo on top, galleries that lead to pages; icons by their folders, or within a sentence or an item
    of a list: figures stand in a <center>, a <div> or a cell."""
    source = image.attributes.get("src") or ""
    if "img-list" in classes or source.endswith("grass_logo.png"):
        return "navigation"
    around = image.parent
    inline = around is not None and around.tag in ("p", "li", "dt", "b") and bool(_text(around))
    return "icon" if inline or source.startswith(_ICONS_OF_GRASS) else "content"


def _captions(around: list[LexborNode]) -> tuple[str, ...]:
    """Of `mediaobject` its `caption`; of `figure` its `title`; of <figure> its <figcaption>; without those, as GRASS has
    it, all text of a container if it begins with `Fig` and ends soon."""
    texts = []
    for node in around:
        names = _classes(node)
        selector = "div.caption" if "mediaobject" in names else "p.title" if "figure" in names else None
        if node.tag == "figure":
            selector = "figcaption"
        texts += [_text(part) for part in node.css(selector)] if selector else []
    if not texts:
        texts = [text for text in map(_text, around[:4]) if _FIGURE.match(text) and len(text) < 600][:1]
    return tuple(dict.fromkeys(text for text in texts if text))


def _ancestors(node: LexborNode) -> Iterator[LexborNode]:
    """From the innermost to below <body>."""
    above = node.parent
    while above is not None and above.tag not in ("body", "html"):
        yield above
        above = above.parent


def _classes(node: LexborNode) -> list[str]:
    return (node.attributes.get("class") or "").split()


def _text(node: LexborNode) -> str:
    return " ".join(node.text(deep=True).split())


MANUALS: Final[Mapping[str, Labeller]] = {
    **{f"gimp-help-{language}": docbook for language in ("de", "en", "fr", "ja")},
    "debian-handbook-*": docbook,
    "gnucash-docs": docbook,
    "grass-doc": grass,
    "python-skimage-doc": sphinx,
    "installation-guide-amd64": docbook,
    "freedombox-doc-en": docbook,
}
"""Archive, or glob of archives -> who labels it. The last two have no content image by their markup; freedombox's is a
wiki's, which calls all of its images inline, screenshots too."""
NOT_TOLD: Final = (grass,)
"""Whose captions are known only where they begin with `Fig`: of other images it is not known that they have none."""
RECIPE: Final = "manifests/documents/images.yaml"
COLUMNS: Final = ("kind", "parent", "url", "shard", "row", "fate", "rule", "image_caption", "figure_caption")


def truths(archives: Sequence[Path], labeller: Labeller) -> dict[str, list[Truth]]:
    """Page -> its labelled images, for all HTML pages of the archives."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    found = {}
    for path in archives:
        with path.open("rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
                headers = record.http_headers
                if headers is not None and headers.status_code == 200 and record.http_content_type == "text/html":
                    url = str(record.headers["WARC-Target-URI"])
                    found[url] = page_truth(record.reader.read(), url, labeller)
    return found


def compare(rows: Sequence[Mapping[str, Any]], truth: Mapping[str, Sequence[Truth]]) -> Counter[str]:
    """What became of the labelled images: rows of a run (`COLUMNS`, in order) against pages' labels.

    Of equal file names on one page the first row is the first image, and so on. `lost`: content that was not extracted;
    `unlabelled`: rows that are no <img>.
    """
    pages = {(row["shard"], row["row"]): row["url"] for row in rows if row["kind"] == DOCUMENT}
    images = defaultdict(list)
    for row in rows:
        if row["kind"] == IMAGE:
            images[pages[row["shard"], row["parent"]], _file(row["url"])].append(row)
    counts: Counter[str] = Counter(pages=len(pages))
    for page, labels in truth.items():
        for label in labels:
            same = images[page, _file(label.url)]
            counts.update(_judged(label, same.pop(0) if same else None))
    counts["unlabelled"] = sum(map(len, images.values()))
    return counts


def _file(url: str | None) -> str:
    """Of an image's URL: manuals have double slashes in paths, which not every library keeps."""
    return (url or "").rpartition("/")[2]


def _judged(label: Truth, row: Mapping[str, Any] | None) -> list[str]:
    """What one image counts as."""
    content = label.role == "content"
    if row is None:
        return ["images", "lost" if content else "unseen"]
    if row["fate"] == FAILED:
        return ["images", "broken"]
    taken = row["fate"] != DROPPED
    names = ["images", *(["content"] if content else []), *(["taken"] if taken else [])]
    if not content:
        return names
    said = tuple(" ".join(text.split()) for text in (row["image_caption"], row["figure_caption"]) if text)
    right = "right" if said == label.captions else "partly" if set(said) & set(label.captions) else "wrong"
    return [*names, *(["found"] if taken else []), f"{'captioned' if label.captions else 'bare'} {right}"]


def images_run(archives: Sequence[Path], root: Path, pool: str) -> Run:
    """The recipe, run on the archives to its end."""
    names = ",".join(str(path) for path in archives)
    overrides = [f"pool.name={pool}", f"pool.path=[{names}]", "compute=all", "export.formats=[]", "max_failed=1"]
    summary = curate.run(RECIPE, root=str(root), executor="inline", overrides=overrides, name=pool, quiet=True)
    return open_run(summary["run"], str(root))


def variants(run: Run) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The run's rows (`COLUMNS`) under all rules, under all but one, and under each alone."""
    steps = {rule.label: rule.step for rule in run.plan.rules if isinstance(rule.step, Filter)}
    read = sorted({name for step in steps.values() for name in step.inputs()} - set(COLUMNS))
    table = run.table(*COLUMNS, *read)
    rows = table.select(COLUMNS).to_pylist()
    judged = [i for i, row in enumerate(rows) if row["kind"] == IMAGE and row["fate"] != FAILED]
    columns = {name: to_numpy(table[name].take(pa.array(judged))) for name in (*COLUMNS, *read)}
    out = {label: ~step.keep(columns) for label, step in steps.items()}
    sets = {"all rules": set(out)}
    sets |= {f"without {label}": set(out) - {label} for label in out} | {f"{label} alone": {label} for label in out}
    for name, labels in sets.items():
        dropped = np.logical_or.reduce([out[label] for label in labels])
        fates = dict(zip(judged, dropped.tolist(), strict=True))
        yield (
            name,
            [row | ({"fate": DROPPED if fates[i] else KEPT} if i in fates else {}) for i, row in enumerate(rows)],
        )


def line(name: str, counts: Counter[str], told: bool = True) -> str:
    """A row of the table. `told`: of images without a caption it is known that they have none."""
    captioned = [counts[f"captioned {kind}"] for kind in ("right", "partly", "wrong")]
    bare = [counts[f"bare {kind}"] for kind in ("right", "wrong")]
    shares = (
        (counts["found"], counts["taken"] if counts["content"] else 0),
        (counts["found"], counts["content"] + counts["lost"]),
        (captioned[0], sum(captioned)),
        (bare[0], sum(bare) if told else 0),
    )
    cells = "".join(f"{part / whole:>10.4f}" if whole else f"{'-':>10}" for part, whole in shares)
    numbers = "".join(f"{counts[key]:>8,}" for key in ("pages", "images", "content", "taken", "lost", "broken"))
    return f"{name:26}{numbers}{cells}"


def main() -> None:
    """Print a table, a line per manual."""
    parser = argparse.ArgumentParser("python -m benchmarks.documents_truth", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("CURATE_ROOT", "workspace")))
    parser.add_argument("--archives", type=Path, help="folder of the archives; default ROOT/data/manuals")
    parser.add_argument("--rules", action="store_true", help="also what each rule is worth")
    parser.add_argument("names", nargs="*", default=list(MANUALS), metavar="NAME")
    asked = parser.parse_args()
    folder = asked.archives or asked.root / "data" / "manuals"
    print(f"{'':26}{'pages':>8}{'images':>8}{'content':>8}{'taken':>8}{'lost':>8}{'broken':>8}", end="")
    print(f"{'precision':>10}{'recall':>10}{'captions':>10}{'none':>10}")
    for name in asked.names:
        archives = sorted(folder.glob(f"{name}.warc.gz"))
        pool = f"truth-{name.replace('-*', '')}"
        run, truth = images_run(archives, asked.root, pool), truths(archives, MANUALS[name])
        for variant, rows in variants(run):
            counts = compare(rows, truth)
            told = MANUALS[name] not in NOT_TOLD
            print(line(name if variant == "all rules" else f"  {variant}", counts, told), flush=True)
            if not asked.rules:
                break


if __name__ == "__main__":
    main()
