"""The contracts of the house: what a step of a recipe is.

A `Signal` states a fact about a sample, a `PoolFact` states one that needs the whole pool, a `Filter` decides on one
sample, a `Selection` decides on the pool, a `Synth` writes new columns, a `Source` brings samples in, an `Exporter`
writes shards. A step is a frozen pydantic model: its fields are its parameters in the recipe, its class attributes
declare what it needs and gives, and one method does the work. Everything around it (reading, decoding, batching,
isolation of bad samples, ledger, resume, progress) belongs to the engine and is written once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

Columns = Mapping[str, np.ndarray]
"""Row-aligned columns. Strings and lists are object arrays (null is None), numbers keep their type (integers with nulls
become float64 with NaN), fixed-size lists become 2-D arrays. Decisions also get `uid`, uint64 (n, 2) in the order of
its hexadecimal form, and `position`, uint64 (n,) = shard << 32 | row."""

State = dict[str, np.ndarray]
"""What a global step learned from its scan. Its size is bounded by configuration, never by the pool's size."""

Bounds = dict[str, tuple[float | None, float | None]]
"""Per column the lowest and highest value that stays; the report draws them."""

ImageLevel = Literal["bytes", "luma", "thumb", "full"]
"""`bytes`: the encoded file, nothing is decoded. `thumb`: decoded once for all signals, RGB, reduced by the largest
k in {1, 2, 4, 8} that leaves the short side at 256 px or more (by DCT scaling for JPEG). `full`: RGB, every pixel.
`luma`: grey (mode L), short side at 128 px or more; a JPEG's colours are not even decoded. Each level that a pass needs
is one decode."""

DECODED: tuple[ImageLevel, ...] = ("luma", "thumb", "full")
"""Levels at which a signal gets pixels."""

Lane = Literal["cpu", "model"]

Kind = Literal["document", "text", "image"]
"""What a row of a pool of documents is: a document, or a node of one."""


class Step(BaseModel):
    """One entry of a recipe: `step: filters.text.CaptionLength` plus this class's fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    needs: ClassVar[tuple[str, ...]] = ()
    """Columns that the step reads."""
    kinds: ClassVar[tuple[Kind, ...]] = ()
    """In a pool of documents: rows of which kinds it is about. Empty: `on` says it, else the columns that it reads (rows
    of the kinds that have them); a signal that wants an image is about images."""

    name: str | None = Field(default=None, description="label in the plan, the ledger and the report")

    on: tuple[Kind, ...] | Kind | None = Field(
        default=None, description="in a pool of documents: the kinds of rows it is about, `document`, `text`, `image`"
    )

    def inputs(self) -> tuple[str, ...]:
        """Columns that this configured step reads; override where a field names the column."""
        return self.needs

    def note(self) -> str:
        """What someone should know of this step before it runs; `plan` and `run` say it, the manifest keeps it."""
        return ""


@dataclass(frozen=True)
class Batch:
    """What a signal computes from: columns it needs and, by its `image` level, encoded bytes or decoded images.

    All are row-aligned and of equal length n; `prepared` is the stack of what `prepare` returned, (n, ...).
    """

    columns: Columns
    images: Sequence[Image] = ()
    blobs: Sequence[bytes] = ()
    prepared: np.ndarray | None = None
    seed: int = 0


class Signal(Step, ABC):
    """A fact about one sample, computed once, kept as columns, reused by every recipe.

    It depends only on the sample and on this step's own fields: never on other rows of the batch, on filters that ran
    before, or on anything global. Raise `SampleError` (or let the library raise) for a bad sample: the engine isolates
    it and goes on with the rest. Index columns that may be needed: `uid`, `key`, `text`, `url`, `ext`, `meta`.
    """

    version: ClassVar[int] = 1
    """Raise it when the output changes: stored facts of the old version are then computed again."""
    image: ClassVar[ImageLevel | None] = None
    lane: ClassVar[Lane] = "cpu"
    """`model` steps run in long-lived actors, on a GPU where there is one."""
    cost: ClassVar[float] = 1.0
    """Rough CPU milliseconds per sample: the planner puts cheap facts first."""

    rename: dict[str, str] = Field(default_factory=dict, description="column as given -> column as stored")

    @abstractmethod
    def gives(self) -> dict[str, pa.DataType]:
        """Columns of the result and their types."""

    def models(self) -> tuple[str, ...]:
        """Model specs whose weights belong to the fingerprint."""
        return ()

    def prepare(self, image: Image) -> np.ndarray | None:
        """On CPU workers: the fixed-shape array that `compute` wants instead of the image (None: the image itself)."""
        return None

    @abstractmethod
    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """From a batch of n rows to columns of n values (None is a legal value)."""


class Synth(Signal, ABC):
    """Writes new text, boxes or conversations; never overwrites what the web said.

    Every row carries its provenance: among `gives` are columns that end in `_model`, `_prompt`, `_seed` and `_score`.
    Computed for kept samples only, unless a filter needs its columns.
    """

    lane: ClassVar[Lane] = "model"


class Relation(Protocol):
    """Rows in partitions, on disk once they are many. Equal rows in, equal rows out, however the pool is cut."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        ...

    def map(self, function: Callable[[pa.Table], T]) -> Iterator[T]:
        """Apply a picklable `function` to each partition; results in their order."""
        ...

    def regroup(self, split: Callable[[pa.Table], pa.Table], join: Callable[[pa.Table], pa.Table]) -> Relation:
        """As `Scan.regroup`, from these rows."""
        ...


