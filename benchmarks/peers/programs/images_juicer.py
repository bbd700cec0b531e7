"""Data-Juicer: its stock operators for size, aspect and duplicates by perceptual hash; it has none for blur."""

import json
import sys
import time
from pathlib import Path

from data_juicer.config import init_configs
from data_juicer.core import DefaultExecutor

if __name__ == "__main__":
    folder, target, rules, cores = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
    rows = [{"id": int(path.stem), "images": [str(path)], "text": ""} for path in sorted(Path(folder).glob("*.jpg"))]
    Path(f"{target}-in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    least, most = rules["least_side"], rules["most_aspect"]
    config = {
        "project_name": "images",
        "dataset_path": f"{target}-in.jsonl",
        "export_path": f"{target}.jsonl",
        "work_dir": f"{target}-work",
        "np": cores,
        "text_keys": "text",
        "image_key": "images",
        "use_cache": False,
        "open_tracer": False,
        "process": [
            {"image_shape_filter": {"min_width": least, "min_height": least, "any_or_all": "all"}},
            {"image_aspect_ratio_filter": {"min_ratio": 1 / most, "max_ratio": most, "any_or_all": "all"}},
            {"image_deduplicator": {"method": "phash"}},
        ],
    }
    recipe = Path(f"{target}.yaml")
    recipe.write_text(json.dumps(config))
    begin = time.perf_counter()
    DefaultExecutor(init_configs(["--config", str(recipe)])).run()
    seconds = time.perf_counter() - begin
    kept = [json.loads(line)["id"] for line in Path(f"{target}.jsonl").read_text("utf-8").splitlines()]
    said = json.dumps({"seconds": seconds, "kept": kept})
    print(said, file=sys.__stdout__)  # it has taken `sys.stdout` for its log
