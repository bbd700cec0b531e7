"""A training run as data: one YAML file, checked as a whole before anything is read or built."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from trainer.errors import ConfigError


class Section(BaseModel):
    """Part of a config: frozen, and closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(Section):
    """Which samples are held out: those whose json ``field`` equals ``value``, else a ``fraction`` of uids by hash."""

    field: str | None = None
    value: str = "test"
    fraction: float = Field(default=0.1, ge=0, lt=1)


class Data(Section):
    """Where samples come from and how they are ordered. A relative ``path`` is under the root."""

    format: Literal["webdataset", "ffcv"] = "webdataset"
    path: Path
    split: Split = Split()
    window: PositiveInt = 8  # shards shuffled together: more mixes better, fewer reads more locally
    crop_area: float = Field(default=0.9, gt=0, le=1)  # least area of the random square crop, open_clip's default
    max_corrupt: float = Field(default=0.05, ge=0, le=1)  # share of samples seen beyond which a run stops
    index: Path = Path("train/index")  # cache of tar and beton indexes, under the root


class Model(Section):
    """An open_clip model: either a name it knows (``arch``) or a full ``config`` of its CLIP class."""

    arch: str | None = None
    pretrained: Path | None = None  # safetensors, or a file that torch.load(weights_only=True) reads
    config: dict[str, Any] | None = None
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)  # of RGB in [0, 1]; OpenAI's CLIP
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        if (self.arch is None) == (self.config is None):
            raise ValueError("give either arch (a model that open_clip knows) or config (a model_cfg of open_clip)")
        return self


class Train(Section):
    """How long and how: AdamW, linear warm-up, cosine to zero. ``batch_size`` counts over all processes."""

    batch_size: PositiveInt = 64
    steps: PositiveInt | None = None
    epochs: PositiveFloat | None = None
    lr: PositiveFloat = 1e-3
    warmup: int = Field(default=0, ge=0)  # steps
    weight_decay: float = Field(default=0.2, ge=0)  # on matrices only, as in CLIP
    betas: tuple[float, float] = (0.9, 0.98)
    eps: PositiveFloat = 1e-6
    clip_norm: PositiveFloat | None = 1.0

    @model_validator(mode="after")
    def _one_length(self) -> Train:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        return self


class Evaluation(Section):
    """Retrieval on the held-out split; ``max_samples`` are those with the smallest uid hash."""

    batch_size: PositiveInt = 64
    max_samples: PositiveInt = 2000
    bootstrap: PositiveInt = 1000


class Runtime(Section):
    """What may differ between two runs of one experiment: nothing here changes what is learnt, beyond rounding."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on a GPU, fp32 on a CPU
    parallel: Literal["ddp", "fsdp"] = "ddp"
    compile: bool = False
    threads: PositiveInt = 1  # of torch per process on a CPU: two processes of one thread beat one of two
    workers: int = Field(default=2, ge=0)  # processes that read and decode, per rank; 0: none but the rank itself
    log_every: PositiveInt = 10
    checkpoint_every: PositiveInt = 200


class Config(Section):
    """One run: its outputs go to ``<root>/train/<name>/``. ``root`` defaults to $CURATE_ROOT, else ``workspace``."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0, lt=2**63)
    root: Path = Field(default_factory=lambda: Path(os.environ.get("CURATE_ROOT") or "workspace"))
    data: Data
    model: Model
    train: Train
    eval: Evaluation = Evaluation()
    runtime: Runtime = Runtime()

    @property
    def out(self) -> Path:
        """Folder of checkpoint, log and metrics."""
        return self.root / "train" / self.name

    def experiment(self) -> dict[str, Any]:
        """What a checkpoint must agree with to be gone on from: all but the place and the runtime."""
        return self.model_dump(mode="json", exclude={"root": True, "runtime": True, "data": {"index"}})


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config; ``overrides`` are ``"train.lr=0.001"``, their values YAML. ConfigError names file and field."""
    file = Path(path)
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: must be a mapping of fields, is {type(tree).__name__}")
    for override in overrides:
        _override(tree, override)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{file}: " + "; ".join(_explain(dict(e)) for e in error.errors())) from error


def _override(tree: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: write it as path.to.field=value")
    *parents, last = dotted.split(".")
    node = tree
    for part in parents:
        below = node.setdefault(part, {})
        if not isinstance(below, dict):
            raise ConfigError(f"--set {override}: {part} is a value, not a section")
        node = below
    try:
        node[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not YAML: {error}") from error


def _explain(error: dict[str, Any]) -> str:
    """One line per pydantic error; an unknown field gets the nearest known one."""
    where = [str(part) for part in error["loc"]]
    dotted = ".".join(where) or "config"
    if error["type"] != "extra_forbidden":
        return f"{dotted}: {error['msg'].removeprefix('Value error, ')}"
    known = _fields(where[:-1])
    near = difflib.get_close_matches(where[-1], known, n=1)
    return f"{dotted}: unknown field" + (f", did you mean {near[0]}?" if near else f"; known are {', '.join(known)}")


def _fields(where: list[str]) -> list[str]:
    section: type[BaseModel] = Config
    for part in where:
        annotation = section.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        section = annotation
    return list(section.model_fields)