class Scan(Protocol):
    """The rows that a global step may see, shard by shard, as often as it likes, in a fixed order."""

    def map(self, function: Callable[[Columns], T], *names: str) -> Iterator[T]:
        """Apply a picklable `function` to each shard's columns (`names` plus `uid` and `position`); results in shard
        order. On a cluster it runs where the workers are."""
        ...

    def regroup(
        self, split: Callable[[Columns], pa.Table], join: Callable[[pa.Table], pa.Table], *names: str
    ) -> Relation:
        """Brings together, out of core, rows that share a key.

        `split` turns a shard's columns into rows with a column `key` (uint64, evenly spread: a hash); `join` gets all
        rows of some keys at once, in the order of shards, and gives the rows of the result, whatever their columns.
        How many keys share one call of `join` is the engine's business and must not show in the result's set of rows.
        """
        ...


@dataclass(frozen=True)
class Spread:
    """A state that grows with the pool: `rows` have a column `position`, and the rows of a shard, sorted by position,
    join the bounded `shared` columns when that shard is decided on."""

    shared: State
    rows: Relation


Learned = State | Spread
"""What `fit` returns."""


class PoolFact(Step, ABC):
    """A fact that needs the whole pool: clusters, duplicate groups, concept counts. Fingerprinted by the pool's content."""

    version: ClassVar[int] = 1
    rename: dict[str, str] = Field(default_factory=dict, description="column as given -> column as stored")

    @abstractmethod
    def gives(self) -> dict[str, pa.DataType]:
        """Columns of the result and their types."""

    def files(self) -> tuple[str, ...]:
        """Paths of files that it learns from beside the pool: their content belongs to the fingerprint."""
        return ()

    @abstractmethod
    def fit(self, scan: Scan, seed: int) -> Learned:
        """Learn from all rows that have the needed columns."""

    @abstractmethod
    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """The fact for each row of one shard. `state`: as `fit` gave it; of a `Spread` what belongs to the shard."""


class DocumentFact(PoolFact):
    """A fact that needs a document as a whole: an image's neighbours, a page's text, how well images and text fit.

    `compute` gets the rows of one shard that it may see, of every kind, in the order of the index (a document, then its
    nodes), with its `inputs` and always `kind` and `parent`; a column that is not about a row is null (NaN) there.
    `curate.documents.spans` cuts them into documents. It answers for all rows that it got; what it says of rows that are
    not of its `kinds` is not kept.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("document",)
    """Rows that get its columns."""
    sees: ClassVar[Literal["page", "kept"]] = "kept"
    """`page`: every node that came, whatever rules say. `kept`: the document as the rules before its first reader leave
    it (at the end, if no rule reads it)."""

    def fit(self, scan: Scan, seed: int) -> Learned:
        """Nothing is learned from other documents."""
        return {}


class Filter(Step, ABC):
    """A decision about one sample: a pure predicate over columns. Its reason is its name and the values it saw."""

    @abstractmethod
    def keep(self, columns: Columns) -> np.ndarray:
        """Boolean (n,): True stays. Comparisons with missing numbers (NaN) are False, so they drop."""

    def bounds(self) -> Bounds:
        """Thresholds per column, for the report's histograms."""
        return {}

    def __call__(self, columns: Columns) -> np.ndarray:
        """The same, for five lines in a notebook: `Language(keep="en")(columns)`."""
        return self.keep(columns)


