"""The chain in NeMo Curator: one ScoreFilter with all six rules, on its Ray Data executor. Ray's start is not counted."""

import json
import sys
import time

import ray
from nemo_curator.backends.ray_data import RayDataExecutor
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.text.filters import ScoreFilter
from nemo_curator.stages.text.filters.doc_filter import DocumentFilter
from nemo_curator.stages.text.io.reader import ParquetReader
from nemo_curator.stages.text.io.writer import ParquetWriter

from benchmarks.peers.six_rules import RULES


class Rule(DocumentFilter):
    """One rule of the specification."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def score_document(self, text: str) -> float:
        """1 if the rule keeps it."""
        return float(RULES[self._name](text))

    def keep_document(self, score: float) -> bool:
        """What scored 1."""
        return score > 0


if __name__ == "__main__":
    source, target, cores = sys.argv[1:4]
    ray.init(address="local", num_cpus=int(cores), include_dashboard=False, log_to_driver=False)
    begin = time.perf_counter()
    pipeline = Pipeline("captions", stages=[ParquetReader(file_paths=source, files_per_partition=1)])
    pipeline.add_stage(ScoreFilter([Rule(name) for name in RULES], text_field="text"))
    pipeline.add_stage(ParquetWriter(target))
    pipeline.run(RayDataExecutor())
    seconds = time.perf_counter() - begin
    ray.shutdown()
    print(json.dumps({"seconds": seconds}))
