"""The reference trainer: reads shards and configs, and knows nothing of how the shards were curated.

import trainer
metrics = trainer.run("manifests/train/clip_tiny.yaml", ["train.epochs=3"])
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.errors import ConfigError, DataError, TrainError
from trainer.summary import summary

__all__ = ["ConfigError", "DataError", "TrainError", "run", "summary"]


def run(config_path: str | Path, overrides: Sequence[str] = (), resume: bool = False) -> dict[str, Any]:
    """Train as a config says, going on from its checkpoint if there is one; the metrics, also in metrics.json.

    ``overrides``: ``"path.to.field=value"``. ``resume``: go on although the config differs from the checkpoint's.
    ``status`` in the result is "done" or "stopped" (by a signal; run again to go on); ``already`` is true when there
    was nothing left to do. Raises TrainError or one of its kinds.
    """
    from trainer.config import load

    config = load(config_path, overrides)
    try:
        from trainer.train import train
    except ImportError as error:
        raise TrainError(f"training needs torch and open_clip: install the extra 'train' ({error})") from error
    return train(config, changed=resume)
