"""The embedded lexicon's maker, on dictionary files of WordNet's form."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data.wordnet import PARTS, lexicon

LICENCE = "  1 This software and database is being provided to you\n"


def test_first_synsets_and_irregular_forms(tmp_path: Path) -> None:
    for name in PARTS.values():
        (tmp_path / f"index.{name}").write_text(LICENCE)
        (tmp_path / f"{name}.exc").write_text("")
    (tmp_path / "index.noun").write_text(
        LICENCE
        + "domestic_dog n 1 2 @ ~ 1 0 02084071  \n"
        + "dog n 3 2 @ ~ 3 1 02084071 10114209 09886220  \n"
        + "goose n 1 1 @ 1 0 01855672  \n"
        + "axis n 1 1 @ 1 0 08518505  \n"
    )
    (tmp_path / "index.verb").write_text(LICENCE + "dog v 1 1 @ 1 1 02001858  \n")
    (tmp_path / "noun.exc").write_text("axes ax axis\ngeese goose\ndog doge\nlice louse\n")
    assert list(lexicon(tmp_path)) == [
        "n00000000 | lice",
        "n01855672 goose | geese",
        "n02084071 dog domestic_dog",
        "n08518505 axis | axes",
        "v02001858 dog",
    ]
