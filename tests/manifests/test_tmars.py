"""What T-MARS is for: an encoder that reads likes pairs whose caption only spells what is written, and loses them masked.

The embedded encoder cannot read, so a small CLIP is taught to: rendered words, coloured shapes, and both.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw, ImageFont

import curate
import trainer

ROOT = Path(__file__).resolve().parents[2]
WORDS = [
    "sale",
    "summer",
    "market",
    "river",
    "stone",
    "coffee",
    "window",
    "garden",
    "music",
    "travel",
    "ocean",
    "bread",
]
COLOURS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 220), "yellow": (230, 210, 40)}
KINDS = ("shape", "word", "both")
TINY = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "timm_model_name": "test_convnext", "timm_pool": "avg", "timm_proj": "linear"},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
}


def scene(draws: np.random.Generator, kind: str) -> tuple[Image.Image, str]:
    """160 x 160 px: a coloured shape, a word in capitals, or both, and the caption that says so."""
    image = Image.new("RGB", (160, 160), tuple(draws.integers(225, 255, 3).tolist()))
    draw = ImageDraw.Draw(image)
    colour, shape, word = (str(draws.choice(of)) for of in (list(COLOURS), ["circle", "square"], WORDS))
    if kind != "word":
        x, y = int(draws.integers(15, 75)), int(draws.integers(70, 85) if kind == "both" else draws.integers(15, 75))
        paint = draw.ellipse if shape == "circle" else draw.rectangle
        paint((x, y, x + 60, y + 60), fill=COLOURS[colour])
    if kind != "shape":
        draw.text((10, int(draws.integers(10, 30))), word.upper(), fill="black", font=ImageFont.load_default(34))
    seen = {"shape": f"a {colour} {shape}", "word": f"the word {word}"}
    return image, seen.get(kind, " and ".join(seen.values()))


def write_tar(path: Path, rows: int, seed: int) -> None:
    draws = np.random.default_rng(seed)
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for number in range(rows):
            image, caption = scene(draws, KINDS[number % 3])
            png = io.BytesIO()
            image.save(png, "PNG")
            meta = json.dumps({"n": number}).encode()
            for ext, data in (("png", png.getvalue()), ("txt", caption.encode()), ("json", meta)):
                member = tarfile.TarInfo(f"{number:06d}.{ext}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_pairs_that_spell_their_caption_fall_and_pairs_that_show_it_rise(tmp_path: Path) -> None:
    write_tar(tmp_path / "train-shards/00000000.tar", 900, seed=0)
    write_tar(tmp_path / "pool-shards/00000000.tar", 150, seed=1)
    config = {
        "name": "reader",
        "root": str(tmp_path),
        "data": {"path": str(tmp_path / "train-shards"), "split": {"fraction": 0.1}},
        "model": {"config": TINY},
        "train": {"batch_size": 64, "epochs": 15, "lr": 2e-3, "warmup": 20, "weight_decay": 0.1},
    }
    (tmp_path / "reader.yaml").write_text(yaml.safe_dump(config))
    model = f"open_clip:local-dir:{trainer.run(tmp_path / 'reader.yaml')['model']}"
    changes = [f"pool.path={tmp_path}/pool-shards/*.tar", *(f"signals.{i}.model={model}" for i in (0, 2))]
    result = curate.run(ROOT / "manifests/tmars/tmars.yaml", str(tmp_path), "inline", overrides=changes, quiet=True)
    columns = curate.open_run(result["run"]).table("similarity", "masked_similarity", "masked_area")
    plain, masked, area = (columns[name].to_numpy() for name in ("similarity", "masked_similarity", "masked_area"))
    kind = np.array(KINDS * 50)
    assert (area[kind == "word"] > 0).mean() > 0.9
    assert plain[kind == "word"].mean() > 0.5  # it reads
    assert masked[kind == "word"].mean() < plain[kind == "word"].mean() - 0.2
    best = {name: kind[np.argsort(-score)[:45]].tolist() for name, score in (("plain", plain), ("masked", masked))}
    assert best["masked"].count("word") < best["plain"].count("word") * 0.75
    assert best["masked"].count("shape") > best["plain"].count("shape")
