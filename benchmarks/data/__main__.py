"""`make data`: larger real pools from Debian, npm and PyPI packages, and the embedded sample.

python -m benchmarks.data                      # openclipart, tuxpaint and emoji, under workspace/data/
python -m benchmarks.data emoji --root /mnt/x  # one of them, elsewhere
python -m benchmarks.data sample               # rebuild the embedded sample under workspace/data/sample, to compare
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.data import emoji, openclipart, tuxpaint
from benchmarks.data.packages import PackageError
from benchmarks.data.sample import build_sample
from benchmarks.data.shards import Pair, write_pool

POOLS: dict[str, Callable[[Path], Iterator[Pair]]] = {
    "openclipart": openclipart.pairs,
    "tuxpaint": tuxpaint.pairs,
    "emoji": emoji.pairs,
}


def main(arguments: list[str] | None = None) -> int:
    """Build what is named; 0 when done, 3 when a package could not be had."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.data", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pool", nargs="?", default="pools", choices=[*POOLS, "sample", "pools", "all"])
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("CURATE_ROOT", "workspace")))
    options = parser.parse_args(arguments)
    names = {"pools": list(POOLS), "all": [*POOLS, "sample"]}.get(options.pool, [options.pool])
    try:
        for name in names:
            print(_build(name, options.root / "data"), flush=True)
    except PackageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


def _build(name: str, data: Path) -> str:
    cache, folder = data / "packages", data / name
    if name == "sample":
        return f"sample: {build_sample(cache, folder)} pairs in {folder}"
    rows, tars = write_pool(POOLS[name](cache), folder)
    return f"{name}: {rows:,} pairs in {tars} tars in {folder}"


if __name__ == "__main__":
    raise SystemExit(main())
