"""Documents leave with exactly the nodes that are kept, as often as the ledger says: the same bytes after kills."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import curate
from curate.errors import RecipeError
from curate.verify import verify
from tests.stages.export.documents.test_tokenizer import words

ROOT = Path(__file__).parents[3]
PLUGINS = Path(__file__).parents[1] / "plugins"
ARCHIVES = ROOT / "manifests" / "sample" / "documents" / "*.warc.gz"
FORMATS = [
    {"step": "stages.export.documents.webdataset.Webdataset"},
    {"step": "stages.export.documents.obelics.ObelicsParquet"},
    {"step": "stages.export.documents.packed.Packed", "length": 512},
]
EXPORT = {"samples_per_shard": 5, "meta": ["meta"], "node_meta": ["tag", "width", "caption_words"], "formats": FORMATS}
PAGES = "# sea\na boat\n! 300\nthe sea\n! 301\n# two words\n! 302\nroses\n# three words here\nno image\n"


def recipe(path: Path, **fields: Any) -> Path:
    """Over the embedded archives."""
    plain: dict[str, Any] = {
        "name": "pages",
        "pool": {"step": "stages.ingest.warc.Warc", "path": str(ARCHIVES)},
        "max_failed": 0.3,
        "signals": [
            {"step": "stages.signals.image.Header"},
            {"step": "stages.signals.text.CaptionStats", "on": "text"},
        ],
        "select": [
            {"step": "filters.text.CaptionLength", "min_words": 3, "on": "text"},
            {"step": "filters.image.Resolution", "min_side": 64},
        ],
        "export": EXPORT,
    }
    path.write_text(yaml.safe_dump({**plain, **fields}, sort_keys=False))
    return path


def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> Path:
    """Over `PAGES`, read by a plugin."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    (tmp_path / "pages").mkdir(exist_ok=True)
    (tmp_path / "pages" / "00000.txt").write_text(PAGES)
    plain: dict[str, Any] = {
        "pool": {"step": "document_steps.Written", "path": str(tmp_path / "pages")},
        "signals": [{"step": "stages.signals.image.Header"}],
        "select": [],
        "export": {"formats": FORMATS},
    }
    return recipe(tmp_path / "recipe.yaml", **{**plain, **fields})


def execute(path: Path, root: Path) -> curate.Run:
    found = curate.run(
        path, root=str(root), executor="inline", quiet=True, plugins=["document_steps", "document_copies"]
    )
    return curate.open_run(found["run"])


def exported(run: curate.Run) -> dict[str, list[dict[str, Any]]]:
    """Document uid -> its copies in the tars, each as its JSON says."""
    found: dict[str, list[dict[str, Any]]] = {}
    for shard in run.manifest["exports"]["documents"]:
        with tarfile.open(
            fileobj=io.BytesIO(run.storage.read(f"{run.folder}/export/documents/{shard['name']}"))
        ) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    said = json.loads(tar.extractfile(member).read())  # type: ignore[union-attr]
                    found.setdefault(said["uid"], []).append(said)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> curate.Run:
    """Over the embedded archives, in all formats."""
    folder = tmp_path_factory.mktemp("documents")
    return execute(recipe(folder / "recipe.yaml"), folder / "root")


def test_exactly_the_kept_nodes_leave_in_the_order_of_the_page(run: curate.Run) -> None:
    assert verify(run) == []
    rows = run.table("uid", "kind", "text", "url", "caption", "tag", "width", "fate").to_pylist()
    documents: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["kind"] == "document":
            documents[row["uid"].hex()] = own = []
        elif row["fate"] == "kept":
            own.append(row)
    found = exported(run)
    assert set(found) == set(documents)
    for uid, (said,) in found.items():
        assert [node["uid"] for node in said["nodes"]] == [node["uid"].hex() for node in documents[uid]]
        for node, row in zip(said["nodes"], documents[uid], strict=True):
            assert node.get("text", node.get("alt")) == (row["text"] or "")
            assert (node.get("url"), node.get("caption")) == (row["url"], row["caption"])
            assert (node["meta"]["tag"], node["meta"]["width"]) == (row["tag"], row["width"])
    kept = [row["kind"] for row in rows if row["fate"] == "kept"]
    for format in ("documents", "obelics", "packed"):
        shards = run.manifest["exports"][format]
        assert sum(shard["samples"] for shard in shards) == kept.count("document") == 24
        assert sum(shard["counts"]["images"] for shard in shards) == kept.count("image") > 50
        counts = json.loads(run.storage.read(f"{run.folder}/export/{format}/counts.json"))
        assert counts == {shard["name"]: shard["counts"] for shard in shards}


def test_the_card_counts_what_is_there(run: curate.Run) -> None:
    kinds = run.manifest["kinds"]
    for format in ("documents", "obelics", "packed"):
        card = run.storage.read(f"{run.folder}/export/{format}/README.md").decode()
        assert f"24 documents with {kinds['text']['kept']} texts and {kinds['image']['kept']} images" in card
        assert "`00000.warc.gz`, `00001.warc.gz`, `00002.warc.gz`" in card
        assert f"| **kept** |  | **24** | **{kinds['text']['kept']}** | **{kinds['image']['kept']}** |" in card


