"""Parquet shards in the form of Hugging Face `datasets`: images as its Image feature, everything else as columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from curate.contracts import Exporter, Record

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class Parquet(Exporter):
    """Columns: `image` {bytes, path}, `text`, `uid`, `key`, then the meta columns that the recipe names."""

    format: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"

    def write(self, records: Sequence[Record], path: Path) -> None:
        """One file; `datasets.load_dataset("parquet", ...)` decodes its images."""
        columns: dict[str, pa.Array] = {
            "image": pa.array([{"bytes": r.image, "path": f"{r.key}.{r.ext}"} for r in records], IMAGE),
            "text": pa.array([r.text for r in records], pa.string()),
            "uid": pa.array([r.uid for r in records], pa.string()),
            "key": pa.array([r.key for r in records], pa.string()),
        }
        names = sorted({name for record in records for name in record.meta} - set(columns))
        for name in names:
            columns[name] = pa.array([record.meta.get(name) for record in records])
        table = pa.table(columns)
        features = json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})
        table = table.replace_schema_metadata({"huggingface": features})
        pq.write_table(table, path, compression="zstd", row_group_size=1000)