class Selection(Step, ABC):
    """A decision that needs to see all rows alive at its place in the recipe: top fraction, caps, balance.

    `apply` returns how often each row is exported: 0 drops, more than 1 repeats.
    """

    @abstractmethod
    def fit(self, scan: Scan, seed: int) -> Learned:
        """Learn thresholds from the rows alive before this step."""

    @abstractmethod
    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """Multiplicity, int (n,), for the rows alive before this step."""

    def threshold(self, state: State) -> str:
        """The learned rule in words, for the ledger: `similarity >= 0.2133`. Of a `Spread` it sees what is shared."""
        return ""

    def bounds(self, state: State) -> Bounds:
        """Learned thresholds per column, for the report's histograms."""
        return {}


@dataclass(frozen=True)
class NodeRecord:
    """One node of an exported document: a text, or an image with its alt text as `text`.

    `meta` has `url` and `caption` (null of a text) and the columns of `export.node_meta`, the same keys in every node.
    """

    kind: Literal["text", "image"]
    uid: str
    text: str
    image: bytes = b""
    ext: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One exported sample. `meta` is flat JSON with the same keys and types in every record of a run.

    Of a document `image` and `ext` are empty, `text` is its title, and `nodes` are those that were kept, in order.
    """

    key: str
    uid: str
    image: bytes
    ext: str
    text: str
    meta: dict[str, Any] = field(default_factory=dict)
    nodes: tuple[NodeRecord, ...] = ()


class Exporter(Step, ABC):
    """Writes one output shard from records in their final order; byte-identical for equal records."""

    format: ClassVar[str]
    """Folder name under `runs/<run>/export/`."""
    suffix: ClassVar[str]
    version: ClassVar[int] = 1
    documents: ClassVar[bool] = False
    """Whether it writes documents (records with nodes) or pairs."""

    @abstractmethod
    def write(self, records: Sequence[Record], path: Path) -> dict[str, int] | None:
        """Write `path`, a local temporary file. Raise `SampleError` naming the record's key if one cannot be written.

        What it returns (texts, images, tokens, …) is told of the shard in the manifest and in `counts.json` beside it."""

    def typed(self, types: Mapping[str, pa.DataType]) -> Self:
        """The same exporter, told the Arrow types of the meta columns, for formats whose files have a schema."""
        return self

    def files(self) -> tuple[str, ...]:
        """Paths of files that it reads: their content shapes the export's bytes."""
        return ()

    def index_files(self, counts: dict[str, int]) -> dict[str, bytes]:
        """Small files beside the shards, from shard name -> number of samples (webdataset's `sizes.json`)."""
        return {}


@dataclass(frozen=True)
class Unit:
    """One unit of ingest, which becomes one pool shard.

    `name` is its identity in the pool: a new name is appended as a new shard. `stamp` changes when its content may have
    (size and mtime, or an ETag), so that an unchanged unit is not read again. `args` is what its source needs.
    """

    name: str
    stamp: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ingested:
    """One shard, read: its index rows (`curate.schema.INDEX`) and where its tar is; None: at `target`, to be committed.

    `passed`: what the unit holds beside records, counted by why it did not enter; the shard's log keeps it.
    """

    rows: pa.Table
    tar: str | None = None
    passed: Mapping[str, int] = field(default_factory=dict)


class Source(Step, ABC):
    """Where a pool comes from: lists its units, then turns each into one tar and its index rows.

    A record that cannot be had is a row with a null offset and its `error`; it counts as entered.
    """

    documents: ClassVar[bool] = False
    """Its rows are documents and their nodes (`curate.schema.DOCUMENT_INDEX`), not pairs (`INDEX`)."""

    @abstractmethod
    def units(self) -> list[Unit]:
        """The units in a stable order. Raises `PoolError` when there is nothing, or it cannot be read."""

    @abstractmethod
    def ingest(self, unit: Unit, target: Path) -> Ingested:
        """Index the unit's tar where it lies, or write one to `target` (a local temporary file) and index that."""