def changed(run: curate.Run, format: str) -> None:
    """Takes one node from an exported document, with a checksum as if it had been exported so."""
    shard = run.manifest["exports"][format][0]
    path = Path(run.storage.path(f"{run.folder}/export/{format}/{shard['name']}"))
    if format == "documents":
        _without_a_node(path)
    elif format == "obelics":
        table = pq.read_table(path)
        rows = table.to_pylist()
        for column in ("images", "texts"):
            rows[0][column].pop(1)
        for column in ("metadata", "nodes"):
            rows[0][column] = json.dumps(json.loads(rows[0][column])[:1] + json.loads(rows[0][column])[2:])
        pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    else:
        with pa.ipc.open_file(pa.BufferReader(path.read_bytes())) as file:
            table = file.read_all()
        rows = table.to_pylist()
        rows[0]["nodes"].pop(1)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(pa.Table.from_pylist(rows, table.schema))
    shard["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()


def _without_a_node(path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    said = json.loads(members[0][1])
    said["nodes"].pop(1)
    with tarfile.open(path, "w") as out:
        for i, (member, data) in enumerate(members):
            blob = data if i else json.dumps(said).encode()
            member.size = len(blob)
            out.addfile(member, io.BytesIO(blob))


@pytest.mark.parametrize("format", ["documents", "obelics", "packed"])
def test_verify_misses_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    path = written(tmp_path, monkeypatch, export={"samples_per_shard": 100, "formats": FORMATS})
    run = execute(path, tmp_path / "root")
    assert verify(run) == []
    changed(run, format)
    assert [line.partition(": ")[0] for line in verify(run)] == [f"export {format}"]
    assert "lacks" in verify(run)[0]


def test_a_document_is_exported_as_often_as_a_selection_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, monkeypatch, select=[{"step": "document_copies.Repeat"}])
    run = execute(path, tmp_path / "root")
    assert verify(run) == []
    copies = exported(run).values()
    assert sorted((len(one), one[0]["title"]) for one in copies) == [
        (1, "sea"),
        (2, "two words"),
        (3, "three words here"),
    ]
    assert len({said["key"] for one in copies for said in one}) == 6
    assert all(len({json.dumps([node["uid"] for node in said["nodes"]]) for said in one}) == 1 for one in copies)


def test_images_go_where_a_column_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = [{"step": "document_copies.Ahead"}]
    path = written(tmp_path, monkeypatch, facts=facts, export={"place": "goes", "formats": FORMATS})
    run = execute(path, tmp_path / "root")
    assert verify(run) == []
    found = {one[0]["title"]: [node["kind"] for node in one[0]["nodes"]] for one in exported(run).values()}
    assert found == {
        "sea": ["image", "text", "image", "text"],  # its second image now opens it
        "two words": ["image", "text"],
        "three words here": ["text"],
    }


def test_what_the_tokenizer_says_is_part_of_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = words(tmp_path / "tokenizer.json")
    packed = {"step": "stages.export.documents.packed.Packed", "tokenizer": f"file:{file}", "length": 128}
    path = written(tmp_path, monkeypatch, export={"formats": [packed]})
    before = execute(path, tmp_path / "root").manifest["exports"]["packed"]
    assert execute(path, tmp_path / "root").manifest["exports"]["packed"] == before
    words(file, ("<image>",))
    assert execute(path, tmp_path / "root").manifest["exports"]["packed"] != before


def test_exporters_of_pairs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in ("stages.export.webdataset.Webdataset", "stages.export.ffcv.Ffcv", "stages.export.parquet.Parquet"):
        path = written(tmp_path, monkeypatch, export={"formats": [{"step": step}]})
        with pytest.raises(RecipeError, match="does not write documents"):
            execute(path, tmp_path / "root")


def outcome(root: Path) -> dict[str, str]:
    """Digest of every file of the ledger and the export."""
    run = root / "runs" / "pages"
    files = [*run.glob("ledger/*"), *run.glob("export/*/*")]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def command(path: Path, root: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "curate.cli", "run", str(path), "--root", str(root), *options]


def kill_when(line: list[str], reached: Callable[[], bool]) -> bool:
    """Start the command and kill it as soon as that is so; False if it ended before."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not reached():
        time.sleep(0.002)
    running = process.poll() is None
    if running:
        os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=280)
    return running


def test_killed_while_it_spills_and_while_it_writes(run: curate.Run, tmp_path: Path) -> None:
    path, root = recipe(tmp_path / "recipe.yaml"), tmp_path / "root"
    line = command(path, root, "--executor", "inline")
    assert kill_when(line, lambda: any(root.glob("runs/pages/spill/*/*.arrow")))
    assert kill_when(line, lambda: any(root.glob("runs/pages/commits/*/*.json")))
    done = subprocess.run(line, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert outcome(root) == outcome(Path(run.storage.base))


@pytest.mark.slow
def test_two_workers_of_ray_give_the_same_bytes(run: curate.Run, tmp_path: Path) -> None:
    path, root = recipe(tmp_path / "recipe.yaml"), tmp_path / "root"
    line = command(path, root, "--executor", "ray", "--workers", "2")
    done = subprocess.run(line, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert outcome(root) == outcome(Path(run.storage.base))
    assert verify(curate.open_run("pages", str(root))) == []
