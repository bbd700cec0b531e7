"""The dataset card of an export, in Hugging Face's form, written from the run's manifest alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from curate.words import counted
from stages.export.blur import Blur, listed
from stages.export.documents.packed import Packed

SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
)
"""The Hub's own size categories: samples below the number are in the category."""

SOURCES, CAUSES = 20, 10
"""Units of the source, and causes of failure, that the card of documents names."""

LOAD = {
    "webdataset": """import webdataset

shards = "{shards}"
for image, caption in webdataset.WebDataset(shards, shardshuffle=False).decode("pilrgb").to_tuple("jpg;png;webp", "txt"):
    ...""",
    "ffcv": """from ffcv.fields.bytes import BytesDecoder
from ffcv.fields.json import JSONField
from ffcv.fields.rgb_image import CenterCropRGBImageDecoder
from ffcv.loader import Loader
from ffcv.transforms import ToTensor

pipelines = {"image": [CenterCropRGBImageDecoder((224, 224), 1), ToTensor()], "caption": [BytesDecoder()]}
for images, captions in Loader("{first}", batch_size=64, num_workers=1, drop_last=False, pipelines=pipelines):
    texts = [caption["text"] for caption in JSONField.unpack(captions)]""",
    "parquet": """import datasets

data = datasets.load_dataset("parquet", data_files="*.parquet", split="train")
data[0]["image"], data[0]["text"]""",
    "documents": """import webdataset

for document in webdataset.WebDataset("{shards}", shardshuffle=False).decode("pilrgb"):
    for node in document["json"]["nodes"]:
        part = node["text"] if node["kind"] == "text" else document[node["file"].partition(".")[2]]""",
    "obelics": """import datasets

data = datasets.load_dataset("parquet", data_files="*.parquet", split="train")
data[0]["images"], data[0]["texts"], data[0]["image_files"]""",
    "packed": """from pathlib import Path

from trainer.packed import PackedShards, attention_mask, collate

shards = PackedShards(Path("."))
batch = collate([shards.read(number) for number in range(min(8, len(shards)))])
mask = attention_mask(batch.segments)""",
}
"""How each format is read, run in the shards' folder: by the plain library where there is one."""


def dataset_card(manifest: Mapping[str, Any], format: str) -> str:
    """README.md for one format of an export: front matter, funnel, provenance, models, how to load it, removal."""
    shards = manifest["exports"][format]
    samples = sum(shard["samples"] for shard in shards)
    pool = manifest["pool"]
    about = _line(str(manifest["recipe"].get("description") or ""))
    documents = bool(manifest.get("kinds"))
    texts = (
        f"Texts\n\n{_texts(manifest, format)}"
        if documents
        else f"Captions and synthetic columns\n\n{_captions(manifest)}"
    )
    sections = [
        f"---\n{yaml.safe_dump(_front(manifest, format, samples), sort_keys=False, allow_unicode=True)}---\n",
        f"# {_line(manifest['run'])}\n\n{about}\n",
        f"{_holds(manifest, shards)} in {counted(len(shards), 'shard')} of the format {format}, in shuffled order, chosen from "
        f"{_entered(manifest)} of the pool `{_line(pool['name'])}` by curate {manifest['version']}.\n",
        f"## Licence\n\n{_licence(pool)}\n",
        *([f"## Sources\n\n{_sources(manifest)}\n"] if documents else []),
        "## How they were chosen\n\n" + (_funnel_by_kind if documents else _funnel)(manifest),
        f"## {texts}",
        "## Images\n\n" + _images(manifest),
        "## Models\n\n" + _models(manifest),
        f"## Load\n\n```python\n{_load(format, shards)}\n```\n\n`sha256sum --check SHA256SUMS` checks the shards.\n",
        "## Removal\n\nTo have a sample taken out of every later export, its uid, URL or image hash goes on the deny list "
        "(`curate deny add`); `curate verify` proves that it is absent.\n",
    ]
    return "\n".join(sections)


def _front(manifest: Mapping[str, Any], format: str, samples: int) -> dict[str, Any]:
    """The YAML that the Hub reads. A format that it cannot load by itself gets no config."""
    licence = manifest["pool"].get("licence")
    front: dict[str, Any] = {"pretty_name": _line(manifest["run"]), "license": "other"}
    front["license_name"] = _line(licence) if licence else "see-sources"
    front["size_categories"] = [next((name for limit, name in SIZES if samples < limit), "10B<n<100B")]
    documents = bool(manifest.get("kinds"))
    pairs = ["image-to-text", "zero-shot-image-classification"]
    front["task_categories"] = ["image-text-to-text", "text-generation"] if documents else pairs
    front["tags"] = ["interleaved" if documents else "image-text", "curated", format]
    pattern = {"webdataset": "*.tar", "parquet": "*.parquet", "obelics": "*.parquet"}.get(format)
    if pattern:
        front["configs"] = [{"config_name": "default", "data_files": [{"split": "train", "path": pattern}]}]
    return front


