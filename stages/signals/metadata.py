"""Metadata: the list of entries that captions are matched with, as a file, and how MetaCLIP makes one.

    python -m stages.signals.metadata --wordnet DIR [--corpus FILE ...] [--titles FILE] --out metadata.txt

Xu et al. 2023, section 3.1 and appendix A: WordNet's synsets, the numbers 0 to 99, frequent words and bigrams of high
pointwise mutual information of a corpus (theirs: English Wikipedia), and titles. The embedded list is the first part.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from string import punctuation
from tempfile import TemporaryDirectory
from typing import Final

from curate.errors import ModelError

EMBEDDED: Final = Path(__file__).parent / "lists" / "wordnet.txt.xz"
"""86,654 entries of WordNet 3.0 (Princeton University; its licence lies beside it) and the numbers 0 to 99."""
_HELD: Final = 1 << 21
"""Distinct words and bigrams that are counted in memory before they go to DuckDB."""


def metadata_files(metadata: str) -> dict[str, Path]:
    """Language -> file, in order of language: of `default` and of one file the language is ''.

    A folder holds one file per language, `en.txt` or `en.json`. Raises ModelError where there is nothing to read.
    """
    if metadata == "default":
        return {"": EMBEDDED}
    path = Path(metadata)
    if path.is_file():
        return {"": path}
    found = {file.stem: file for file in sorted(path.glob("*")) if file.suffix in (".txt", ".json")}
    if not found:
        raise ModelError(
            f"metadata {metadata!r}: no such file, nor a folder with a file per language (en.txt or en.json)"
        )
    return dict(sorted(found.items()))


def read_entries(path: Path) -> list[str]:
    """The entries of one file: a JSON list of strings, or one entry per line of UTF-8 text (`.xz` too), as written.

    Raises ModelError for entries that are empty or repeated, as their counts would mean nothing.
    """
    try:
        data = path.read_bytes()
        text = (lzma.decompress(data) if path.suffix == ".xz" else data).decode("utf-8")
        entries = json.loads(text) if path.suffix == ".json" else text.removesuffix("\n").split("\n")
    except (OSError, ValueError, lzma.LZMAError) as error:
        raise ModelError(f"metadata {path} cannot be read: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ModelError(f"metadata {path} holds no list of strings")
    places: dict[str, int] = {}
    for place, entry in enumerate(entries, 1):
        if not entry:
            raise ModelError(f"metadata {path}: entry {place} is empty")
        if entry in places:
            raise ModelError(f"metadata {path}: entry {place} repeats entry {places[entry]}, {entry!r}")
        places[entry] = place
    return entries


def entry_names(metadata: str = "default") -> list[str]:
    """All entries in the order of their numbers: file by file, languages in order."""
    return [entry for file in metadata_files(metadata).values() for entry in read_entries(file)]


def wordnet_names(lines: Iterable[str]) -> Iterator[str]:
    """Name of each synset in lines of WordNet's data.noun, data.verb, data.adj and data.adv (wndb(5WN)).

    The first lemma in lower case, up to the first full stop, as MetaCLIP cuts NLTK's 'dog.n.01': 'a.d.' becomes 'a'.
    Underscores become spaces.
    """
    for line in lines:
        if line.startswith("  "):  # the licence, at the head of each file
            continue
        lemma = line.split(" ", 5)[4].partition("(")[0]  # adjectives may carry a marker: 'galore(ip)'
        yield lemma.lower().partition(".")[0].replace("_", " ")


def union(*parts: Iterable[str]) -> list[str]:
    """The entries of all parts and '0' to '99', sorted, without the empty one and single ASCII punctuation marks."""
    entries = {str(number) for number in range(100)}.union(*parts)
    return sorted(entries - {"", *punctuation})


class NgramCounts:
    """Exact counts of words and bigrams of a corpus of any size: in memory up to a bound, then in DuckDB, on disk.

    A word is what lies between white space; punctuation alone is none, and no bigram goes across it. Case counts.
    """

    def __init__(self, folder: Path) -> None:
        """`folder`: where the counts are kept while they are made."""
        import duckdb

        self._memory: dict[str, int] = {}
        self._disk = duckdb.connect(folder / "ngrams.duckdb", config={"memory_limit": "2GB"})
        self._disk.execute("create table counts (ngram varchar, n bigint)")

    def add(self, text: str) -> None:
        """Count one text."""
        before = ""
        for word in text.split():
            if all(character in punctuation for character in word):
                before = ""
                continue
            for ngram in (word, f"{before} {word}") if before else (word,):
                self._memory[ngram] = self._memory.get(ngram, 0) + 1
            before = word
        if len(self._memory) > _HELD:
            self._spill()

    def words(self, min_count: int = 100) -> list[str]:
        """Words that occur at least so often (published: 100)."""
        where = "not contains(ngram, ' ') group by ngram having sum(n) >= ?"
        return self._ngrams(f"select ngram from counts where {where} order by 1", min_count)

    def bigrams(self, min_pmi: float = 30.0, min_count: int = 1) -> list[str]:
        """Bigrams 'a b' of log2(n(ab) N / (n(a) n(b))) >= `min_pmi` (published: 30), N being all words.

        It is at most log2(N / n(ab)): 30 needs a billion words, a smaller corpus a lower bound.
        """
        query = """
            with totals as (select ngram, sum(n)::double as n from counts group by ngram),
                 words as (select * from totals where not contains(ngram, ' ')),
                 pairs as (select *, split_part(ngram, ' ', 1) as a, split_part(ngram, ' ', 2) as b
                           from totals where contains(ngram, ' ') and n >= ?)
            select pairs.ngram from pairs join words x on x.ngram = a join words y on y.ngram = b
            where log2(pairs.n * (select sum(n) from words) / (x.n * y.n)) >= ? order by 1"""
        return self._ngrams(query, min_count, min_pmi)

    def _ngrams(self, query: str, *parameters: float) -> list[str]:
        self._spill()
        return [str(row[0]) for row in self._disk.execute(query, list(parameters)).fetchall()]

    def _spill(self) -> None:
        import pyarrow as pa

        kinds = pa.schema([("ngram", pa.string()), ("n", pa.int64())])
        batch = pa.table([list(self._memory), list(self._memory.values())], schema=kinds)
        self._disk.register("batch", batch)
        self._disk.execute("insert into counts select * from batch")
        self._disk.unregister("batch")
        self._memory.clear()


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a metadata file: one entry per line."""
    parser = argparse.ArgumentParser("python -m stages.signals.metadata", description=__doc__)
    parser.add_argument("--wordnet", type=Path, help="folder with data.noun, data.verb, data.adj and data.adv")
    parser.add_argument("--corpus", type=Path, nargs="*", default=(), help="text files, a document per line")
    parser.add_argument("--min-count", type=int, default=100, help="of a word in the corpus")
    parser.add_argument("--min-pmi", type=float, default=30.0, help="of a bigram in the corpus, in bits")
    parser.add_argument("--titles", type=Path, help="text file, a title per line")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    parts: list[Iterable[str]] = [read_entries(EMBEDDED)]
    if asked.wordnet:
        data = (asked.wordnet / f"data.{part}" for part in ("noun", "verb", "adj", "adv"))
        parts = [wordnet_names(line for file in data for line in _lines(file))]
    with TemporaryDirectory() as folder:
        counts = NgramCounts(Path(folder))
        for file in asked.corpus:
            for line in _lines(file):
                counts.add(line)
        parts += [counts.words(asked.min_count), counts.bigrams(asked.min_pmi)]
    if asked.titles:
        parts.append(_lines(asked.titles))
    entries = union(*parts)
    asked.out.write_text("\n".join(entries) + "\n", encoding="utf-8")
    print(f"{len(entries):,} entries in {asked.out}")


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            yield line.rstrip("\r\n")


if __name__ == "__main__":
    main()
