"""The six caption rules by ours and by the projects that people use, on the same captions and cores, in one run.

    python -m benchmarks.peers captions [--rows N] [--cores N] [--cache DIR] [--json]

The rules are `six_rules`. Everyone reads the same Parquet files and writes what is kept, in a process of its own;
`work` is the wall time without imports, `whole` that of the process. Decisions are compared with the specification row
by row: those who can run it as it stands do, Data-Juicer has operators of its own and decides some captions otherwise.
"""

from __future__ import annotations

import json as jsonlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data.captions_planted import captions
from benchmarks.peers.environment import PROJECT, Outcome, Peer, Unavailable, measure, run_program
from benchmarks.peers.six_rules import RULES

ROWS, PARTS = 100_000, 4
PROGRAMS: Final = Path(__file__).with_name("programs")
PLAIN: Final = Peer("plain", ("pyarrow==26.0.1",), "pyarrow")
PEERS: Final = {
    "polars": Peer("polars", ("polars==2.1.0",), "polars"),
    "daft": Peer("daft", ("daft==0.7.26",), "daft"),
    "datatrove": Peer("datatrove", ("datatrove[io,processing]==0.10.1",), "datatrove"),
    "nemo": Peer("nemo-curator", ("nemo-curator==1.4.0", "torch==2.13.0"), "nemo-curator"),
    "juicer": Peer("data-juicer", ("py-data-juicer==1.6.1", "aiohttp"), "py-data-juicer"),
}
"""Program -> peer."""
COMPARED: Final = ("daft", "datatrove", "nemo-curator", "data-juicer")
"""Of which ours is to be three times the fastest."""


def pool(rows: int) -> list[str]:
    """Planted captions; of every fifty, four are of signs, in Chinese, very long, or shouted."""
    texts, _ = captions(rows)
    for at, text in enumerate(texts):
        if at % 50 == 7:
            texts[at] = "".join("!@#$%^&*~|"[(at * k) % 10] for k in range(1, 9 + at % 30)) + " " + text[:12]
        elif at % 50 == 19:
            texts[at] = "".join(chr(0x4E00 + (at * 7919 + 104729 * k) % 20000) for k in range(6 + at % 25))
        elif at % 50 == 31:
            texts[at] = " ".join(texts[at - 12 : at])
        elif at % 50 == 43:
            texts[at] = f"{text.upper()}!!! http://shop{at % 99}.example.com/p?id={at}"
    return texts


def write(rows: int, folder: Path) -> dict[str, bool]:
    """The captions as Parquet files in `folder`; returns uid -> what the specification decides."""
    texts = pool(rows)
    uids = [f"{at:08d}" for at in range(rows)]
    table = pa.table({"uid": uids, "text": texts})
    folder.mkdir()
    for part in range(PARTS):
        begin, end = part * rows // PARTS, (part + 1) * rows // PARTS
        pq.write_table(table.slice(begin, end - begin), folder / f"{part}.parquet")
    return {uid: all(rule(text) for rule in RULES.values()) for uid, text in zip(uids, texts, strict=True)}


def kept(target: Path) -> set[str]:
    """The uids that a program wrote: into a folder of Parquet files, one such file, or a file of JSON lines."""
    if (lines := target.with_suffix(".jsonl")).exists():
        return {jsonlib.loads(line)["uid"] for line in lines.open(encoding="utf-8")}
    single = target.with_suffix(".parquet")
    files = [single] if single.exists() else [*(target / "kept").glob("*.parquet")] or [*target.glob("*.parquet")]
    names = [pq.read_schema(file).names for file in files]
    return {
        uid
        for file, columns in zip(files, names, strict=True)
        for uid in pq.read_table(file)["uid" if "uid" in columns else "id"].to_pylist()
    }


def outcomes(source: Path, scratch: Path, cache: Path, cores: int) -> Iterator[tuple[Path, Outcome] | str]:
    """Where each program wrote and what it took, as it is done; a line for one that is not to be had."""

    def attempt(name: str, run: Callable[[Path], Outcome]) -> tuple[Path, Outcome] | str:
        target = scratch / name
        try:
            return target, run(target)
        except Unavailable as error:
            return str(error)

    for way in ("calls", "worker"):
        command = [sys.executable, "-m", "benchmarks.peers.ours_captions", way, str(source)]
        yield attempt(f"ours-{way}", lambda target, way=way, command=command: _ours(way, command, target, cores))  # type: ignore[misc]
    for program, peer in {"plain": PLAIN, **PEERS}.items():
        file = PROGRAMS / f"captions_{program}.py"
        yield attempt(
            program,
            lambda target, peer=peer, file=file: measure(  # type: ignore[misc]
                peer, file, [str(source), str(target), str(cores)], cache, cores, scratch
            ),
        )


def _ours(way: str, command: list[str], target: Path, cores: int) -> Outcome:
    said, total = run_program([*command, str(target)], f"ours, {way}", cores, PROJECT)
    return Outcome(f"ours, {way}", "", said["seconds"], total, said)


def rows_of(rows: int, cache: Path, cores: int) -> Iterator[dict[str, Any]]:
    """A row per way: captions/s, and on how many captions it decides other than the specification."""
    with tempfile.TemporaryDirectory(prefix="peers-captions-") as folder:
        scratch = Path(folder)
        expected = write(rows, scratch / "in")
        for found in outcomes(scratch / "in", scratch, cache, cores):
            if isinstance(found, str):
                yield {"way": found.split(":")[0], "unavailable": found}
                continue
            target, outcome = found
            uids = kept(target)
            apart = sum(keep != (uid in uids) for uid, keep in expected.items())
            yield {
                "way": outcome.name,
                "version": outcome.version,
                "work": outcome.seconds,
                "whole": outcome.total,
                "captions/s": rows / outcome.seconds,
                "kept": len(uids),
                "apart": apart,
            }


def main(rows: int, cache: Path, cores: int, json: bool) -> None:
    """Print a line per way as it is done, then how many times the fastest peer ours is."""
    found: list[dict[str, Any]] = []
    if not json:
        print(
            f"{rows:,} captions, {cores} core(s)\n{'':28}{'work s':>9}{'whole s':>9}{'captions/s':>12}{'kept':>8}{'apart':>7}"
        )
    for row in rows_of(rows, cache, cores):
        found.append(row)
        if not json:
            print(_line(row), flush=True)
    speed = {row["way"]: row["captions/s"] for row in found if "work" in row}
    fastest = max((name for name in COMPARED if name in speed), key=lambda name: speed[name], default=None)
    ratios = {way: speed[way] / speed[fastest] for way in speed if way.startswith("ours")} if fastest else {}
    if json:
        print(jsonlib.dumps({"benchmark": "peers.captions", "rows": found, "fastest": fastest, "times": ratios}))
    elif fastest:
        told = ", ".join(f"{way} {times:.1f} times" for way, times in ratios.items())
        print(f"fastest peer: {fastest}; {told}")
    if wrong := [row["way"] for row in found if row.get("apart") and row["way"] != "data-juicer"]:
        raise SystemExit(f"decides other than the specification: {', '.join(wrong)}")


def _line(row: dict[str, Any]) -> str:
    if "unavailable" in row:
        return f"unavailable: {row['unavailable']}"
    name = f"{row['way']} {row['version']}".strip()
    return f"{name:28}{row['work']:9.2f}{row['whole']:9.2f}{row['captions/s']:12,.0f}{row['kept']:8,}{row['apart']:7,}"
