"""Every notebook runs from its first cell to its last on a small run, as a reader would run it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import curate

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """What the cells displayed as `kind`, a MIME type, or printed (`text`), in order."""
    found = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    if kind == "text":
        return [output.text for output in found if output.output_type == "stream" and output.name == "stdout"]
    return [output.data[kind] for output in found if kind in output.get("data", {})]


@pytest.fixture(scope="module")
def executed(finished: str) -> nbformat.NotebookNode:
    """The first notebook with its outputs, executed where it lies."""
    notebook = nbformat.read(FOLDER / "01_inspect_a_run.ipynb", as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATE_NOTEBOOK_RUN", finished)
        return NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(FOLDER)}}).execute()


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        assert cell.outputs == [] and cell.execution_count is None


def test_funnel_and_what_if_agree_with_the_run(executed: nbformat.NotebookNode, finished: str) -> None:
    run = curate.open_run(finished)
    printed = "".join(outputs(executed, "text"))
    assert str(run.funnel()) in printed
    for words in (2, 5):
        funnel = run.whatif([f"select.1.min_words={words}"])
        dropped = funnel.dropped["filters.text.CaptionLength"]
        assert f"min_words={words}  dropped by it {dropped:>6,}  kept {funnel.kept:>6,}" in printed


def test_it_shows_tables_grids_and_curves(executed: nbformat.NotebookNode) -> None:
    assert len(outputs(executed, "text/html")) >= 2  # two DuckDB tables
    assert len(outputs(executed, "image/png")) == 6  # four grids, a histogram and a curve


def test_it_explains_a_dropped_sample(executed: nbformat.NotebookNode) -> None:
    explained = [text for text in outputs(executed, "text/plain") if "'fate'" in text]
    assert len(explained) == 1
    assert "'fate': 'dropped'" in explained[0] and "'threshold'" in explained[0]
