"""Trains the alignment of the default image-text encoder and measures it on sources that it was not trained on.

    python -m benchmarks.default_encoder --train   # rebuilds curate/models/weights/default_encoder.safetensors
    python -m benchmarks.default_encoder --eval    # the table of docs/models/default-encoder.md
    python -m benchmarks.default_encoder --select  # the settings tried: trained on one training source, measured on the other
    python -m benchmarks.default_encoder --sample  # the embedded sample, whose sources were trained on
    python -m benchmarks.default_encoder --speed   # images and texts per second on one core

Packages and features are kept in --cache. Settings were chosen by --select alone; the measured sources had no say.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tarfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.numpy import save_file

from benchmarks.encoder_pairs import Features, features
from curate.errors import SampleError
from curate.image import decode
from curate.models import image_text_encoder, sentence_encoder
from curate.models.default import conse, stored_heads
from curate.models.device import unit
from curate.models.imagenet import FEATURES, class_names
from curate.models.specs import own_weights
from stages.signals.hashes import phash
from trainer.align import Align, Heads, Pairs, align

TRAINED = ("emoji", "openclipart")
MEASURED = ("tuxpaint", "ifct", "pysiogame")
CONFIG = Align(epochs=20, batch=512, lr=1e-3, stay=0.003, temperature=0.2, drop=0.3, seed=0)
POOLED_SCALE = 0.1
"""Standard deviation given to each pooled feature; the entries of a ConSE vector have about 0.05."""
NEAR = 6
"""Bits of perceptual hash within which two images are one group."""
SAMPLE = Path("manifests/sample")
PROMPT = "a photo of a {}"
RESAMPLES = 500


def class_embeddings() -> np.ndarray:
    """float32 (1000, 384): what ConSE mixes, rounded as they are stored."""
    rows = sentence_encoder().encode([PROMPT.format(name) for name in class_names()])
    return rows.astype(np.float16).astype(np.float32)


def named(found: Features, classes: np.ndarray) -> np.ndarray:
    """ConSE vectors of a source's images, float32 (n, 384)."""
    logits = found.logits.astype(np.float32)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return conse(odds / odds.sum(axis=1, keepdims=True), classes)


def train(parts: list[Features], classes: np.ndarray, config: Align = CONFIG) -> Heads:
    """Heads on raw features: the start is ConSE less its mean, and what `align` makes of it."""
    pooled = np.concatenate([part.pooled for part in parts]).astype(np.float32)
    mixed = np.concatenate([named(part, classes) for part in parts])
    texts = np.concatenate([part.sentences for part in parts]).astype(np.float32)
    mean, scale = pooled.mean(axis=0), POOLED_SCALE / (pooled.std(axis=0) + 1e-3)
    pairs = Pairs(np.concatenate([(pooled - mean) * scale, mixed], axis=1), texts, *_owners(parts))
    width = classes.shape[1]
    start = np.concatenate([np.zeros((FEATURES, width), np.float32), np.eye(width, dtype=np.float32)])
    heads = align(
        pairs, Heads(start, -mixed.mean(axis=0), np.eye(width, dtype=np.float32), -texts.mean(axis=0)), config
    )
    image, bias = heads.image.copy(), heads.image_bias - (mean * scale) @ heads.image[:FEATURES]
    image[:FEATURES] *= scale[:, None]  # the standardisation becomes part of the map
    return replace(heads, image=image, image_bias=bias)


def _owners(parts: list[Features]) -> tuple[np.ndarray, np.ndarray]:
    """The image of each text, and the group of each image: those with the same plainest text."""
    firsts = np.cumsum([0] + [len(part.names) for part in parts])
    owner = np.concatenate([part.owner + first for part, first in zip(parts, firsts, strict=False)])
    plainest = np.concatenate([part.texts[np.unique(part.owner, return_index=True)[1]] for part in parts])
    _, group = np.unique(np.char.lower(plainest), return_inverse=True)
    return owner, group.astype(np.int64)


def without(found: Features, hashes: np.ndarray, paths: frozenset[str] = frozenset()) -> Features:
    """The images that are not near any of `hashes`, and not named in `paths`, with their texts."""
    near = (np.bitwise_count(found.hashes[:, None] ^ hashes[None]) <= NEAR).any(axis=1)
    keep = ~near & np.array([name.split("/", 1)[1] not in paths for name in found.names])
    keep &= np.isin(np.arange(len(keep)), found.owner)  # an image without any text teaches nothing
    said = keep[found.owner]
    rows = {name: getattr(found, name)[keep] for name in ("names", "pooled", "logits", "hashes", "photo")}
    owner = (np.cumsum(keep) - 1)[found.owner[said]]
    return Features(**rows, texts=found.texts[said], owner=owner, sentences=found.sentences[said])


