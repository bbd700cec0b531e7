"""Duplicates among documents: pages nearly alike, and pictures that translations share; the score and its parts."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate
from benchmarks.data.warcs import Response, write_warc

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = (
    "The crop tool cuts away what lies outside of a rectangle that you draw with the mouse.",
    "Press the button of the toolbox, or choose the tool from the menu, and drag over the picture.",
    "What you see in the dialog can be undone as long as the window of the image is open.",
)
GERMAN = (
    "Das Werkzeug zum Zuschneiden entfernt alles, was außerhalb eines mit der Maus gezogenen Rechtecks liegt.",
    "Drücken Sie den Knopf im Werkzeugkasten, oder wählen Sie das Werkzeug im Menü, und ziehen Sie über das Bild.",
    "Was Sie im Fenster sehen, kann rückgängig gemacht werden, solange das Bild geöffnet ist.",
)


def picture(seed: int, quality: int | None = None) -> bytes:
    """Blocks of colour, as PNG, or as JPEG of a quality: other bytes of the same look."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    image = Image.fromarray(blocks).resize((240, 240), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "PNG") if quality is None else image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def page(texts: tuple[str, ...], *images: str) -> bytes:
    body = "".join(f"<p>{text}</p>" for text in texts) + "".join(
        f'<div><img src="{image}" alt="x"></div>' for image in images
    )
    return f"<html><head><title>Crop</title></head><body><h1>Crop</h1>{body}</body></html>".encode()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two languages that share a screenshot and have one each of their own; a copy of the English page with one word
    changed; another English page that shows the shared screenshot again."""
    other = tuple(
        text.replace("crop", "shear").replace("cuts away", "slants") + " And back." for text in reversed(ENGLISH)
    )
    web = {
        "en/crop.html": page(ENGLISH, "/shared.png", "/own-en.png"),
        "en/copy.html": page((*ENGLISH[:2], ENGLISH[2].replace("dialog", "window")), "/shared.png", "/own-en.png"),
        "en/shear.html": page((*other, "It has handles at its sides, which the keyboard moves too."), "/shared.jpg"),
        "de/crop.html": page(GERMAN, "/shared.jpg", "/own-de.png"),
        "shared.png": picture(1),
        "shared.jpg": picture(1, quality=85),
        "own-en.png": picture(2),
        "own-de.png": picture(3),
    }
    types = {"html": "text/html", "png": "image/png", "jpg": "image/jpeg"}
    path = tmp_path_factory.mktemp("web") / "manual.warc.gz"
    write_warc(
        [Response(f"http://manual.example/{name}", body, types[name.split(".")[-1]]) for name, body in web.items()],
        path,
    )
    return str(path)


@pytest.mark.parametrize(("changes", "images"), [((), 4), (("select.3.per=null",), 3)])
def test_pages_once_and_pictures_once_per_language_or_once(
    archive: str, changes: tuple[str, ...], images: int, tmp_path: Path
) -> None:
    overrides = [f"pool.path={archive}", "pool.name=manual", "facts.3.similarity=0.6", *changes]
    result = curate.run(
        ROOT / "manifests/documents/dedup.yaml", str(tmp_path), "inline", overrides=overrides, quiet=True
    )
    run = curate.open_run(result["run"], str(tmp_path))
    rows = run.table("kind", "fate", "rule", "url", "document_lang").to_pylist()
    documents = {row["url"].rpartition("example/")[2]: row["rule"] for row in rows if row["kind"] == "document"}
    assert sorted(documents.values(), key=str) == [None, None, None, "near-duplicate page"]
    assert "near-duplicate page" in (documents["en/crop.html"], documents["en/copy.html"])
    kept = [row for row in rows if row["kind"] == "image" and row["fate"] == "kept"]
    assert len(kept) == images
    assert {row["document_lang"] for row in kept} == {"en", "de"}
    shared = [row for row in kept if "shared" in row["url"]]
    assert len({row["document_lang"] for row in shared}) == len(shared) == images - 2


@pytest.mark.slow
def test_the_score_of_a_document_is_told_by_its_aspects(tmp_path: Path) -> None:
    recipe = ROOT / "manifests/documents/quality.yaml"
    result = curate.run(recipe, str(tmp_path), "inline", overrides=["export.formats=[]"], quiet=True)
    run = curate.open_run(result["run"], str(tmp_path))
    table = run.table("uid", "kind", "rule", "document_quality", "document_quality_fit", "relevance_rank").to_pylist()
    documents = [row for row in table if row["kind"] == "document"]
    dropped = [row for row in documents if row["rule"] == "quality"]
    assert Counter(row["rule"] for row in documents) == {None: 18, "quality": 5, "no image": 1}
    kept = [row["document_quality"] for row in documents if row["rule"] is None]
    assert max(row["document_quality"] for row in dropped) <= min(kept)
    (told,) = run.explain(dropped[0]["uid"].hex())
    parts = [told["facts"][f"document_quality_{name}"] for name in ("text", "order", "spread", "fit")]
    assert told["facts"]["document_quality"] == pytest.approx(np.prod(parts), rel=1e-4)
    ranks = [row["relevance_rank"] for row in table if row["relevance_rank"] is not None]
    assert len(ranks) > 40 and all(0 <= rank <= 1 for rank in ranks)
