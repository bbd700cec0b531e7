"""The card says what the manifest says, parses as the Hub parses it, and nobody's text can break it."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from curate.contracts import Record
from stages.export.card import dataset_card
from stages.export.checksums import sha256sums
from stages.export.webdataset import Webdataset

MANIFEST: dict[str, Any] = {
    "run": "quickstart",
    "version": "0.1.0",
    "recipe": {"description": "A sample.", "export": {"captions": {"text": 3, "synth_caption": 1}, "meta": ["width"]}},
    "pool": {"name": "sample"},
    "entered": 1500,
    "kept": 1200,
    "dropped": {"language": 200, "deny list": 7},
    "failed": {"image: truncated JPEG": 93},
    "rules": [{"label": "language", "step": "filters.text.Language", "dropped": 200, "threshold": "keep=en|de"}],
    "signals": [
        {"step": "stages.signals.image.Header", "columns": ["width"]},
        {"step": "synth.caption.Caption", "columns": ["synth_caption", "synth_caption_model"]},
    ],
    "models": [{"spec": "default", "licence": "Apache-2.0", "sha256": "ab" * 32}] * 2,
    "exports": {
        "webdataset": [{"name": f"{i:08d}.tar", "samples": 600, "bytes": 1, "sha256": "cd" * 32} for i in range(2)],
        "ffcv": [{"name": "00000000.beton", "samples": 1200, "bytes": 1, "sha256": "cd" * 32}],
        "parquet": [{"name": "00000000.parquet", "samples": 1200, "bytes": 1, "sha256": "cd" * 32}],
    },
}


KINDS = {
    "document": {"entered": 60, "kept": 40, "dropped": {"few images": 20}, "failed": {}},
    "text": {"entered": 900, "kept": 500, "dropped": {"length": 300, "few images": 100}, "failed": {}},
    "image": {
        "entered": 200,
        "kept": 90,
        "dropped": {"few images": 60},
        "failed": {f"cause {i}": 5 for i in range(10)},
    },
}
DOCUMENTS: dict[str, Any] = {
    **MANIFEST,
    "kinds": KINDS,
    "recipe": {
        "pool": {"step": "stages.ingest.warc.Warc"},
        "export": {
            "node_meta": ["tag"],
            "formats": [
                {
                    "step": "stages.export.documents.packed.Packed",
                    "tokenizer": "file:/some/where/mine.json",
                    "length": 1000,
                }
            ],
        },
    },
    "pool": {"name": "pages", "shards": [{"unit": f"/some/where/{i // 2:02d}.warc.gz/{i:05d}"} for i in range(50)]},
    "rules": [{"label": "length", "threshold": "min=3"}, {"label": "few images", "threshold": "min=1"}],
    "exports": {
        "documents": [
            {"name": f"{i:08d}.tar", "samples": 20, "counts": {"texts": 250, "images": 45}} for i in range(2)
        ],
        "obelics": [{"name": "00000000.parquet", "samples": 40, "counts": {"texts": 500, "images": 90}}],
        "packed": [
            {
                "name": "00000000.arrow",
                "samples": 40,
                "counts": {
                    **{"texts": 500, "images": 90, "sequences": 10, "tokens": 9000, "placeholders": 5760},
                    **{"padding": 1000, "documents_cut": 3, "texts_cut": 1},
                },
            }
        ],
    },
}


def front(card: str) -> dict[str, Any]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_front_matter() -> None:
    found = front(dataset_card(MANIFEST, "webdataset"))
    assert found["size_categories"] == ["1K<n<10K"]
    assert found["configs"][0]["data_files"] == [{"split": "train", "path": "*.tar"}]
    assert "configs" not in front(dataset_card(MANIFEST, "ffcv"))


def test_the_funnel_adds_up() -> None:
    table = [line.split("|") for line in dataset_card(MANIFEST, "parquet").splitlines() if line.startswith("| ")]
    numbers = [int(row[-2].strip(" *").replace("−", "-").replace(",", "")) for row in table[1:]]
    assert sum(numbers[:-1]) == numbers[-1] == 1200


def test_provenance() -> None:
    card = dataset_card(MANIFEST, "webdataset")
    for said in (
        "`text` for 75%",
        "Machine-made: `synth_caption`;",
        "Apache-2.0",
        "{00000000..00000001}.tar",
        "deny list",
    ):
        assert said in card
    assert card.count("`default`") == 1


@pytest.mark.parametrize(
    "hostile", ["a\n---\nlicense: mit", "# x", "<script>alert(1)</script>", "a | b | `c`", "{first}"]
)
def test_nobodys_text_breaks_it(hostile: str) -> None:
    manifest = copy.deepcopy(MANIFEST)
    manifest["run"] = manifest["recipe"]["description"] = manifest["pool"]["name"] = hostile
    manifest["pool"]["licence"] = manifest["rules"][0]["threshold"] = hostile
    manifest["failed"] = {hostile: 93}
    card = dataset_card(manifest, "webdataset")
    assert front(card)["license"] == "other"
    assert "<script" not in card
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == [line for line in dataset_card(MANIFEST, "webdataset").splitlines() if line.startswith("## ")]


@pytest.mark.parametrize("format", ["webdataset", "ffcv", "parquet", "documents", "obelics", "packed"])
def test_its_code_is_python(format: str) -> None:
    code = (
        dataset_card(DOCUMENTS if format in DOCUMENTS["exports"] else MANIFEST, format)
        .split("```python\n")[1]
        .split("```")[0]
    )
    compile(code, format, "exec")


def test_sha256sum_accepts_the_checksums(tmp_path: Path, records: list[Record]) -> None:
    from curate.storage import sha256_file

    for name in ("00000001.tar", "00000000.tar"):
        Webdataset().write(records[: int(name[7]) + 1], tmp_path / name)
    sums = sha256sums({path.name: sha256_file(path) for path in tmp_path.glob("*.tar")})
    (tmp_path / "SHA256SUMS").write_text(sums)
    done = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["00000000.tar: OK", "00000001.tar: OK"]


def test_documents_are_counted_by_kind() -> None:
    card = dataset_card(DOCUMENTS, "documents")
    assert "40 documents with 500 texts and 90 images in 2 shards of the format documents" in card
    assert "chosen from 60 documents of the pool" in card
    assert "With each node: `tag`." in card
    assert "`00.warc.gz`, `01.warc.gz`" in card
    assert "and 5 more" in card
    assert "/some/where" not in card
    table = [
        [cell.strip(" *") for cell in line.split("|")[3:-1]] for line in card.splitlines() if line.startswith("| ")
    ]
    assert table[0] == ["documents", "texts", "images"]
    numbers = [[int(cell.replace("−", "-").replace(",", "")) for cell in row] for row in table[2:]]
    assert [sum(column) for column in zip(*numbers[:-1], strict=True)] == numbers[-1] == [40, 500, 90]


def test_one_is_one() -> None:
    shard = {"name": "00000000.tar", "samples": 1, "bytes": 1, "sha256": "cd" * 32, "counts": {"texts": 1, "images": 0}}
    card = dataset_card({**DOCUMENTS, "exports": {"documents": [shard]}}, "documents")
    assert "1 document with 1 text and 0 images in 1 shard of the format documents" in card


def test_packed_documents_tell_of_their_tokens() -> None:
    card = dataset_card(DOCUMENTS, "packed")
    for said in ("9,000 tokens", "5,760 of them hold an image's place", "10.00% of all places", "3 documents are cut"):
        assert said in card
    assert "the tokenizer `file:mine.json`" in card
    assert "/some/where" not in card
    assert front(card)["tags"] == ["interleaved", "curated", "packed"]
    assert "configs" not in front(card)
    assert front(dataset_card(DOCUMENTS, "obelics"))["configs"][0]["data_files"][0]["path"] == "*.parquet"


def test_many_causes_of_failure_become_one_line() -> None:
    manifest = copy.deepcopy(DOCUMENTS)
    manifest["kinds"]["image"]["failed"] = {f"cause {i:02d}": 1 for i in range(50)}
    card = dataset_card(manifest, "obelics")
    assert "| failed otherwise |  | −0 | −0 | −40 |" in card
    assert card.count("| failed: ") == 10
