"""Curates image-text pools: facts are computed once and kept, decisions are cheap, and nothing is lost silently.

import curate

result = curate.run("manifests/quickstart.yaml", executor="inline")
run = curate.open_run("workspace/runs/quickstart")
run.funnel()
curate.compare("workspace/runs/quickstart", "workspace/runs/four-words").jaccard
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["CurateError", "compare", "open_run", "plan", "run"]

if TYPE_CHECKING:
    from curate.api import plan, run
    from curate.comparison import compare
    from curate.errors import CurateError
    from curate.inspect import open_run


def __getattr__(name: str) -> Any:
    """Import lazily: `import curate` stays light."""
    if name in ("plan", "run"):
        from curate import api

        return getattr(api, name)
    if name == "compare":
        from curate.comparison import compare

        return compare
    if name == "open_run":
        from curate.inspect import open_run

        return open_run
    if name == "CurateError":
        from curate.errors import CurateError

        return CurateError
    raise AttributeError(f"module 'curate' has no attribute {name!r}")
