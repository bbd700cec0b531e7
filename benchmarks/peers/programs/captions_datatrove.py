"""The chain in datatrove: reader, a LambdaFilter per rule, writer, in this process's one worker."""

import json
import sys
import time

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter

from benchmarks.peers.six_rules import RULES

begin = time.perf_counter()
source, target = sys.argv[1:3]
filters = [LambdaFilter(lambda document, rule=rule: rule(document.text)) for rule in RULES.values()]
LocalPipelineExecutor(
    pipeline=[ParquetReader(source, id_key="uid"), *filters, ParquetWriter(target)],
    tasks=1,
    logging_dir=f"{target}-logs",
).run()
print(json.dumps({"seconds": time.perf_counter() - begin}))
