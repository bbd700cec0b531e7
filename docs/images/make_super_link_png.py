"""docs/images/super-link.png: what a trained super link finds in held-out scenes.

python docs/images/make_super_link_png.py workspace/train/visionllm_3_decoders/model
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from curate.prove.scenes.write import samples
from trainer.link.pointing import Finding, point
from trainer.vlm.saved import load

SIDE, COLUMNS = 128, 8
ASKED = ("Point at the {}.", "Segment the {}.", "Give the keypoints of the {}.")


def drawn(image: bytes, finding: Finding | None, words: str) -> Image.Image:
    """The scene with what was found on it, the answer above."""
    scene = Image.open(BytesIO(image)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
    if finding is not None and finding.mask is not None:
        mask = Image.fromarray(finding.mask).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        pixels = np.array(scene)
        pixels[~np.array(mask)] //= 3
        scene = Image.fromarray(pixels)
    pen = ImageDraw.Draw(scene)
    if finding is not None and finding.boxes is not None and len(finding.boxes):
        pen.rectangle([float(value) * SIDE for value in finding.boxes[0]], outline="white", width=2)
    if finding is not None and finding.points is not None and len(finding.points):
        for x, y in finding.points[0] * SIDE:
            pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill="white", outline="black")
    cell = Image.new("RGB", (SIDE + 4, SIDE + 16), "white")
    cell.paste(scene, (2, 14))
    ImageDraw.Draw(cell).text((3, 1), words, fill="black")
    return cell


def main() -> None:
    """Ask for the first object of some held-out scenes, in three ways."""
    assistant = load(sys.argv[1])
    sheet = Image.new("RGB", (COLUMNS * (SIDE + 4), len(ASKED) * (SIDE + 16)), "white")
    for column, sample in enumerate(samples(COLUMNS, split="test")):
        label = sample.record["objects"][-1]["label"]
        for row, question in enumerate(ASKED):
            words, found = point(assistant, sample.image, question.format(label), least=0.0)
            cell = drawn(sample.image, found[0] if found else None, words)
            sheet.paste(cell, (column * (SIDE + 4), row * (SIDE + 16)))
    sheet.quantize(256).save(Path(__file__).with_name("super-link.png"), optimize=True)


if __name__ == "__main__":
    main()
