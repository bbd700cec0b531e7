"""Let a CUDA build of torchvision be imported beside a CPU build of torch.

The registry carries torchvision as a CUDA build only. Beside a CPU torch its operator library `_C.so` cannot be loaded,
and `import torchvision` fails with "operator torchvision::nms does not exist", because its Python code registers
shapes for operators that nobody declared. Declaring the two operators it asks for is enough: transforms, models, timm,
open_clip and the processors of transformers work; `ops.nms` and `io.decode_jpeg` still raise when called.

`scripts/setup.sh` puts this file into the environment's site-packages with a one-line `.pth`, so that it also holds in
Ray workers, spawned processes and other projects' command lines. It costs nothing until torchvision is imported, and
changes nothing where `_C.so` loads.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept_alive: list[object] = []  # a Library takes its operators with it when it is collected


class TorchvisionLoader(SourceFileLoader):
    """Python's own loader, which first sees to it that the operators of torchvision exist."""

    def exec_module(self, module: ModuleType) -> None:
        """Run torchvision's `__init__`, after declaring the operators where `_C.so` cannot be loaded."""
        if not _operators_load(Path(self.path).parent):
            _declare_operators()
        super().exec_module(module)


class TorchvisionFinder(MetaPathFinder):
    """Finds torchvision where Python would, so that asking whether it is installed imports no torch."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The ordinary spec of torchvision with our loader in it; None for every other module."""
        if fullname != "torchvision":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = TorchvisionLoader(spec.loader.name, spec.loader.path)
        return spec


def _operators_load(package: Path) -> bool:
    import torch  # noqa: F401  (loads the libraries that _C.so links to)

    library = next(package.glob("_C*.so"), None)
    if library is None:
        return False
    try:
        ctypes.CDLL(str(library))
    except OSError:
        return False
    return True


def _declare_operators() -> None:
    from torch.library import Library

    library = Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _kept_alive.append(library)


sys.meta_path.insert(0, TorchvisionFinder())
