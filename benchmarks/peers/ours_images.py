"""Size, aspect, blur and perceptual hash by this project, or by the plain OpenCV loop of `benchmarks.images`.

    python -m benchmarks.peers.ours_images plain|luma|thumb FOLDER

Ours is the engine's pass over a tar, as `benchmarks.images` has it; seconds of both are CPU time, on one core.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks import images
from benchmarks.data.jpegs import Planted


def main(way: str, folder: Path) -> None:
    """Print seconds and the numbers of the images that stay."""
    found = [Planted(int(path.stem), path.read_bytes(), "") for path in sorted(folder.glob("*.jpg"))]
    if way == "plain":
        import cv2

        cv2.setNumThreads(1)
        seconds, decided = images.plain_loop(found)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            seconds, decided = images.ours(images.packed(found, scratch), way)
    kept = [number for number, (fate, _) in decided.items() if fate == "kept"]
    print(json.dumps({"seconds": seconds, "kept": kept}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
