"""Near-duplicate captions by datatrove: its four MinHash stages over files, one after the other in this process."""

import json
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.dataset
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.hashing import HashConfig

begin = time.perf_counter()
# A folder of its own for each run: datatrove skips what an earlier one has completed.
source, work = Path(sys.argv[1]), Path(tempfile.mkdtemp(prefix="datatrove-", dir=".")).absolute()
config = MinhashConfig(hash_config=HashConfig(precision=64), num_buckets=16, hashes_per_bucket=8, n_grams=2)
reader = ParquetReader(str(source.parent), glob_pattern=source.name, id_key="uid")
stages = {
    "signatures": [reader, MinhashDedupSignature(output_folder=f"{work}/signatures", config=config, language="en")],
    "buckets": [MinhashDedupBuckets(input_folder=f"{work}/signatures", output_folder=f"{work}/buckets", config=config)],
    "clusters": [MinhashDedupCluster(input_folder=f"{work}/buckets", output_folder=f"{work}/remove", config=config)],
    "filter": [reader, MinhashDedupFilter(input_folder=f"{work}/remove"), ParquetWriter(f"{work}/kept")],
}
for name, pipeline in stages.items():
    tasks = 16 if name == "buckets" else 1
    LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=1, logging_dir=f"{work}/logs/{name}").run()
kept = pyarrow.dataset.dataset(f"{work}/kept", format="parquet").count_rows()
print(json.dumps({"seconds": time.perf_counter() - begin, "kept": kept}))
