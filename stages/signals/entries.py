"""Which entries of a metadata list a caption mentions: what MetaCLIP balances by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal
from curate.models.cache import file_sha256
from stages.signals.matching import Matcher, Mode, matcher
from stages.signals.metadata import metadata_files, read_entries

OTHER = "other"
"""File of a metadata folder for languages that have none of their own, as in MetaCLIP 2."""


class Entries(Signal):
    """Numbers of the metadata's entries that occur in the caption (substring matching, Xu et al. 2023, section 3.2).

    `v1` is MetaCLIP's rule and `v2` that of MetaCLIP 2 (Chuang et al. 2025); `unicode` compares normalised words, so that
    case, double spaces, quotes and an entry's own punctuation do not hide it. With a folder of metadata, a file per
    language, a caption is matched with the file of its `lang`, and entries are numbered through in order of language.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 0.02

    metadata: str = Field(
        default="default", description="`default` (WordNet), a file of entries, or a folder by language"
    )
    mode: Mode = "unicode"

    def inputs(self) -> tuple[str, ...]:
        """Also the language, if the metadata is a folder."""
        return self.needs if "" in metadata_files(self.metadata) else (*self.needs, "lang")

    def gives(self) -> dict[str, pa.DataType]:
        """entries: numbers in the metadata, ascending, each once; null without a caption."""
        return {"entries": pa.list_(pa.int32())}

    def models(self) -> tuple[str, ...]:
        """The metadata's files as specs."""
        return tuple(f"file:{path}" for path in metadata_files(self.metadata).values())

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """A caption in a language without metadata has no entries. Raises ModelError for metadata that cannot be used."""
        texts = batch.columns["text"].tolist()
        files = metadata_files(self.metadata)
        languages = [""] * len(texts) if "" in files else batch.columns["lang"].tolist()
        find = {language: self._finder(files, language) for language in set(languages)}
        found = [
            None if text is None else find[language](text) for text, language in zip(texts, languages, strict=True)
        ]
        return {"entries": found}

    def _finder(self, files: Mapping[str, Path], language: str | None) -> Callable[[str], list[int]]:
        """What finds the entries in a caption of that language."""
        file = files.get(language or OTHER if "" not in files else "", files.get(OTHER))
        if file is None:
            return lambda text: []
        first = _first_numbers(tuple((path, file_sha256(path)) for path in files.values()))[file]
        match = _matcher(file, file_sha256(file), self.mode).match
        return match if first == 0 else lambda text: [first + number for number in match(text)]


@lru_cache(maxsize=256)
def _matcher(file: Path, digest: str, mode: Mode) -> Matcher:
    """Made once per process and content of the file."""
    return matcher(read_entries(file), mode)


@lru_cache(maxsize=4)
def _first_numbers(files: tuple[tuple[Path, str], ...]) -> dict[Path, int]:
    """The number of each file's first entry; files as (path, sha256)."""
    sizes = [len(read_entries(path)) for path, _ in files] if len(files) > 1 else [0]
    starts = accumulate(sizes, initial=0)
    return {path: start for (path, _), start in zip(files, starts, strict=False)}
