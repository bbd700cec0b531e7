"""A document of a run, read in order: its nodes, their fates, and what `explain` says of a document and of a node."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import curate
from curate.cli import app
from curate.describe import fate_text, whatif_text
from curate.errors import RunError
from curate.inspect import Run
from curate.reading import document_at, explain, read_document
from curate.report.reader import IN_FOLD, MOST_NODES, view
from curate.schema import DOCUMENT_INDEX, LEDGER, make_uid

PLUGINS = Path(__file__).parent / "plugins"
STEPS = "document_steps"
HARBOUR = """# harbour
two boats lie in the harbour
buy
! 300
a third boat comes in from the sea
! 40
! gone
# shop
buy
buy now and pay next year
! 320"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two documents: one is kept in part, one is dropped for having one text, after a node rule took the other."""
    folder = tmp_path_factory.mktemp("reading")
    (folder / "pages").mkdir()
    (folder / "pages" / "00000.txt").write_text(HARBOUR)
    recipe = {
        "name": "pages",
        "max_failed": 0.5,
        "pool": {"step": f"{STEPS}.Written", "path": str(folder / "pages")},
        "signals": [
            {"step": "stages.signals.text.CaptionStats", "on": "text"},
            {"step": "stages.signals.image.Header"},
        ],
        "facts": [{"step": f"{STEPS}.Remaining"}],
        "select": [
            {"step": "filters.text.CaptionLength", "min_words": 3, "name": "length"},
            {"step": "filters.image.Resolution", "min_side": 200, "name": "resolution"},
            {"step": "filters.thresholds.Within", "column": "texts_left", "min": 2, "name": "texts"},
        ],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUGINS))
        done = curate.run(path, root=str(folder / "root"), executor="inline", plugins=[STEPS], quiet=True)
        opened = curate.open_run(done["run"])
        _ = opened.plan  # its steps are importable here
    return opened


def uids(run: Run) -> list[str]:
    """In index order."""
    return [uid.hex() for uid in run.ledger()["uid"].to_pylist()]


def test_a_document_is_read_in_order_with_its_fates(run: Run) -> None:
    document = read_document(run, uids(run)[0])
    assert (document.entry.text, document.entry.fate) == ("harbour", "kept")
    assert [(node.kind, node.text, node.fate, node.rule, node.value) for node in document.nodes] == [
        ("text", "two boats lie in the harbour", "kept", None, None),
        ("text", "buy", "dropped", "length", "caption_words=1"),
        ("image", None, "kept", None, None),
        ("text", "a third boat comes in from the sea", "kept", None, None),
        ("image", None, "dropped", "resolution", "width=40, height=40"),
        ("image", None, "failed", None, None),
    ]
    assert [node.key for node in document.left()] == ["00000/0001", "00000/0003", "00000/0004"]
    assert [node.pictured for node in document.nodes if node.kind == "image"] == [True, True, False]


def test_nodes_that_went_with_their_document_were_in_it_to_the_end(run: Run) -> None:
    document = read_document(run, uids(run)[7])
    assert document.entry.rule == "texts"
    assert [(node.rule, node.along) for node in document.nodes] == [
        ("length", False),
        ("texts", True),
        ("texts", True),
    ]
    assert [node.text for node in document.left()] == ["buy now and pay next year", None]


def test_a_node_leads_to_its_document(run: Run) -> None:
    for row, uid in enumerate(uids(run)):
        assert read_document(run, uid[:12]).entry.text == ("harbour" if row < 7 else "shop")


def test_what_names_no_document_is_refused(run: Run) -> None:
    with pytest.raises(RunError, match="no sample with uid"):
        read_document(run, "0" * 32)
    ambiguous = next(digit for digit in "0123456789abcdef" if sum(uid.startswith(digit) for uid in uids(run)) > 1)
    with pytest.raises(RunError, match="give more of its digits"):
        read_document(run, ambiguous)


