"""What the joint quality score of documents is worth: AUC of real pages against the same pages with one fault made.

    python -m benchmarks document_quality
    python -m benchmarks.document_quality --learn    # writes curate/models/weights/document_quality.json, twice the same
    python -m benchmarks.document_quality --plot docs/images/document-quality.svg

Manuals are those that `make data` builds. Each is judged by weights learned from the others (leave one manual out);
the weights that are shipped are learned from all of them. Intervals: 500 bootstrap resamples of pages.
"""

from __future__ import annotations

import argparse
import json as jsonlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.document_faults import FAULTS, MANUALS, Page, clean, joined, load
from curate.contracts import DocumentFact
from curate.schema import DOCUMENT
from stages.documents.coherence import Coherence
from stages.documents.counts import OverNodes
from stages.documents.interleaving import Interleaving
from stages.documents.prose import Prose
from stages.documents.quality import WEIGHTS, probabilities, stated_weights
from stages.documents.relevance import Relevance
from stages.select import logistic
from stages.select.logistic import Model, auc

ARCHIVES: Final = Path("workspace/data/manuals")
ROOT: Final = "workspace"
ASPECTS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "text": (("prose_labels", "prose_edges"), ("menus kept",)),
    "order": (
        ("order_words", "order_meaning", "headings_empty"),
        ("texts shuffled", "paragraphs shuffled"),
    ),
    "spread": (
        ("image_place", "images_last", "images_adjacent", "text_without"),
        ("images last", "figures last"),
    ),
    "fit": (
        ("mean_relevance_rank", "mean_relevance_alt", "mean_relevance_words", "mean_relevance_read"),
        ("other pictures", "other images"),
    ),
}
"""Aspect -> columns that it is judged by, and faults that it is learned from."""
PARTS: Final = tuple(name for columns, _ in ASPECTS.values() for name in columns)
KNOTS, L2, PER_MANUAL = 4, 10.0, 200
"""Of each number's part; and how many pages a manual has in the learning, however many it has: the hand must not show."""
FAULTY: Final = 0.1
"""Share of the web's pages that are presumed to have a fault; of the pages that are learned from half have it."""
RESAMPLES, SEED = 500, 0
Features = dict[str, np.ndarray]
Judged = dict[str, dict[str, Features]]
"""Manual -> `clean` or a fault -> part -> a value per page."""


def features(pages: Sequence[Page]) -> Features:
    """The parts of each page, float64 (n,), by the facts themselves."""
    columns = dict(joined(pages))
    relevance = Relevance(background="image_background", read="ocr_text")
    averaged = [OverNodes(column=name.removeprefix("mean_"), take="mean") for name in ASPECTS["fit"][0]]
    steps: list[DocumentFact] = [
        relevance,
        *averaged,
        Coherence(embedding="passage_embedding"),
        Interleaving(),
        Prose(),
    ]
    for step in steps:
        columns |= {name: np.asarray(values, np.float64) for name, values in step.compute(columns, {}).items()}
    documents = columns["kind"] == DOCUMENT
    return {name: columns[name][documents] for name in PARTS}


def judged(archives: Path, root: str, rows: int | None = None) -> Judged:
    """Parts of all pages of all manuals, as they are and with each fault. `rows`: as `load` has it."""
    found: Judged = {}
    for manual in MANUALS:
        pages = load(manual, archives, root, rows)
        kinds = {"clean": clean, **FAULTS}
        found[manual.name] = {
            kind: features(fault(pages, np.random.default_rng(SEED))) for kind, fault in kinds.items()
        }
    return found


def learn(manuals: Sequence[Mapping[str, Features]], columns: Sequence[str], faults: Sequence[str]) -> Model:
    """Clean pages against those with the faults, equally many of each, as many from one manual as from another."""
    rows, labels = [], []
    for manual in manuals:
        for kind in ["clean"] * len(faults) + list(faults):
            count = len(manual[kind][columns[0]])
            taken = (
                np.arange(PER_MANUAL) * max(count, 1) // PER_MANUAL
                if count > PER_MANUAL
                else np.arange(PER_MANUAL) % count
            )
            rows.append({name: manual[kind][name][taken] for name in columns})
            labels.append(np.full(PER_MANUAL, float(kind == "clean")))
    together = {name: np.concatenate([row[name] for row in rows]).round(6) for name in columns}
    model = logistic.fit(together, np.concatenate(labels), L2, KNOTS, 1)
    return replace(model, prior=model.prior + float(np.log(1 / FAULTY - 1)))


def aspects_of(manuals: Sequence[Mapping[str, Features]]) -> dict[str, Model]:
    """The weights of every aspect."""
    return {name: learn(manuals, columns, faults) for name, (columns, faults) in ASPECTS.items()}


def scores(aspects: Mapping[str, Model], parts: Features) -> Features:
    """The joint score and each aspect's probability."""
    found = probabilities(aspects, parts)
    return {"joint": np.prod(list(found.values()), axis=0), **found}


def measure(found: Judged) -> list[dict[str, Any]]:
    """Per fault: AUC of each score in each manual, by weights of the others; mean over manuals with its interval."""
    sides = {name: _scored(found, name) for name in found}
    rows = []
    for fault in FAULTS:
        by_score: dict[str, Any] = {}
        for score in next(iter(sides.values()))["clean"]:
            pairs = {name: (sides[name]["clean"][score], sides[name][fault][score]) for name in sides}
            by_score[score] = {
                "auc": {name: _auc(*pair) for name, pair in pairs.items()},
                "mean": float(np.mean([_auc(*pair) for pair in pairs.values()])),
                "interval": interval(list(pairs.values())),
                "lowered": float(np.mean([_lowered(*pair) for pair in pairs.values()])),
            }
        rows.append({"fault": fault, "scores": by_score})
    return rows


