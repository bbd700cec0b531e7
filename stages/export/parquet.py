"""Parquet shards in the form of Hugging Face `datasets`: images as its Image feature, everything else as columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import PrivateAttr

from curate.contracts import Exporter, Record
from stages.export.meta import meta_of

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ROWS = 100
"""Rows of a row group, as the Hub's viewer asks for image data; also keeps each binary column under its 2 GiB."""


class Parquet(Exporter):
    """Columns: `image` {bytes, path}, `text`, `key`, `uid`, then the meta columns that the recipe names."""

    format: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"
    version: ClassVar[int] = 2

    _types: dict[str, pa.DataType] = PrivateAttr(default_factory=dict)

    def typed(self, types: Mapping[str, pa.DataType]) -> Self:
        """The same exporter with the types of meta columns.

        Without them a type is inferred from a shard's values, and a column that is null all through a shard has none:
        `datasets` then refuses the shards that do have values.
        """
        exporter = self.model_copy()
        exporter._types = dict(types)
        return exporter

    def write(self, records: Sequence[Record], path: Path) -> None:
        """One file; `datasets.load_dataset("parquet", ...)` decodes its images."""
        meta = self._meta(records)
        base = [pa.field("image", IMAGE), pa.field("text", pa.string()), pa.field("key", pa.string())]
        features = json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})  # the others follow from Arrow
        schema = pa.schema([*base, *(pa.field(name, meta[name].type) for name in meta)], {"huggingface": features})
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for start in range(0, len(records), ROWS):
                part = records[start : start + ROWS]
                images = [{"bytes": r.image, "path": f"{r.key}.{r.ext}"} for r in part]
                arrays = [pa.array(images, IMAGE), pa.array([r.text for r in part]), pa.array([r.key for r in part])]
                rest = [column.slice(start, len(part)) for column in meta.values()]
                writer.write_batch(pa.record_batch([*arrays, *rest], schema=schema))

    def _meta(self, records: Sequence[Record]) -> dict[str, pa.Array]:
        """An array of all records per meta column, sorted by name after `uid`."""
        rows = [meta_of(record) for record in records]
        names = sorted({name for row in rows for name in row}, key=lambda name: (name != "uid", name))
        types = {**self._types, "uid": pa.string()}
        return {name: pa.array([row.get(name) for row in rows], types.get(name)) for name in names}
