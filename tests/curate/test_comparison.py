"""Two runs side by side: counts equal brute force over the ledgers, by row and by uid, whatever the pools are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import curate
from curate import pairing
from curate.comparison import ABSENT, FAILED, Comparison, Set
from curate.errors import RunError
from curate.inspect import Run
from curate.report.compare import text

Write = Callable[..., Path]
LONG = [{"step": "filters.text.CaptionLength", "name": "length", "min_words": 4}]
WIDE = [
    {"step": "filters.image.Resolution", "name": "resolution", "min_side": 200},
    {"step": "stages.select.top.TopFraction", "name": "sharp", "column": "sharpness", "fraction": 0.5},
]


@pytest.fixture
def run(write_recipe: Write, root: str) -> Callable[..., Run]:
    """A finished run of a recipe with these fields."""

    def make(name: str, limit: int | None = None, **fields: Any) -> Run:
        recipe = write_recipe(**{"compute": "all", "name": name, **fields})
        done = curate.run(recipe, root=root, executor="inline", limit=limit, quiet=True)
        return curate.open_run(done["run"])

    return make


def pool(tars: Path, name: str, shards: str = "*") -> dict[str, str]:
    return {"step": "stages.ingest.webdataset.Webdataset", "path": f"{tars}/{shards}.tar", "name": name}


def fates(run: Run) -> dict[tuple[str, int], str]:
    """Outcome by uid and how many of that uid came before."""
    seen: Counter[bytes] = Counter()
    found = {}
    for row in run.ledger().select(["uid", "fate", "rule"]).to_pylist():
        found[row["uid"].hex(), seen[row["uid"]]] = row["rule"] or row["fate"]
        seen[row["uid"]] += 1
    return found


def brute(one: Run, two: Run, among: set[tuple[str, int]] | None = None) -> dict[str, dict[str, int]]:
    """The crosstab by dictionaries."""
    a, b = fates(one), fates(two)
    keys = a.keys() | b.keys() if among is None else among
    pairs = Counter((a.get(key, ABSENT), b.get(key, ABSENT)) for key in keys)
    table: dict[str, dict[str, int]] = {}
    for (mine, theirs), n in pairs.items():
        table.setdefault(mine, {})[theirs] = n
    return table


def test_one_pool_is_compared_row_by_row(run: Callable[..., Run], tars: Path) -> None:
    a, b = run("a", pool=pool(tars, "p"), select=LONG), run("b", pool=pool(tars, "p"), select=WIDE)
    found = curate.compare(a, b)
    assert found.joined == "rows"
    assert found.crosstab == brute(a, b)
    assert found.both + found.only_a == a.manifest["kept"]
    assert found.both + found.only_b == b.manifest["kept"]
    assert found.dropped_by("b") == {"sharp": found.only_a}
    assert found.dropped_by("a") == {"length": found.only_b}
    assert found.jaccard == found.both / (found.both + found.only_a + found.only_b)


def test_pools_of_their_own_are_joined_by_uid(
    run: Callable[..., Run], tars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairing, "PARTITION_ROWS", 16)  # several partitions
    a = run("a", pool=pool(tars, "p"), select=LONG)
    b = run("b", pool=pool(tars, "q", "0000[12]"), select=WIDE)
    found = curate.compare(a, b)
    assert found.joined == "uid"
    assert found.crosstab == brute(a, b)
    assert found.crosstab["kept"][ABSENT] > 0
    assert found.crosstab[FAILED] == {FAILED: 1}
    same = curate.compare(a, run("c", pool=pool(tars, "q", "*"), select=WIDE))
    rows = curate.compare(a, run("d", pool=pool(tars, "p"), select=WIDE))
    assert (same.joined, rows.joined) == ("uid", "rows")
    assert same.crosstab == rows.crosstab
    assert [e.uid for e in same.main.examples["both"]] == [e.uid for e in rows.main.examples["both"]]


def test_a_uid_that_stands_twice_meets_the_other_pools_in_their_order(
    run: Callable[..., Run], tars: Path, tmp_path: Path
) -> None:
    both = tmp_path / "both"
    both.mkdir()
    for number, name in enumerate(("00000", "00000", "00002")):
        (both / f"{number}.tar").write_bytes((tars / f"{name}.tar").read_bytes())
    a = run("a", pool=pool(both, "p"), select=LONG)
    b = run("b", pool=pool(tars, "q"), select=WIDE)
    assert curate.compare(a, b).crosstab == brute(a, b)
    assert curate.compare(b, a).crosstab == brute(b, a)


def test_what_a_limit_left_out_is_not_in_its_pool(run: Callable[..., Run], tars: Path) -> None:
    a, b = run("a", pool=pool(tars, "p"), select=LONG), run("b", limit=50, pool=pool(tars, "p"), select=WIDE)
    for one, two in ((a, b), (b, a)):
        found = curate.compare(one, two)
        assert found.joined == "rows"
        assert found.crosstab == brute(one, two)
    assert curate.compare(a, b).crosstab["kept"][ABSENT] > 0


def test_scores_of_the_three_sets(run: Callable[..., Run], tars: Path) -> None:
    hashes = [{"step": "stages.signals.image.Pixels"}, {"step": "stages.signals.text.CaptionStats"}]
    a = run("a", pool=pool(tars, "p"), select=LONG, signals=hashes[1:])
    b = run("b", pool=pool(tars, "p"), select=WIDE[1:], signals=hashes[:1])
    found = curate.compare(a, b)
    kept = [np.array(side.table("fate")["fate"].to_pylist()) == "kept" for side in (a, b)]
    words = np.array(a.table("caption_words")["caption_words"].to_pylist())
    sets: dict[Set, np.ndarray] = {
        "both": kept[0] & kept[1],
        "only_a": kept[0] & ~kept[1],
        "only_b": ~kept[0] & kept[1],
    }
    scores = {score.column: score for score in found.scores}
    assert {"caption_words", "sharpness"} <= scores.keys()  # each known to one run alone, of the pool that both share
    for which, rows in sets.items():
        assert sum(scores["caption_words"].bins[which]) == scores["caption_words"].count[which] == rows.sum()
        assert scores["caption_words"].mean[which] == pytest.approx(words[rows].mean())


def test_examples_and_their_picture(run: Callable[..., Run], tars: Path) -> None:
    found = curate.compare(run("a", pool=pool(tars, "p"), select=LONG), run("b", pool=pool(tars, "q"), select=WIDE[1:]))
    table = found.table("only_a")
    assert set(table["other"].to_pylist()) == {"sharp"}
    assert table.num_rows == min(12, found.only_a)
    assert found.grid("only_b").width > 100


@pytest.mark.parametrize("other", ["site", "again"])
def test_documents_texts_and_images_are_counted_apart(run_documents: Callable[..., Run], other: str) -> None:
    a, b = run_documents("a", words=3, texts=1), run_documents("b", words=1, texts=2, pool=other)
    found = curate.compare(a, b)
    kinds = dict(zip(fates(a), a.table("kind")["kind"].to_pylist(), strict=True))
    assert list(found.kinds) == ["document", "text", "image"]
    for kind, overlap in found.kinds.items():
        assert overlap.crosstab == brute(a, b, {key for key, of in kinds.items() if of == kind})
        assert overlap.both + overlap.only_a == a.funnel().kinds[kind].kept
        assert overlap.both + overlap.only_b == b.funnel().kinds[kind].kept
    assert (found.both, found.only_a, found.only_b) == (3, 0, 0)
    assert found.kinds["text"].dropped_by("a") == {"length": found.kinds["text"].only_b}
    uids = {uid for (uid, _), kind in kinds.items() if kind == "image"}
    assert {row["uid"] for row in found.table("both").to_pylist()} <= uids
    told = found.to_json()
    assert told["both"] == told["kinds"]["document"]["both"]
    assert "documents: kept by both 3 · by a alone 0" in text(found)


def test_pairs_and_documents_have_nothing_in_common(
    run: Callable[..., Run], run_documents: Callable[..., Run], tars: Path
) -> None:
    with pytest.raises(RunError, match="about pairs and one about documents"):
        curate.compare(run("a", pool=pool(tars, "p"), select=LONG), run_documents("b", words=3, texts=1))


def test_a_run_equals_itself(run: Callable[..., Run], tars: Path) -> None:
    a = run("a", pool=pool(tars, "p"), select=LONG)
    found = curate.compare(a, a)
    assert (found.only_a, found.only_b, found.jaccard) == (0, 0, 1.0)
    with pytest.raises(RunError, match="1 to 400"):
        found.grid("only_a")


def test_the_command_prints_json_and_writes_the_page(run: Callable[..., Run], tars: Path, root: str) -> None:
    a, b = run("a", pool=pool(tars, "p"), select=LONG), run("b", pool=pool(tars, "p"), select=WIDE)
    line = [sys.executable, "-m", "curate.cli", "compare", "a", "b", "--root", root]
    done = subprocess.run([*line, "--json"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    expected: Comparison = curate.compare(a, b)
    assert Path(found.pop("page")).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert found == json.loads(json.dumps(expected.to_json()))
    told = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert f"kept by both {expected.both} · by a alone {expected.only_a} · by b alone {expected.only_b}" in told
    lost = subprocess.run([*line[:-3], "nowhere", *line[-2:]], capture_output=True, text=True, check=False)
    assert (lost.returncode, "there is no run" in lost.stderr) == (2, True)