def _scored(found: Judged, held: str) -> dict[str, Features]:
    """Scores of one manual's pages by what was learned from the others; `one sum`: one logistic model of all parts."""
    others = [found[name] for name in found if name != held]
    aspects = aspects_of(others)
    faults = [fault for _, some in ASPECTS.values() for fault in some]
    whole = learn(others, PARTS, faults)
    return {kind: {**scores(aspects, parts), "one sum": whole.odds(parts)} for kind, parts in found[held].items()}


def _auc(good: np.ndarray, bad: np.ndarray) -> float:
    return auc(np.concatenate([good, bad]), np.arange(len(good) + len(bad)) < len(good))


def _lowered(good: np.ndarray, bad: np.ndarray) -> float:
    """Share of pages that score lower with the fault than without, ties by half."""
    return float((bad < good).mean() + (bad == good).mean() / 2)


def interval(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """95 % of the means over manuals, pages drawn with replacement inside each; a page keeps its fault."""
    rng = np.random.default_rng(SEED)
    means = []
    for _ in range(RESAMPLES):
        drawn = [(good[at], bad[at]) for good, bad in pairs for at in [rng.integers(0, len(good), len(good))]]
        means.append(np.mean([_auc(good, bad) for good, bad in drawn]))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def write_weights(found: Judged, path: Path) -> None:
    """Weights learned from all manuals."""
    card = {
        "description": "Joint quality of documents: per aspect log-odds that it is as it should be",
        "command": "python -m benchmarks.document_quality --learn",
        "trained_on": {name: len(kinds["clean"][PARTS[0]]) for name, kinds in found.items()},
        "licence": "Apache-2.0",
        "aspects": stated_weights(aspects_of(list(found.values()))),
    }
    path.write_text(jsonlib.dumps(card, indent=1) + "\n")


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line per fault, then one per manual."""
    names = list(rows[0]["scores"])
    print("AUC, mean over manuals, each judged by weights of the others")
    print(f"{'':20}{'joint, 95 %':>18}{'lowered':>9}" + "".join(f"{name:>9}" for name in names))
    for row in rows:
        joint = row["scores"]["joint"]
        low, high = joint["interval"]
        cells = "".join(f"{row['scores'][name]['mean']:9.3f}" for name in names)
        print(f"{row['fault']:20}{f'{low:.3f} to {high:.3f}':>18}{joint['lowered']:9.3f}{cells}")
    for manual in rows[0]["scores"]["joint"]["auc"]:
        cells = ", ".join(f"{row['fault']} {row['scores']['joint']['auc'][manual]:.3f}" for row in rows)
        print(f"{manual}: {cells}")


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """AUC per fault: the joint score's mean with its interval, manuals as dots, one sum as a cross."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "0", "svg.fonttype": "none"}  # equal figures, equal bytes
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    for y, row in enumerate(reversed(rows)):
        joint, low_high = row["scores"]["joint"], row["scores"]["joint"]["interval"]
        axes.plot(low_high, [y, y], color="#1f77b4", linewidth=4, solid_capstyle="butt", alpha=0.5)
        axes.plot(list(joint["auc"].values()), [y] * len(joint["auc"]), "o", color="#1f77b4", markersize=3)
        axes.plot(joint["mean"], y, "|", color="#1f77b4", markersize=14, markeredgewidth=2)
        axes.plot(row["scores"]["one sum"]["mean"], y, "x", color="#d62728", markersize=6)
    axes.set_yticks(range(len(rows)), [row["fault"] for row in reversed(rows)])
    axes.axvline(0.5, color="grey", linewidth=0.8)
    axes.set_xlim(0.4, 1.01)
    axes.set_xlabel("AUC on held-out manuals (dots) and their mean, product of aspects: blue; one sum: red", fontsize=9)
    figure.savefig(path, metadata={"Date": None})


def main(
    json: bool = False,
    archives: Path = ARCHIVES,
    root: str = ROOT,
    limit: int | None = None,
    learn_weights: bool = False,
    picture: Path | None = None,
) -> None:
    """Print, per fault, the AUC of the joint score, of its aspects, and of one sum of all parts.

    `limit`: rows of each manual that enter. `learn_weights`: write the weights that are shipped. `picture`: draw it.
    """
    if not archives.is_dir():
        print(f"there are no manuals in {archives}: `python -m benchmarks.data manuals` builds them")
        return
    found = judged(archives, root, limit)
    if learn_weights:
        write_weights(found, WEIGHTS)
    rows = measure(found)
    if picture:
        plot(rows, picture)
    if json:
        print(jsonlib.dumps({"benchmark": "document_quality", "unit": "AUC", "rows": rows}))
    else:
        print("pages: " + ", ".join(f"{name} {len(kinds['clean'][PARTS[0]])}" for name, kinds in found.items()))
        print_table(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.document_quality", description=__doc__)
    parser.add_argument("--archives", type=Path, default=ARCHIVES, help="folder of the manuals' archives")
    parser.add_argument("--root", default=ROOT, help="where pools and runs are kept")
    parser.add_argument("--limit", type=int, help="rows of each manual that enter")
    parser.add_argument("--learn", action="store_true", help="write the weights that are shipped")
    parser.add_argument("--plot", type=Path, help="draw the figure")
    asked = parser.parse_args()
    main(False, asked.archives, asked.root, asked.limit, asked.learn, asked.plot)