def _holds(manifest: Mapping[str, Any], shards: list[dict[str, Any]]) -> str:
    """How much of what is in the shards."""
    samples = sum(shard["samples"] for shard in shards)
    if not manifest.get("kinds"):
        return counted(samples, "image-text pair")
    total: Counter[str] = Counter()
    for shard in shards:
        total.update(shard.get("counts", {}))
    nodes = f"{counted(total['texts'], 'text')} and {counted(total['images'], 'image')}"
    held = f"{counted(samples, 'document')} with {nodes}"
    if "tokens" not in total:
        return held
    empty = total["padding"] / max(1, total["tokens"] + total["padding"])
    return (
        f"{held}, {total['tokens']:,} tokens ({total['placeholders']:,} of them hold an image's place; {empty:.2%} of all "
        f"places are empty; {total['documents_cut']:,} documents are cut) in {total['sequences']:,} sequences"
    )


def _entered(manifest: Mapping[str, Any]) -> str:
    kinds = manifest.get("kinds")
    return counted(kinds["document"]["entered"], "document") if kinds else counted(manifest["entered"], "record")


def _sources(manifest: Mapping[str, Any]) -> str:
    """What was read: archives or folders by name; a card travels, a folder does not."""
    units = [str(shard["unit"]).rstrip("/0123456789") for shard in manifest["pool"]["shards"]]  # without its part
    names = list(dict.fromkeys(_line(unit.rsplit("/", 1)[-1]) for unit in units))
    more = f", and {len(names) - SOURCES:,} more" if len(names) > SOURCES else ""
    step = _line(str(manifest["recipe"].get("pool", {}).get("step", "")))
    return f"Read by `{step}`: " + ", ".join(f"`{name}`" for name in names[:SOURCES]) + more + "."


def _texts(manifest: Mapping[str, Any], format: str) -> str:
    """What texts are, what goes with them, and into which tokens they went."""
    export = manifest["recipe"].get("export") or {}
    nodes = ", ".join(f"`{_line(name)}`" for name in export.get("node_meta", ()))
    said = (
        "What the pages say, in reading order, a node for each text that the source gives; of an image its alt text, and its "
        "caption where the page has one."
    )
    said += f" With each node: {nodes}.\n" if nodes else "\n"
    return said + _tokens(export) if format == Packed.format else said


def _tokens(export: Mapping[str, Any]) -> str:
    own = {"step": f"{Packed.__module__}.{Packed.__qualname__}"}
    given = next((entry for entry in export.get("formats", ()) if entry["step"] == own["step"]), own)
    step = Packed.model_validate({name: value for name, value in given.items() if name != "step"})
    return (
        f"\nTokens are those of the tokenizer `{_line(_spec(step.tokenizer))}` (its sha256 is in each shard); a sequence has "
        f"{step.length:,}, an image holds the place of {step.image_tokens:,}.\n"
    )


def _licence(pool: Mapping[str, Any]) -> str:
    said = f"The pool's licence: {_line(pool['licence'])}. " if pool.get("licence") else ""
    return f"{said}Images and captions keep the licences of their sources; selection grants no further right."


def _funnel(manifest: Mapping[str, Any]) -> str:
    """A table from entered to kept: each rule in the recipe's order, its setting, and what it dropped first."""
    lines = ["| rule | setting | records |", "|---|---|---:|", f"| entered | | {manifest['entered']:,} |"]
    lines += [f"| {_cell(r['label'])} | {_cell(r['threshold'])} | −{r['dropped']:,} |" for r in manifest["rules"]]
    labels = {rule["label"] for rule in manifest["rules"]}
    others = {name: n for name, n in manifest["dropped"].items() if name not in labels}
    lines += [f"| {_cell(name)} | | −{n:,} |" for name, n in others.items()]
    lines += [f"| failed: {_cell(cause)} | | −{n:,} |" for cause, n in sorted(manifest["failed"].items())]
    return "\n".join([*lines, f"| **kept** | | **{manifest['kept']:,}** |"]) + "\n"


