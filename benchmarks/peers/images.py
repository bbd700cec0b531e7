"""Size, aspect, blur and perceptual hash of JPEGs by ours, a plain OpenCV loop, Daft and Data-Juicer, in one run.

    python -m benchmarks.peers images [--rows N] [--cores N] [--cache DIR] [--json]

The images are those of `benchmarks.images`, 0.24 megapixels when clean. What stays is compared with the plain loop's
decisions, image by image. Data-Juicer has no operator for blur and drops equal hashes as well: its blurred images and
the planted copies are left out of its comparison, and it does less work.
"""

from __future__ import annotations

import json as jsonlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import images
from benchmarks.data.jpegs import Planted, jpegs
from benchmarks.peers.environment import PROJECT, Outcome, Peer, Unavailable, measure, run_program

ROWS: Final = 2000
PROGRAMS: Final = Path(__file__).with_name("programs")
RULES: Final = {"least_side": images.LEAST_SIDE, "most_aspect": images.MOST_ASPECT, "sharp": images.SHARP["plain"]}
PEERS: Final = {
    "daft": Peer("daft-images", ("daft==0.7.26", "opencv-python-headless==4.14.0.94"), "daft"),
    "juicer": Peer("data-juicer", ("py-data-juicer==1.6.1", "aiohttp"), "py-data-juicer"),
}
"""Program -> peer."""


def outcomes(folder: Path, scratch: Path, cache: Path, cores: int) -> Iterator[Outcome | str]:
    """What each took and kept, as it is done; a line for one that is not to be had."""
    for way, name in (("luma", "ours, luma"), ("thumb", "ours, thumb"), ("plain", "OpenCV loop")):
        command = [sys.executable, "-m", "benchmarks.peers.ours_images", way, str(folder)]
        try:
            said, total = run_program(command, name, cores, PROJECT)
            yield Outcome(name, "", said["seconds"], total, said)
        except Unavailable as error:
            yield str(error)
    for program, peer in PEERS.items():
        given = [str(folder), str(scratch / program), jsonlib.dumps(RULES), str(cores)]
        try:
            yield measure(peer, PROGRAMS / f"images_{program}.py", given, cache, cores, scratch)
        except Unavailable as error:
            yield str(error)


def apart(made: Sequence[Planted], expected: dict[int, str], outcome: Outcome) -> int:
    """Images that one keeps and the specification drops, or the other way round."""
    kept = set(outcome.said["kept"])
    fate = dict(expected)
    if outcome.name == "data-juicer":
        copied = {image.mate for image in made if image.mate is not None}
        left_out = {image.number for image in made if image.mate is not None} | {n for n in copied if n is not None}
        fate = {n: "kept" if f == "blur" else f for n, f in expected.items() if n not in left_out}
    return sum((number in kept) != (what == "kept") for number, what in fate.items())


def rows_of(count: int, cache: Path, cores: int) -> Iterator[dict[str, Any]]:
    """A row per way: images/s, and on how many images it decides other than the loop."""
    made = list(jpegs(count))
    expected = {image.number: images.plain(image.blob)[0] for image in made}
    with tempfile.TemporaryDirectory(prefix="peers-images-") as name:
        scratch = Path(name)
        (folder := scratch / "in").mkdir()
        for image in made:
            (folder / f"{image.number:06d}.jpg").write_bytes(image.blob)
        for found in outcomes(folder, scratch, cache, cores):
            if isinstance(found, str):
                yield {"way": found.split(":")[0], "unavailable": found}
                continue
            yield {
                "way": found.name,
                "version": found.version,
                "work": found.seconds,
                "whole": found.total,
                "images/s": count / found.seconds,
                "kept": len(found.said["kept"]),
                "apart": apart(made, expected, found),
            }


def main(count: int, cache: Path, cores: int, json: bool) -> None:
    """Print a line per way as it is done, then how many times the fastest of the others ours is."""
    found: list[dict[str, Any]] = []
    if not json:
        print(
            f"{count:,} JPEGs, {cores} core(s)\n{'':28}{'work s':>9}{'whole s':>9}{'images/s':>12}{'kept':>8}{'apart':>7}"
        )
    for row in rows_of(count, cache, cores):
        found.append(row)
        if not json:
            print(_line(row), flush=True)
    speed = {row["way"]: row["images/s"] for row in found if "work" in row}
    others = [name for name in speed if not name.startswith("ours")]
    fastest = max(others, key=lambda name: speed[name], default=None)
    ratios = {way: speed[way] / speed[fastest] for way in speed if way.startswith("ours")} if fastest else {}
    if json:
        print(jsonlib.dumps({"benchmark": "peers.images", "rows": found, "fastest": fastest, "times": ratios}))
    elif fastest:
        print(f"fastest other: {fastest}; {', '.join(f'{way} {times:.1f} times' for way, times in ratios.items())}")
    if wrong := [row["way"] for row in found if row.get("apart") and row["way"].startswith("ours")]:
        raise SystemExit(f"decides other than the loop: {', '.join(wrong)}")


def _line(row: dict[str, Any]) -> str:
    if "unavailable" in row:
        return f"unavailable: {row['unavailable']}"
    name = f"{row['way']} {row['version']}".strip()
    return f"{name:28}{row['work']:9.2f}{row['whole']:9.2f}{row['images/s']:12,.0f}{row['kept']:8,}{row['apart']:7,}"
