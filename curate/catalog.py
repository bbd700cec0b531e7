"""From a step's name in a recipe to its class, and to the nearest name when there is none.

A name is a path inside `stages`, `filters` or `synth`, or inside a package that the operator (never the recipe) names.
The class must implement a contract, which is checked before it is constructed.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from curate.contracts import Exporter, Filter, PoolFact, Selection, Signal, Source, Step, Synth
from curate.errors import MissingExtra, RecipeError

ROOTS = ("stages", "filters", "synth")
CONTRACTS = (Signal, Synth, PoolFact, Filter, Selection, Source, Exporter)
S = TypeVar("S", bound=Step)


def nearest(word: str, words: Iterable[str]) -> str:
    """' Did you mean …?' for the nearest known word, or nothing."""
    found = difflib.get_close_matches(word, sorted(words), n=1, cutoff=0.5)
    return f" Did you mean {found[0]!r}?" if found else ""


def step_names(roots: Sequence[str] = ROOTS) -> list[str]:
    """Names of all classes under the roots, read from source without importing it."""
    names = []
    for root in roots:
        spec = importlib.util.find_spec(root)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for module in pkgutil.walk_packages([folder], f"{root}."):
                file = Path(folder, *module.name.split(".")[1:])
                source = file / "__init__.py" if module.ispkg else file.with_suffix(".py")
                body = ast.parse(source.read_text()).body if source.exists() else []
                names += [f"{module.name}.{node.name}" for node in body if isinstance(node, ast.ClassDef)]
    return sorted(name for name in names if not name.rsplit(".", 1)[1].startswith("_"))


def operator_plugins() -> tuple[str, ...]:
    """Packages that the operator names in `CURATE_PLUGINS`, comma-separated; `--plugins` adds to them."""
    return tuple(name for name in os.environ.get("CURATE_PLUGINS", "").split(",") if name)


def resolve_step(name: str, plugins: Sequence[str] = ()) -> type[Step]:
    """The class behind a recipe's `step:`. Raises `RecipeError` with the nearest valid name."""
    roots = (*ROOTS, *plugins, *operator_plugins())
    module_name, _, class_name = name.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in name.split(".")):
        raise RecipeError(f"{name!r} is no step: write it as package.module.Class.{_suggest(name, roots)}")
    if module_name.split(".")[0] not in roots:
        hint = (
            _suggest(name, roots) or " A plugin's package is named by --plugins or CURATE_PLUGINS, never by a recipe."
        )
        raise RecipeError(f"{name!r} is outside {', '.join(roots)}.{hint}")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not module_name.startswith(error.name):
            raise MissingExtra(error.name, "all") from error
        raise RecipeError(f"there is no step {name!r}.{_suggest(name, roots)}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise RecipeError(f"there is no step {name!r}.{_suggest(name, roots)}")
    if not issubclass(found, CONTRACTS):
        kinds = ", ".join(contract.__name__ for contract in CONTRACTS)
        raise RecipeError(f"{name!r} is no step: its class implements none of {kinds}.")
    return found


def _suggest(name: str, roots: Sequence[str]) -> str:
    known = step_names(roots)
    tail = name.rsplit(".", 1)[-1]
    same = [step for step in known if step.rsplit(".", 1)[-1] == tail]
    return f" Did you mean {same[0]!r}?" if same else nearest(name, known)


def step_path(step: Step | type[Step]) -> str:
    """`filters.text.CaptionLength`: how a recipe names the class."""
    kind = step if isinstance(step, type) else type(step)
    return f"{kind.__module__}.{kind.__qualname__}"


def givers(column: str, plugins: Sequence[str] = ()) -> list[str]:
    """Names of the signals and pool facts that give a column with their default settings."""
    found = []
    for name in step_names((*ROOTS, *plugins)):
        try:
            kind = resolve_step(name, plugins)
        except (RecipeError, MissingExtra):
            continue
        required = any(field.is_required() for field in kind.model_fields.values())
        whole = issubclass(kind, (Signal, PoolFact)) and not kind.__abstractmethods__ and not required
        if whole and column in kind().gives():  # type: ignore[attr-defined]
            found.append(name)
    return found