def test_explain_tells_a_document_with_its_nodes_and_a_node_with_its_document(run: Run) -> None:
    (whole,) = explain(run, uids(run)[7])
    assert [(node["kind"], node["fate"], node["along"]) for node in whole["nodes"]] == [
        ("text", "dropped", False),
        ("text", "dropped", True),
        ("image", "dropped", True),
    ]
    (node,) = explain(run, uids(run)[9])
    assert (node["place"], node["along"], node["document"]["rule"]) == ("text 2 of 2, node 2 of 3", True, "texts")
    said = fate_text(whole).splitlines()
    told = "dropped by texts: it saw texts_left=1; the rule is column=texts_left, min=2.0"
    assert any(line.startswith(told) for line in said)
    assert [line.split()[:2] for line in said[-3:]] == [["dropped", "0008"], ["dropped", "0009"], ["dropped", "0010"]]
    assert "[length: caption_words=1]" in said[-3]
    assert said[-1].endswith("with the document")
    assert "its document is dropped  [texts: texts_left=1]" in fate_text(node)
    assert fate_text(node).splitlines()[-1] == "dropped with its document"


def test_the_command_line_says_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.setenv("CURATE_PLUGINS", STEPS)
    folder = f"{run.storage.root}/{run.folder}"
    told = CliRunner().invoke(app, ["explain", folder, uids(run)[0], "--json"])
    (fate,) = json.loads(told.stdout.splitlines()[-1])["fates"]
    assert [node["uid"] for node in fate["nodes"]] == uids(run)[1:7]
    shown = CliRunner().invoke(app, ["report", folder]).stdout
    assert str(run.funnel()) in shown
    assert shown.split("\n")[0].split() == ["document", "text", "image"]


def test_what_if_is_told_by_kind(run: Run) -> None:
    lines = whatif_text(run.funnel(), run.whatif(["select.0.min_words=1"])).splitlines()
    assert lines[0].split() == ["documents", "texts", "images"]
    assert lines[-1].split() == ["kept", "1", "2", "2", "5", "1", "2"]


def test_a_pool_of_pairs_has_no_documents(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"none")
    recipe = tmp_path / "recipe.yaml"
    pool = {"step": "stages.ingest.folder.Folder", "path": str(tmp_path / "images")}
    recipe.write_text(yaml.safe_dump({"name": "pairs", "pool": pool}))
    pairs = curate.open_run(curate.run(recipe, root=str(tmp_path / "root"), executor="inline", quiet=True)["run"])
    with pytest.raises(RunError, match="is about pairs"):
        read_document(pairs, uids(pairs)[0])


def table(sizes: list[int], fates: list[str]) -> pa.Table:
    """Documents of so many text nodes each, as `fated` gives them; fates are taken in turn, documents are kept."""
    rows: list[dict[str, object]] = []
    for size in sizes:
        start = len(rows)
        for number in range(size + 1):
            row = {
                "kind": "text" if number else "document",
                "parent": start if number else None,
                "text": f"{len(rows)}",
            }
            fate = fates[len(rows) % len(fates)] if number else "kept"
            rows.append({**dict.fromkeys((*DOCUMENT_INDEX.names, *LEDGER.names)), **row, "fate": fate})
            rows[-1] |= {"rule": "short"} if fate == "dropped" else {"error": "broken"} if fate == "failed" else {}
            rows[-1] |= {"uid": make_uid(f"{len(rows)}", None, b""), "key": f"{len(rows)}", "shard": 0}
    fields = {field.name: field for field in (*LEDGER, *DOCUMENT_INDEX, pa.field("shard", pa.int32()))}
    return pa.Table.from_pylist(rows, pa.schema(list(fields.values())))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_every_row_is_read_once_with_its_document(sizes: list[int]) -> None:
    found = table(sizes, ["kept"])
    documents = {document_at(found, row).entry.row: document_at(found, row) for row in range(found.num_rows)}
    assert [len(document.nodes) for document in documents.values()] == sizes
    read = [entry.row for document in documents.values() for entry in (document.entry, *document.nodes)]
    assert read == list(range(found.num_rows))


@given(st.integers(0, 400), st.lists(st.sampled_from(["kept", "dropped", "failed"]), min_size=1, max_size=12))
def test_what_is_shown_is_bounded_and_counts_everything(run: Run, size: int, fates: list[str]) -> None:
    document = document_at(table([size], fates), 0)
    shown = view(run, document)
    blocks = shown["blocks"]
    pieces = [piece for block in blocks for piece in block.pieces]
    assert len(pieces) <= MOST_NODES
    assert all(len(block.pieces) <= IN_FOLD for block in blocks if block.folded)
    assert sum(block.count for block in blocks) + shown["hidden"] == size
    assert [piece.entry.row for piece in pieces] == sorted(piece.entry.row for piece in pieces)
    assert all(bool(piece.why) == (piece.entry.fate != "kept") for piece in pieces)
    assert shown["left"]["text"] == sum(node.fate == "kept" for node in document.nodes)
