"""The embedded sample of documents: pages of scikit-image's documentation with their images, BSD-3, byte for byte."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data.packages import Package, fetch
from benchmarks.data.warcs import crawl, write_warc

SKIMAGE_DOC = Package("deb", "python-skimage-doc")
SITE = "http://python-skimage-doc.example"
ARCHIVES = (
    (
        "auto_examples/applications/plot_morphology.html",
        "auto_examples/color_exposure/plot_equalize.html",
        "auto_examples/color_exposure/plot_log_gamma.html",
        "auto_examples/edges/plot_contours.html",
        "auto_examples/edges/plot_convex_hull.html",
        "auto_examples/edges/plot_polygon.html",
        "auto_examples/edges/plot_skeleton.html",
        "auto_examples/features_detection/plot_corner.html",
        "auto_examples/features_detection/plot_template.html",
    ),
    (
        "auto_examples/numpy_operations/plot_camera_numpy.html",
        "auto_examples/registration/plot_register_translation.html",
        "auto_examples/segmentation/plot_rag.html",
        "auto_examples/segmentation/plot_regionprops_table.html",
        "auto_examples/segmentation/plot_watershed.html",
        "auto_examples/transform/plot_edge_modes.html",
        "auto_examples/transform/plot_swirl.html",
        "gitwash/development_workflow.html",
        "gitwash/forking_hell.html",
        "user_guide/numpy_images.html",
        "values.html",
    ),
    (
        "skips/0-skip-process.html",
        "user_guide/geometrical_transform.html",
        "user_guide/tutorial_segmentation.html",
        "user_guide/viewer.html",
    ),
)
"""Pages of each archive: prose and listings, one image to ten, one page without any; small images, so that the sample
stays small."""


def build_sample_documents(cache: Path, folder: Path) -> int:
    """Write `folder/0000N.warc.gz` and LICENSE.txt; returns the number of pages. Raises `PackageError`."""
    folder.mkdir(parents=True, exist_ok=True)
    package = fetch(SKIMAGE_DOC, cache) / "usr/share/doc/python-skimage-doc"
    root = package / "html"
    for number, pages in enumerate(ARCHIVES):
        write_warc(crawl(SITE, root, (root / page for page in pages)), folder / f"{number:05d}.warc.gz")
    (folder / "LICENSE.txt").write_bytes((package / "copyright").read_bytes())
    return sum(map(len, ARCHIVES))
