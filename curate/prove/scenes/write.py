"""Scenes as webdataset shards: KEY.jpg, KEY.txt, KEY.json; `sizes.json` and a `tokenizer` of their words beside them."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from curate.prove.scenes.sample import Sample, sample
from curate.prove.scenes.scene import draw_scene
from curate.prove.scenes.tokenizer import write_tokenizer

Which = Literal["train", "test", "both"]
ONE_IN = 10
"""Of both kinds together, each tenth is for tests."""


def samples(count: int, noise: float = 0.0, seed: int = 0, split: Which = "both") -> Iterator[Sample]:
    """The first ``count`` samples. No two test samples show the same, so that each has captions of its own."""
    told: set[str] = set()
    number = made = 0
    while made < count:
        test = split == "test" or (split == "both" and made % ONE_IN == ONE_IN - 1)
        content = draw_scene(seed, number, test).content if test else ""
        if content not in told:
            yield sample(seed, number, noise, test)
            made += 1
            told |= {content} - {""}
        number += 1


def write(
    folder: str | Path, count: int, noise: float = 0.0, seed: int = 0, split: Which = "both", per_shard: int = 1000
) -> Path:
    """Write ``count`` samples into ``folder``; the same arguments give the same bytes."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, int] = {}
    made = samples(count, noise, seed, split)
    for start in range(0, count, per_shard):
        name = f"{start // per_shard:05d}.tar"
        sizes[name] = min(per_shard, count - start)
        temporary = out / f".{name}.{os.getpid()}"
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for _ in range(sizes[name]):
                _add(tar, next(made))
        os.replace(temporary, out / name)
    write_tokenizer(out / "tokenizer")
    (out / "sizes.json").write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")
    return out


def _add(tar: tarfile.TarFile, one: Sample) -> None:
    key = f"{one.record['split']}_{one.record['number']:08d}"
    text, record = one.record["text"], json.dumps(one.record, ensure_ascii=False)
    for suffix, data in (("jpg", one.image), ("txt", text.encode()), ("json", record.encode())):
        member = tarfile.TarInfo(f"{key}.{suffix}")  # no time, no owner
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
