"""The dataset card of an export, in Hugging Face's form, written from the run's manifest alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))
LOAD = {
    "webdataset": 'webdataset.WebDataset("{00000000..N}.tar").decode("pilrgb").to_tuple("jpg;png;webp", "txt")',
    "ffcv": 'ffcv.loader.Loader("00000000.beton", ...)  # fields: image (RGB), caption (JSON: text, uid)',
    "parquet": 'datasets.load_dataset("parquet", data_files="*.parquet")',
}


def dataset_card(manifest: Mapping[str, Any], format: str) -> str:
    """README.md for one format of an export: front matter, funnel, provenance, models, how to load it."""
    shards = manifest["exports"][format]
    samples = sum(shard["samples"] for shard in shards)
    front = {
        "pretty_name": manifest["run"],
        "license": "other",
        "license_name": "see-sources",
        "size_categories": [next((name for limit, name in SIZES if samples < limit), "n>10M")],
        "task_categories": ["image-to-text", "zero-shot-image-classification"],
        "tags": ["image-text", "curated"],
    }
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n",
        f"# {manifest['run']}\n\n{manifest['recipe'].get('description', '')}\n",
        f"{samples:,} image-text pairs in {len(shards)} {format} shards, chosen from {manifest['entered']:,} records of the "
        f"pool `{manifest['pool']['name']}`. The images and captions keep the licences of their sources.\n",
        "## How they were chosen\n\n" + _funnel(manifest),
        "## Synthetic columns\n\n" + _synthetic(manifest),
        "## Models\n\n" + _models(manifest),
        f"## Load\n\n```python\n{LOAD.get(format, '')}\n```\n\n`sha256sum --check SHA256SUMS` checks the shards.\n",
        "## Removal\n\nTo have a sample taken out of every later export, its uid, URL or image hash goes on the deny list "
        "(`curate deny add`).\n",
    ]
    return "\n".join(sections)


def _funnel(manifest: Mapping[str, Any]) -> str:
    """A table: each rule in order, its setting, and what it dropped."""
    lines = ["| rule | setting | dropped |", "|---|---|---:|"]
    lines += [f"| {_cell(r['label'])} | {_cell(r['threshold'])} | {r['dropped']:,} |" for r in manifest["rules"]]
    denied = manifest["dropped"].get("deny")
    lines += [f"| deny list | | {denied:,} |"] if denied else []
    lines += [f"| (failed) | | {sum(manifest['failed'].values()):,} |", f"| **kept** | | **{manifest['kept']:,}** |"]
    return "\n".join(lines) + "\n"


def _synthetic(manifest: Mapping[str, Any]) -> str:
    columns = sorted({c for s in manifest["signals"] if s["step"].startswith("synth.") for c in s["columns"]})
    if not columns:
        return "None: every caption is what the source said.\n"
    listed = ", ".join(f"`{column}`" for column in columns)
    return f"{listed}: machine-made, each with its model, prompt, seed and score; `caption_source` names the column of `text`.\n"


def _models(manifest: Mapping[str, Any]) -> str:
    lines = [f"- `{m['spec']}` ({_cell(m['licence'])}), sha256 `{m['sha256'][:16]}…`" for m in manifest["models"]]
    return "\n".join(lines or ["None."]) + "\n"


def _cell(text: str) -> str:
    """Text that cannot break a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
