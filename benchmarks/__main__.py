"""All benchmarks, or those that are named: `python -m benchmarks [NAME...] [--json]`.

A benchmark is a module of this folder with `main(json: bool)`, which prints rates and their ratio to a plain loop
over the same libraries, measured in the same run.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Collection
from types import ModuleType

import benchmarks


def names() -> list[str]:
    """Modules of this folder whose `main` can print JSON; others (training, data) are programs of their own."""
    found = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__")
    return [name for name in found if "json" in _parameters(importlib.import_module(f"benchmarks.{name}"))]


def _parameters(module: ModuleType) -> Collection[str]:
    return inspect.signature(module.main).parameters if hasattr(module, "main") else ()


def run(arguments: list[str]) -> int:
    """Exit code 0, or 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names())}")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.names) - set(names()))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    for name in asked.names or names():
        if not asked.json:
            print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main(json=asked.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
