"""Daft: its decoder, sizes and perceptual hash, and the blur by OpenCV as a row function; Parquet of what stays."""

import json
import sys
import time

import cv2
import daft
import numpy as np
from daft import DataType, col, functions

folder, target, rules = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
cv2.setNumThreads(1)
begin = time.perf_counter()


@daft.func(return_dtype=DataType.float64())
def sharpness(image: np.ndarray) -> float:
    """Variance of the Laplacian."""
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


pool = daft.from_glob_path(f"{folder}/*.jpg")
pool = pool.with_column("image", functions.decode_image(functions.download(col("path")), mode="RGB", on_error="null"))
pool = pool.with_column("width", functions.image_width(col("image"))).with_column(
    "height", functions.image_height(col("image"))
)
width, height, most = col("width"), col("height"), rules["most_aspect"]
pool = pool.where((width >= rules["least_side"]) & (height >= rules["least_side"]))
pool = pool.where((width <= most * height) & (height <= most * width))
pool = pool.with_column("sharpness", sharpness(col("image"))).where(col("sharpness") >= rules["sharp"])
pool = pool.with_column("phash", functions.image_hash(col("image"), method="phash"))
pool.select("path", "sharpness", "phash").write_parquet(target)
seconds = time.perf_counter() - begin
paths = daft.read_parquet(f"{target}/*.parquet").to_pydict()["path"]
print(json.dumps({"seconds": seconds, "kept": [int(path.rsplit("/", 1)[1][:-4]) for path in paths]}))
