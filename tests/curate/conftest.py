"""Small real pools for the engine's tests: JPEGs with captions in webdataset tars, some of them broken."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import curate
from curate.inspect import Run

WORDS = ("a", "red", "boat", "on", "the", "lake")


def jpeg(shard: int, number: int) -> bytes:
    """A JPEG of its own: coarse noise, 320 px wide or more."""
    noise = np.random.default_rng([shard, number]).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((320 + number % 7, 300)).save(out, "JPEG", quality=80)
    return out.getvalue()


def caption(number: int) -> str:
    """1 to 6 words."""
    return " ".join(WORDS[: 1 + number % 6])


def write_tar(path: Path, shard: int, rows: int, bad: Collection[int] = ()) -> None:
    """A webdataset shard whose samples `bad` hold no image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(rows):
            blob = b"this is no image" if number in bad else jpeg(shard, number)
            meta = json.dumps({"n": number, "url": f"https://example.org/{shard}/{number}.jpg"}).encode()
            for ext, data in (("jpg", blob), ("txt", caption(number).encode()), ("json", meta)):
                member = tarfile.TarInfo(f"{shard:03d}{number:05d}.{ext}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.fixture(scope="session")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of 40 samples; sample 5 of shard 1 is no image."""
    folder = tmp_path_factory.mktemp("tars")
    for shard in range(3):
        write_tar(folder / f"{shard:05d}.tar", shard, 40, bad=(5,) if shard == 1 else ())
    return folder


@pytest.fixture
def write_recipe(tmp_path: Path, tars: Path) -> Callable[..., Path]:
    """Writes a recipe over `tars`; keyword arguments replace whole fields."""

    def write(**fields: Any) -> Path:
        recipe: dict[str, Any] = {
            "name": "small",
            "chunk_rows": 16,
            "pool": {"step": "stages.ingest.webdataset.Webdataset", "path": f"{tars}/*.tar"},
            "signals": [
                {"step": "stages.signals.image.Header"},
                {"step": "stages.signals.image.Pixels"},
                {"step": "stages.signals.text.CaptionStats"},
            ],
            "select": [
                {"step": "filters.text.CaptionLength", "min_words": 3},
                {"step": "filters.image.Resolution", "min_side": 200},
            ],
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({**recipe, **fields}, sort_keys=False))
        return path

    return write


STEPS = "document_steps"
SITE = {
    "00000": """# harbour
two boats lie in the harbour
buy
! 300
a third boat comes in from the sea
! 40
# shop
buy
buy now and pay next year
! 320""",
    "00001": """# garden
roses grow along the old wall
! 310
home
# empty""",
}


@pytest.fixture
def run_documents(tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Finished runs over four written documents; their texts of too few words go, then documents of too few texts."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugins"))
    (tmp_path / "site").mkdir()
    for name, text in SITE.items():
        (tmp_path / "site" / f"{name}.txt").write_text(text)

    def execute(name: str, words: int, texts: int, pool: str = "site") -> Run:
        recipe = {
            "name": name,
            "pool": {"step": f"{STEPS}.Written", "path": str(tmp_path / "site"), "name": pool},
            "signals": [{"step": "stages.signals.text.CaptionStats", "on": "text"}],
            "facts": [{"step": f"{STEPS}.Remaining"}],
            "select": [
                {"step": "filters.text.CaptionLength", "min_words": words, "name": "length"},
                {"step": "filters.thresholds.Within", "column": "texts_left", "min": texts, "name": "texts"},
            ],
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe, sort_keys=False))
        done = curate.run(path, root=root, executor="inline", plugins=[STEPS], quiet=True)
        return curate.open_run(done["run"])

    return execute


@pytest.fixture
def root(tmp_path: Path) -> str:
    """An empty root."""
    return str(tmp_path / "root")
