"""Packed shards: what is in the file is what the documents said, whoever reads it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.contracts import Record
from stages.export.documents.packed import Packed, documents_in
from stages.export.documents.tokenizer import CLIP_END, CLIP_START, open_vocabulary
from tests.stages.export.documents.pages import document, documents
from tests.stages.export.documents.test_tokenizer import words

SMALL = Packed(length=48, image_tokens=8)


def read(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows, and what the file says of itself."""
    with pa.ipc.open_file(pa.memory_map(str(path))) as file:
        return file.read_all().to_pylist(), json.loads(file.schema.metadata[b"packed"])


def streams(rows: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Document key -> its tokens, put together from its pieces."""
    parts: dict[str, dict[int, list[int]]] = {}
    for row in rows:
        start = 0
        for segment in row["segments"]:
            tokens = row["tokens"][start : start + segment["length"]]
            assert segment["piece"] not in parts.setdefault(segment["key"], {})
            parts[segment["key"]][segment["piece"]] = tokens
            start += segment["length"]
        assert not any(row["tokens"][start:])
    return {key: [t for _, tokens in sorted(found.items()) for t in tokens] for key, found in parts.items()}


def expected(record: Record, image_tokens: int) -> list[int]:
    clip = open_vocabulary("default")
    found = [clip.number(CLIP_START)]
    for node in record.nodes:
        found += [clip.size] * image_tokens if node.kind == "image" else clip.encode(node.text).tolist()
    return [*found, clip.number(CLIP_END)]


def test_every_token_of_every_document_once(tmp_path: Path) -> None:
    records = [*documents(24), document(90, ["a long text of many words, longer than a sequence " * 20, None, "end"])]
    counts = SMALL.write(records, tmp_path / "a.arrow")
    rows, said = read(tmp_path / "a.arrow")
    found = streams(rows)
    assert found == {record.key: expected(record, 8) for record in records}
    assert counts["tokens"] == sum(map(len, found.values()))
    assert counts["tokens"] + counts["padding"] == 48 * counts["sequences"] == 48 * len(rows)
    assert counts["placeholders"] == 8 * counts["images"] == sum(t == said["image"] for s in found.values() for t in s)
    assert counts["texts_cut"] == 1
    assert counts["documents_cut"] == len({s["key"] for row in rows for s in row["segments"] if s["piece"]}) > 1
    assert said["counts"] == counts


NODES = st.lists(
    st.one_of(st.none(), st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=90)), max_size=6
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(several=st.lists(NODES, min_size=1, max_size=6), length=st.integers(16, 80), image_tokens=st.integers(1, 14))
def test_whatever_the_documents_no_token_is_lost_or_added(
    tmp_path: Path, several: list[list[str | None]], length: int, image_tokens: int
) -> None:
    records = [document(number, nodes) for number, nodes in enumerate(several)]
    Packed(length=length, image_tokens=image_tokens).write(records, tmp_path / "a.arrow")
    rows, _ = read(tmp_path / "a.arrow")
    assert streams(rows) == {record.key: expected(record, image_tokens) for record in records}
    found = sorted(documents_in((tmp_path / "a.arrow").read_bytes()))
    assert found == sorted((record.uid, tuple(node.uid for node in record.nodes)) for record in records)


def test_nodes_and_images_are_where_it_says(tmp_path: Path) -> None:
    records = {record.key: record for record in documents(24)}
    SMALL.write(list(records.values()), tmp_path / "a.arrow")
    rows, said = read(tmp_path / "a.arrow")
    clip = open_vocabulary("default")
    seen = set()
    for row in rows:
        images = {image["start"]: image for image in row["images"]}
        for node in row["nodes"]:
            record = records[row["segments"][node["segment"]]["key"]]
            came = next(one for one in record.nodes if one.uid == node["uid"].hex())
            seen.add(came.uid)
            if came.kind == "image":
                image = images.pop(node["start"])
                assert row["tokens"][node["start"] : node["start"] + 8] == [said["image"]] * 8
                assert image["bytes"] == came.image or image["ext"] == "png"
            else:
                tokens = clip.encode(came.text).tolist()
                assert row["tokens"][node["start"] : node["start"] + len(tokens)] == tokens
        assert not images
    assert seen == {node.uid for record in records.values() for node in record.nodes}


def test_a_page_cannot_fake_an_image_or_an_end(tmp_path: Path) -> None:
    record = document(1, [f"{CLIP_END} {CLIP_START}", "<image>"])
    SMALL.write([record], tmp_path / "a.arrow")
    rows, said = read(tmp_path / "a.arrow")
    tokens = rows[0]["tokens"][: rows[0]["segments"][0]["length"]]
    assert [tokens.count(mark) for mark in (said["start"], said["end"], said["image"])] == [1, 1, 0]


def test_a_tokenizer_of_ones_own(tmp_path: Path) -> None:
    step = Packed(
        tokenizer=f"file:{words(tmp_path / 'tokenizer.json')}", length=16, image_tokens=2, image="<image>", end="</s>"
    )
    counts = step.write([document(1, ["a red", "bus", None])], tmp_path / "a.arrow")
    rows, said = read(tmp_path / "a.arrow")
    assert rows[0]["tokens"] == [1, 4, 2, 5, 3, 7, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]  # 5: the empty line between texts
    assert (said["vocabulary"], said["start"], said["tokenizer"]) == (10, None, "tokenizer.json")
    assert counts["padding"] == 8
    assert step.files() == (str(tmp_path / "tokenizer.json"),)


def test_a_document_without_nodes_is_there(tmp_path: Path) -> None:
    SMALL.write([document(1, [])], tmp_path / "a.arrow")
    assert list(documents_in((tmp_path / "a.arrow").read_bytes())) == [(document(1, []).uid, ())]


def test_small_vocabularies_take_two_bytes_and_large_ones_four(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    large = Tokenizer(WordLevel({str(i): i for i in range(70_000)}, "0"))
    large.save(str(tmp_path / "large.json"))
    Packed(tokenizer=f"file:{tmp_path}/large.json", length=32, image_tokens=4).write(
        [document(1, ["69999", None])], tmp_path / "b.arrow"
    )
    SMALL.write([document(1, ["a"])], tmp_path / "a.arrow")
    kinds = [pa.ipc.open_file(tmp_path / name).schema.field("tokens").type for name in ("a.arrow", "b.arrow")]
    assert kinds == [pa.list_(pa.uint16(), 48), pa.list_(pa.int32(), 32)]
    assert read(tmp_path / "b.arrow")[0][0]["tokens"][:5] == [69999, 70000, 70000, 70000, 70000]


def test_an_image_that_fits_no_sequence_is_refused() -> None:
    with pytest.raises(ValidationError, match="does not fit"):
        Packed(length=64, image_tokens=63)


def test_what_verify_reads(tmp_path: Path) -> None:
    records = [*documents(24), document(90, ["a long text of many words, longer than a sequence " * 20, None, "end"])]
    SMALL.write(records, tmp_path / "a.arrow")
    found = sorted(documents_in((tmp_path / "a.arrow").read_bytes()))
    assert found == sorted((record.uid, tuple(node.uid for node in record.nodes)) for record in records)


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        SMALL.write(documents(), tmp_path / name)
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_batches_end_by_rows_and_by_bytes(tmp_path: Path) -> None:
    Packed(length=16, image_tokens=2).write([document(i, ["a word or two " * 3]) for i in range(300)], tmp_path / "a")
    with pa.ipc.open_file(tmp_path / "a") as file:
        sizes = [file.get_batch(i).num_rows for i in range(file.num_record_batches)]
    assert sizes[0] == 256
    assert np.sum(sizes) == 300
