"""The chain in Data-Juicer: its own six stock operators with the same limits. Their rules differ in details:
words lose surrounding symbols, and special characters are a list to which digits and white space belong."""

import json
import sys
import time
from pathlib import Path

from data_juicer.config import init_configs
from data_juicer.core import DefaultExecutor

from benchmarks.peers import six_rules as spec

if __name__ == "__main__":
    begin = time.perf_counter()
    source, target, cores = sys.argv[1:4]
    repeated = {"max_ratio": spec.MAX_REPETITION}
    config = {
        "project_name": "captions",
        "dataset_path": source,
        "export_path": f"{target}.jsonl",
        "work_dir": f"{target}-work",
        "np": int(cores),
        "text_keys": "text",
        "use_cache": False,
        "open_tracer": False,
        "process": [
            {"words_num_filter": {"min_num": spec.MIN_WORDS, "max_num": spec.MAX_WORDS}},
            {"text_length_filter": {"min_len": spec.MIN_CHARS, "max_len": spec.MAX_CHARS}},
            {"alphanumeric_filter": {"tokenization": False, "min_ratio": spec.MIN_ALNUM}},
            {"special_characters_filter": {"max_ratio": spec.MAX_SPECIAL}},
            {"character_repetition_filter": {"rep_len": spec.CHARS_NGRAM, **repeated}},
            {"word_repetition_filter": {"rep_len": spec.WORDS_NGRAM, **repeated}},
        ],
    }
    recipe = Path(f"{target}.yaml")
    recipe.write_text(json.dumps(config))
    DefaultExecutor(init_configs(["--config", str(recipe)])).run()
    print(
        json.dumps({"seconds": time.perf_counter() - begin}), file=sys.__stdout__
    )  # it has taken `sys.stdout` for its log