def sample_images() -> tuple[np.ndarray, frozenset[str]]:
    """Perceptual hashes of the embedded sample's readable images, and the paths that they come from."""
    hashes, paths = [], set()
    for tar in sorted(SAMPLE.glob("*.tar")):
        for name, blob in _members(tar):
            if name.endswith(".json"):
                paths.add(str(json.loads(blob).get("path", "")))
            elif not name.endswith(".txt"):
                try:
                    hashes.append(phash([decode(blob, "thumb")])[0])
                except SampleError:
                    continue
    return np.array(hashes, np.uint64), frozenset(paths)


def _members(tar: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(tar) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                yield member.name, file.read()


def similarity(found: Features, heads: Heads, classes: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Cosines of the kept images with each other's first text, float32 (n, n), matched on the diagonal."""
    owner, first = np.unique(found.owner, return_index=True)
    owner, first = owner[keep[owner]], first[keep[owner]]
    features = np.concatenate([found.pooled[owner].astype(np.float32), named(found, classes)[owner]], axis=1)
    images = unit(features @ heads.image + heads.image_bias)
    return images @ unit(found.sentences[first].astype(np.float32) @ heads.text + heads.text_bias).T


def auc(scores: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float, float]:
    """Chance that a matched pair outscores a shuffled one, and its 95 % interval: images are drawn with replacement.

    Scores are told apart in 4,096 equal steps; ties count half.
    """
    low, high = float(scores.min()), float(scores.max())
    steps = ((scores - low) / max(high - low, 1e-9) * 4095).astype(np.int64)
    draw = np.random.default_rng(seed)
    size = len(scores)
    drawn = [_auc(steps, draw.integers(size, size=size)) for _ in range(resamples)]
    lower, upper = np.quantile(drawn, [0.025, 0.975]) if drawn else (np.nan, np.nan)
    return _auc(steps, np.arange(size)), float(lower), float(upper)


def _auc(steps: np.ndarray, rows: np.ndarray) -> float:
    shuffled = steps[np.ix_(rows, rows)][rows[:, None] != rows[None]]
    counts = np.bincount(shuffled, minlength=4096)
    below = np.cumsum(counts) - counts / 2
    return float(below[steps[rows, rows]].mean() / len(shuffled))


def recall(scores: np.ndarray, k: int = 10) -> float:
    """Share of images whose own text is among the k likeliest of all n (ties count against it)."""
    return float(((scores >= np.diag(scores)[:, None]).sum(axis=1) <= k).mean())


def write_weights(heads: Heads, classes: np.ndarray, images: dict[str, int]) -> Path:
    """The safetensors file (float16) and its card beside it."""
    path = own_weights()
    arrays = asdict(heads) | {"class_embeddings": classes}
    save_file({name: np.ascontiguousarray(array, np.float16) for name, array in sorted(arrays.items())}, path)
    path.chmod(0o644)
    card = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": "Apache-2.0",
        "trained_on": {
            "openclipart": f"{images['openclipart']} drawings, public domain (Debian openclipart 0.18)",
            "emoji": f"{images['emoji']} Fluent emoji, MIT, with English CLDR names, Unicode-3.0",
        },
        "left_out": f"every image of manifests/sample and of the measured sources, and what is within {NEAR} bits of them",
        "class_embeddings": f"all-MiniLM-L6-v2 of {PROMPT!r} for the 1,000 ImageNet class names",
        "config": asdict(CONFIG) | {"pooled_scale": POOLED_SCALE},
        "command": "python -m benchmarks.default_encoder --train",
        "torch": torch.__version__.split("+")[0],
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    return path


def run_train(cache: Path) -> None:
    """Train on both training sources less everything that is measured or embedded, and write the weights."""
    sample, paths = sample_images()
    seen = np.concatenate([sample, *(features(source, cache).hashes for source in MEASURED)])
    parts = [without(features(source, cache), seen, paths) for source in TRAINED]
    images = {source: len(part.names) for source, part in zip(TRAINED, parts, strict=True)}
    classes = class_embeddings()
    print(f"trained on {images}; wrote {write_weights(train(parts, classes), classes, images)}")


def run_eval(cache: Path) -> None:
    """Print the table: plain ConSE, ConSE less its means, and the stored alignment, per source and kind."""
    stored = stored_heads()
    classes = stored.pop("class_embeddings")
    width = classes.shape[1]
    plain = np.concatenate([np.zeros((FEATURES, width), np.float32), np.eye(width, dtype=np.float32)])
    nothing = np.zeros(width, np.float32)
    conse_only = Heads(plain, nothing, np.eye(width, dtype=np.float32), nothing)
    print("| source | kind | n | ConSE: AUC | aligned: AUC (95 % interval) | ConSE: R@10 | aligned: R@10 | chance |")
    print("|---|---|---|---|---|---|---|---|")
    for source in MEASURED:
        found = features(source, cache)
        for kind, keep in (("photographs", found.photo), ("drawings", ~found.photo)):
            if not keep.any():
                continue
            before, after = (similarity(found, heads, classes, keep) for heads in (conse_only, Heads(**stored)))
            value, low, high = auc(after)
            row = f"{auc(before, 0)[0]:.3f} | {value:.3f} ({low:.3f} to {high:.3f}) | {recall(before):.1%}"
            print(f"| {source} | {kind} | {len(after)} | {row} | {recall(after):.1%} | {10 / len(after):.1%} |")


def run_select(cache: Path) -> None:
    """Print what each setting, trained on one training source, reaches on the other."""
    one, other = (features(source, cache) for source in TRAINED)
    classes = class_embeddings()
    kept = {id(part): without(part, np.array([], np.uint64)) for part in (one, other)}
    for stay in (0.003, 0.03, 0.3):
        for temperature in (0.05, 0.1, 0.2, 0.4):
            for drop in (0.1, 0.3):
                config = replace(CONFIG, stay=stay, temperature=temperature, drop=drop)
                values = []
                for source, target in ((one, other), (other, one)):
                    scores = similarity(
                        target, train([kept[id(source)]], classes, config), classes, np.ones(len(target.names), bool)
                    )
                    values.append(auc(scores, 0)[0])
                print(f"stay={stay} temperature={temperature} drop={drop}: {values[0]:.3f} {values[1]:.3f}", flush=True)


def run_sample() -> None:
    """Print how clean rows of the embedded sample rank over shuffled ones, and swapped captions below a threshold.

    The same sources as in training, though no image of the sample was trained on.
    """
    truth = dict(
        zip(*pq.read_table(SAMPLE / "truth.parquet", columns=["key", "fault"]).to_pydict().values(), strict=True)
    )
    encoder = image_text_encoder()
    prepared, captions, clean = [], [], []
    for tar in sorted(SAMPLE.glob("*.tar")):
        for name, blob in _members(tar):
            fault = truth[name.split(".")[0]]
            if fault not in ("clean", "mismatched") or name.endswith(".json"):
                continue
            if name.endswith(".txt"):
                captions.append(blob.decode())
            else:
                prepared.append(encoder.prepare(decode(blob, "thumb")))
                clean.append(fault == "clean")
    kept = np.array(clean)
    scores = encoder.images_prepared(np.stack(prepared)) @ encoder.texts(captions).T
    print("sample, {} clean: AUC {:.3f} ({:.3f} to {:.3f})".format(kept.sum(), *auc(scores[np.ix_(kept, kept)])))
    matched = np.diag(scores)
    for share in (0.02, 0.05, 0.1, 0.2, 0.5):
        threshold = np.quantile(matched[kept], share)
        found = float((matched[~kept] < threshold).mean())
        print(f"threshold {threshold:.3f}: drops {share:.0%} of clean, {found:.0%} of {(~kept).sum()} swapped")


def run_speed() -> None:
    """Print images and texts per CPU-second of one thread: other work on the machine does not count."""
    encoder = image_text_encoder("default", "cpu")
    images = np.random.default_rng(0).integers(0, 256, (64, 224, 224, 3), np.uint8)
    texts = [f"a drawing of a small animal beside tree number {number}" for number in range(256)]
    for name, count, work in (
        ("images", 64, lambda: encoder.images_prepared(images)),
        ("texts", 256, lambda: encoder.texts(texts)),
    ):
        work()
        start = time.process_time()
        work()
        print(f"{name}: {count / (time.process_time() - start):.0f} per second and core")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.default_encoder", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in ("train", "eval", "select", "sample", "speed"):
        parser.add_argument(f"--{name}", action="store_true")
    root = Path(os.environ.get("CURATE_ROOT", "workspace"))
    parser.add_argument("--cache", type=Path, default=root / "data/packages")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, work in (("select", run_select), ("train", run_train), ("eval", run_eval)):
        if getattr(options, name):
            work(options.cache)
    for name, report in (("sample", run_sample), ("speed", run_speed)):
        if getattr(options, name):
            report()


if __name__ == "__main__":
    main()
