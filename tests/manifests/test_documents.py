"""The default recipes of documents on the embedded pages: every row one fate, by the rule that says why."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import curate
from curate.verify import verify

ROOT = Path(__file__).resolve().parents[2]


def run(recipe: str, root: Path, *overrides: str) -> tuple[curate.Run, dict[str, Any]]:
    result = curate.run(ROOT / recipe, root=str(root), executor="inline", overrides=overrides, quiet=True)
    return curate.open_run(result["run"]), result


def fates(found: curate.Run) -> dict[str, Counter[str]]:
    """Kind -> how many rows each rule dropped, and how many were kept or failed."""
    counts: dict[str, Counter[str]] = {}
    for row in found.table("kind", "fate", "rule").to_pylist():
        counts.setdefault(row["kind"], Counter())[row["rule"] or row["fate"]] += 1
    return counts


@pytest.mark.timeout(120)
def test_content_images_and_their_captions(tmp_path: Path) -> None:
    found, result = run("manifests/documents/images.yaml", tmp_path)
    assert fates(found)["image"] == {"icon": 24, "repeated": 24, "kept": 58}
    assert verify(found) == []
    (shard,) = result["exports"]["documents"]
    with tarfile.open(shard) as tar:
        first = next(member for member in tar if member.name.endswith(".json"))
        record = json.load(io.BytesIO(tar.extractfile(first).read()))  # type: ignore[union-attr]
    images = [node for node in record["nodes"] if node["kind"] == "image"]
    assert images
    assert all({"image_caption", "image_pages"} <= set(node["meta"]) for node in images)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_default_recipe(tmp_path: Path) -> None:
    found, _ = run("manifests/documents/default.yaml", tmp_path)
    counts = fates(found)
    assert sum(map(Counter.total, counts.values())) == 24 + 826 + 106
    assert counts["image"]["icon"] == counts["image"]["repeated image"] == 24
    assert counts["text"]["text around the page"] == 40  # two in each of 20 footers
    assert counts["document"]["images"] == 1  # values.html shows logos only
    assert counts["document"]["kept"] >= 18
    assert verify(found) == []
    rows = found.table("uid", "kind", "rule", "tag", "text").to_pylist()
    note = next(row for row in rows if row["rule"] == "repeated text")
    (fate,) = [entry for entry in found.explain(note["uid"].hex()) if entry["rule"] == "repeated text"]
    assert fate["facts"]["text_pages"] >= 5
    said = [row["text"] for row in rows if row["rule"] == "link"]
    assert "- Gallery" in said and not any("histogram" in text for text in said if text.startswith("We "))


def blog(folder: Path, pages: int = 6) -> None:
    """A site as blogs are: logo, pixel, banner, an article's picture that leads to a larger one, a smiley, cards, a badge."""
    sizes = {"logo": (220, 80), "pixel": (1, 1), "banner": (728, 90), "smiley": (20, 20), "badge": (88, 64)}
    names = [*sizes, *(f"photo{i}" for i in range(pages)), *(f"large{i}" for i in range(pages))]
    for number, name in enumerate(names):
        size = sizes.get(name, (400, 300 + number))
        Image.new("RGB", size, (7 * number, 90, 200 - number)).save(folder / f"{name}.png")
    for i in range(pages):
        other, another = (i + 1) % pages, (i + 2) % pages
        (folder / f"{i}.html").write_text(
            f"""<html lang=en><title>Post {i}</title><body>
            <div><a href="/"><img src="logo.png" alt="The blog"></a><img src="pixel.png" width=1 height=1></div>
            <h1>Post {i}</h1><p>On day {i} we walked along the river and saw the herons.</p>
            <div><a href="large{i}.png"><img src="photo{i}.png" alt=""></a><p>Figure {i}. A heron near the bridge</p></div>
            <p>It was a fine day <img src="smiley.png"> and nobody wanted to go home before number {i}.</p>
            <p><a href="https://ads.example/click?{i}"><img src="banner.png"></a></p>
            <div><div><a href="{other}.html"><img src="photo{other}.png"></a>
            <h3><a href="{other}.html">Post {other}</a></h3></div>
            <div><a href="{another}.html"><img src="photo{another}.png"><p>Post {another}</p></a></div></div>
            <footer><a href="about.html"><img src="badge.png"></a> All rights reserved.</footer></body></html>"""
        )