def _funnel_by_kind(manifest: Mapping[str, Any]) -> str:
    """The same with a column for each kind of row. A node goes with its document, by the rule that drops that."""
    kinds = manifest["kinds"]
    thresholds = {rule["label"]: rule["threshold"] for rule in manifest["rules"]}
    names = list(dict.fromkeys([*thresholds, *(name for one in kinds.values() for name in one["dropped"])]))
    failed: Counter[str] = Counter()
    for one in kinds.values():
        failed.update(one["failed"])
    causes = [cause for cause, _ in sorted(failed.items(), key=lambda item: (-item[1], item[0]))]
    head = ["rule", "setting", *(f"{kind}s" for kind in kinds)]
    rows = [["entered", "", *(f"{one['entered']:,}" for one in kinds.values())]]
    rows += [[_cell(name), _cell(thresholds.get(name, "")), *_minus(kinds, "dropped", [name])] for name in names]
    rows += [[f"failed: {_cell(cause)}", "", *_minus(kinds, "failed", [cause])] for cause in causes[:CAUSES]]
    rows += [["failed otherwise", "", *_minus(kinds, "failed", causes[CAUSES:])]] if causes[CAUSES:] else []
    rows.append(["**kept**", "", *(f"**{one['kept']:,}**" for one in kinds.values())])
    lines = [head, ["---", "---", *(["---:"] * len(kinds))], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n"


def _minus(kinds: Mapping[str, Any], fate: str, reasons: Sequence[str]) -> list[str]:
    """For each kind of row how many have that fate for one of these reasons."""
    return [f"−{sum(one[fate].get(reason, 0) for reason in reasons):,}" for one in kinds.values()]


def _captions(manifest: Mapping[str, Any]) -> str:
    """How `text` was chosen, from the recipe's weights, and what of it is synthetic."""
    chosen = (manifest["recipe"].get("export") or {}).get("captions") or {"text": 1.0}
    total = sum(chosen.values())
    parts = ", ".join(f"`{_line(name)}` for {weight / total:.0%}" for name, weight in chosen.items())
    return (
        f"`text` is drawn per sample: {parts}; `caption_source` names the column it came from. {_synthetic(manifest)}"
    )


def _synthetic(manifest: Mapping[str, Any]) -> str:
    export = manifest["recipe"].get("export") or {}
    exported = {*export.get("captions", ()), *export.get("meta", ())}
    given = {c for s in manifest["signals"] if s["step"].startswith("synth.") for c in s["columns"]}
    columns = sorted(given & exported)
    if not columns:
        return "No column is synthetic.\n"
    listed = ", ".join(f"`{column}`" for column in columns)
    return f"Machine-made: {listed}; model, prompt, seed and score of each are facts of the run.\n"


def _images(manifest: Mapping[str, Any]) -> str:
    """Whether they are the source's own."""
    steps = [Blur.model_validate(step) for step in listed((manifest["recipe"].get("export") or {}).get("blur") or ())]
    if not steps:
        return "As the source has them, as far as the format can hold them.\n"
    columns = ", ".join(f"`{_line(step.column)}`" for step in steps)
    return f"Boxes of {columns} are blurred; `blurred` says in how many places. Images without such boxes are the source's.\n"


def _models(manifest: Mapping[str, Any]) -> str:
    models = {m["spec"]: m for m in manifest["models"]}.values()
    lines = [f"- `{_line(_spec(m['spec']))}` ({_cell(m['licence'])}), sha256 `{m['sha256'][:16]}…`" for m in models]
    return "\n".join(lines or ["None."]) + "\n"


def _spec(spec: str) -> str:
    """A card travels, a folder does not: of a local file only the name; its sha256 tells which it is."""
    return f"file:{spec.rsplit('/', 1)[-1]}" if spec.startswith("file:") else spec


def _load(format: str, shards: list[dict[str, Any]]) -> str:
    first, last = shards[0]["name"], shards[-1]["name"]
    brace = f"{{{first.split('.')[0]}..{last.split('.')[0]}}}.{first.split('.')[-1]}" if len(shards) > 1 else first
    return LOAD[format].replace("{shards}", brace).replace("{first}", first) if format in LOAD else ""


def _line(text: str) -> str:
    """One line that cannot open a section, a code span or a tag."""
    return " ".join(str(text).split()).replace("`", "'").replace("<", "&lt;")


def _cell(text: str) -> str:
    """Text that cannot break a Markdown table."""
    return _line(text).replace("|", "\\|")
