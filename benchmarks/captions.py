"""How often the default captioner names what a human wrote.

    python -m benchmarks.captions [--root DIR]

Tux Paint stamps (fetched from Debian into ROOT/data/packages) are photos and drawings with English captions. A named
thing agrees when its last word stands in the caption, or its sentence embedding is near the caption's (cosine 0.45 or
more): a goose does not agree with "A gander.", so this is a lower bound. Those stated and not agreeing are printed.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.data import tuxpaint
from curate.image import decode
from curate.models import classifier, sentence_encoder
from synth.backends.class_names import name_thing

NEAR = 0.45


def measure(cache: Path) -> None:
    """Print number and agreement of stated things, guesses and silence."""
    pairs = [pair for pair in tuxpaint.pairs(cache) if pair.caption]
    model, sentences = classifier("default"), sentence_encoder("default")
    probabilities = model.probabilities(np.stack([model.prepare(decode(pair.image)) for pair in pairs]))
    things = [name_thing(row)[0] for row in probabilities]
    names = [_name(thing) for thing in things]
    close = (sentences.encode(names) * sentences.encode([pair.caption for pair in pairs])).sum(axis=1)
    agreed: dict[str, list[bool]] = defaultdict(list)
    for pair, thing, name, cosine in zip(pairs, things, names, close, strict=True):
        if thing is None:
            agreed["silent"].append(False)
            continue
        agrees = name.split()[-1].lower() in pair.caption.lower() or bool(cosine >= NEAR)
        agreed["guessed" if thing.startswith("what may be") else "stated"].append(agrees)
        if not agrees and not thing.startswith("what may be"):
            print(f"  {name} | {pair.caption[:70]}")
    for kind, hits in sorted(agreed.items()):
        print(f"{kind}: {len(hits)} of {len(pairs)}" + (f", {np.mean(hits):.0%} agree" if kind != "silent" else ""))


def _name(thing: str | None) -> str:
    return (thing or "").removeprefix("what may be ").removeprefix("an ").removeprefix("a ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.captions", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("CURATE_ROOT", "workspace")))
    measure(parser.parse_args().root / "data" / "packages")