def test_a_blog(tmp_path: Path) -> None:
    """Every rule has something to do, and of each post its own picture stays, with its caption."""
    (tmp_path / "site").mkdir()
    blog(tmp_path / "site")
    source = ["pool.name=blog", "pool.step=stages.ingest.pages.Pages", f"pool.path={tmp_path}/site"]
    found, _ = run("manifests/documents/images.yaml", tmp_path / "root", *source)
    counts = fates(found)["image"]
    assert counts == {"tracker": 6, "icon": 6, "navigation": 18, "advert": 6, "repeated": 6, "kept": 6}
    kept = [row for row in found.table("kind", "fate", "url", "image_caption").to_pylist() if row["fate"] == "kept"]
    images = [(row["url"].rpartition("/")[2], row["image_caption"]) for row in kept if row["kind"] == "image"]
    assert images == [(f"photo{i}.png", f"Figure {i}. A heron near the bridge") for i in range(6)]


def harbour(folder: Path) -> None:
    """Two pages of a town, each with one photo; that of the first is cut off in the middle."""
    folder.mkdir()
    for name, king, size in (("one", "king", (300, 300)), ("two", "queen", (320, 300))):
        file = io.BytesIO()
        Image.effect_noise(size, 90).convert("RGB").save(file, "JPEG")
        (folder / f"{name}.jpg").write_bytes(file.getvalue()[: 3000 if name == "one" else None])
        (folder / f"{name}.html").write_text(
            f"""<html lang=en><title>{name}</title><h1>The harbour of the {king}</h1>
            <p>The old harbour of the town was built in the year when the {king} came back from the sea, and the people of
            the town were there to see it. They had all of their boats in the wind of the {king}'s morning.</p>
            <img src="{name}.jpg" alt="the harbour as it was for the {king}">
            <p>It was not until a long time after the {king} that the first of the great ships could be seen from the walls.
            There were those who said that it had been better without them. The noise of their work never ends.</p></html>"""
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "rule"),
    [("obelics", "no image left"), ("mmc4", "no image"), ("default", "nsfw"), ("quality", "no image left")],
)
def test_a_page_whose_only_image_cannot_be_decoded_is_dropped(recipe: str, rule: str, tmp_path: Path) -> None:
    """The header of a truncated JPEG is sound: what fails it is the first signal that decodes, after rules that count it."""
    harbour(tmp_path / "site")
    changed = ["pool.name=town", "pool.step=stages.ingest.pages.Pages", f"pool.path={tmp_path}/site", "max_failed=1"]
    changed += ["select.5.fraction=1"] if recipe == "quality" else []
    found, result = run(f"manifests/documents/{recipe}.yaml", tmp_path / "root", *changed)
    pages = [row for row in found.table("kind", "text", "fate", "rule").to_pylist() if row["kind"] == "document"]
    assert {row["text"]: row["rule"] or row["fate"] for row in pages} == {"one": rule, "two": "kept"}
    (shard,) = result["exports"]["documents"]
    with tarfile.open(shard) as tar:
        assert sorted(Path(name).suffix for name in tar.getnames()) == [".jpg", ".json"]
    assert verify(found) == []


def test_statistics_of_a_domain_decide_and_are_asked_again(tmp_path: Path) -> None:
    recipe = (
        (ROOT / "manifests/documents/images.yaml").read_text().replace("${here}", str(ROOT / "manifests/documents"))
    )
    fact = "  - {step: stages.select.domains.DomainStatistics, means: [width]}\n\nselect:\n"
    rule = "  - {step: filters.thresholds.Within, name: small, on: document, column: domain_pages, min: 25}\n"
    (tmp_path / "domains.yaml").write_text(recipe.replace("\nselect:\n", fact + rule))
    found, _ = run(str(tmp_path / "domains.yaml"), tmp_path / "root")
    assert fates(found)["document"] == {"small": 24}
    asked = found.whatif(["select.0.min=24"])
    assert asked.kinds["document"].kept == 24
    table = found.table("kind", "domain", "domain_pages", "domain_width").to_pylist()
    assert {(row["domain"], row["domain_pages"]) for row in table} == {("python-skimage-doc.example", 24)}
    assert all(32 < row["domain_width"] < 800 for row in table)
