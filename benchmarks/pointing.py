"""How well the super link's box decoder points where it is told the colour and form it is to find, without a language model.

    python -m curate.prove.scenes ROOT/scenes && curate train manifests/train/clip/scenes.yaml --root ROOT
    python -m benchmarks.pointing ROOT

What is between this and the scores of `manifests/train/visionllm/` is the language model's part. One thread.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from curate.prove.scenes.draw import geometry, picture
from curate.prove.scenes.scene import COLOURS, SHAPES, draw_scene
from trainer.link.boxes import BoxDecoder, Boxes, box_losses
from trainer.link.pixels import Pixels
from trainer.vlm.encoders import Encoder
from trainer.vlm.options import Encoder as Options

SCENES, HELD_OUT, STEPS, BATCH, RATE = 4000, 400, 1600, 24, 2e-3
WIDTH, TOLD = 64, 128


class Calls(NamedTuple):
    """A call for each thing: its scene, colour and shape (k,), its box (k, 4), how many things its scene has (k,)."""

    scene: Tensor
    colour: Tensor
    shape: Tensor
    box: Tensor
    among: Tensor


class Told(nn.Module):
    """A colour and a shape, each an embedding, in the place of what a language model says in its slots."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features  # (scenes, P, c)
        self.colours, self.shapes = nn.Embedding(len(COLOURS), TOLD), nn.Embedding(len(SHAPES), TOLD)
        self.pixels, self.decoder = Pixels([features.shape[-1]], WIDTH), BoxDecoder(TOLD, WIDTH, 4, 2, 4)

    def forward(self, calls: Calls) -> Boxes:
        """What the decoder finds."""
        states = torch.stack([self.colours(calls.colour), self.shapes(calls.shape)], 1)
        found: Boxes = self.decoder(states, self.pixels([self.features[calls.scene]]))
        return found


def calls_of(first: int, count: int, test: bool) -> Calls:
    """Those of ``count`` scenes."""
    scenes = [draw_scene(0, first + number, test) for number in range(count)]
    rows = [
        (first + number, list(COLOURS).index(thing.colour), SHAPES.index(thing.shape), len(scene.things))
        for number, scene in enumerate(scenes)
        for thing in scene.things
    ]
    boxes = torch.tensor([geometry(thing)["box"] for scene in scenes for thing in scene.things])
    scene, colour, shape, among = torch.tensor(rows).unbind(1)
    return Calls(scene, colour, shape, boxes, among)


def seen(root: Path) -> Tensor:
    """The trained CLIP's 8 x 8 features of all scenes, the last ones held out."""
    held = range(SCENES - HELD_OUT, SCENES)
    images = np.stack([picture(draw_scene(0, number, number in held)) for number in range(SCENES)])
    encoder = Encoder(Options(library="open_clip", name="train/scenes/model", layer=-3), root)
    with torch.no_grad():
        return torch.cat([encoder(part) for part in torch.from_numpy(images).permute(0, 3, 1, 2).split(200)])


@torch.no_grad()
def found(model: Told, calls: Calls) -> Tensor:
    """Bool (k,): whether the most probable box has an IoU of more than one half."""
    logits, boxes = (part[-1] for part in model(calls))
    best = boxes[torch.arange(len(boxes)), logits.argmax(1)]
    low, high = torch.maximum(best[:, :2], calls.box[:, :2]), torch.minimum(best[:, 2:], calls.box[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (best[:, 2:] - best[:, :2]).prod(-1) + (calls.box[:, 2:] - calls.box[:, :2]).prod(-1) - shared
    return shared / union > 0.5


def main() -> None:
    """Train, and print P@.5 on held-out scenes by their number of things."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, draws = Told(seen(Path(sys.argv[1]))), np.random.default_rng(0)
    train, test = calls_of(0, SCENES - HELD_OUT, False), calls_of(SCENES - HELD_OUT, HELD_OUT, True)
    optimiser = torch.optim.AdamW(model.parameters(), RATE, (0.9, 0.98), weight_decay=0.05)
    begun = time.perf_counter()
    for step in range(STEPS):
        rate = RATE * min(1, (step + 1) / 20) * (1 + np.cos(np.pi * step / STEPS)) / 2
        optimiser.param_groups[0]["lr"] = rate
        drawn = torch.from_numpy(draws.integers(0, len(train.box), BATCH))
        batch = Calls(*(part[drawn] for part in train))
        losses = box_losses(model(batch), batch.box[:, None], torch.ones(BATCH, 1, dtype=torch.bool))
        optimiser.zero_grad()
        (torch.stack(list(losses.values())).sum() / BATCH).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    right = found(model, test)
    shares = {
        f"{among} in the scene": round(float(right[test.among == among].float().mean()), 3) for among in (1, 2, 3)
    }
    print(f"P@.5 after {STEPS * BATCH:,} calls, {time.perf_counter() - begun:.0f} s:", shares)


if __name__ == "__main__":
    main()
