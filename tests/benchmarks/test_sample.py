"""The embedded sample is what its truth and README say, measured by code that no signal shares."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import tarfile
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, UnidentifiedImageError

from benchmarks.data.folder import jpeg_folder
from benchmarks.data.measures import Look, look
from benchmarks.data.shards import Pair, write_pool, write_tar

SAMPLE = Path(__file__).parents[2] / "manifests" / "sample"
UNREADABLE = {"corrupt", "truncated", "zero_byte", "bomb"}
COPIES = {"exact_duplicate", "near_duplicate"}


@dataclass
class Sample:
    """One row as stored: truth, members, and its measures where it decodes."""

    shard: str
    key: str
    fault: str
    detail: str
    source: str
    licence: str
    mate: str | None
    extension: str
    image: bytes
    caption: str
    meta: dict[str, str]
    look: Look | None


@pytest.fixture(scope="module")
def members() -> dict[tuple[str, str], dict[str, bytes]]:
    found: dict[tuple[str, str], dict[str, bytes]] = {}
    for path in sorted(SAMPLE.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, extension = member.name.split(".")
                data = tar.extractfile(member)
                assert data is not None
                assert extension not in found.setdefault((path.name, key), {})
                found[path.name, key][extension] = data.read()
    return found


@pytest.fixture(scope="module")
def samples(members: dict[tuple[str, str], dict[str, bytes]]) -> dict[str, Sample]:
    rows = {}
    for truth in pq.read_table(SAMPLE / "truth.parquet").to_pylist():
        parts = members[truth["shard"], truth["key"]]
        (extension,) = parts.keys() - {"txt", "json"}
        detail, fault = truth.pop("fault_detail"), truth["fault"]
        image = parts[extension]
        rows[truth["key"]] = Sample(
            **truth,
            detail=detail,
            extension=extension,
            image=image,
            caption=parts["txt"].decode(),
            meta=json.loads(parts["json"]),
            look=None if fault in UNREADABLE else look(image),
        )
    return rows


def of(samples: dict[str, Sample], *faults: str) -> list[Sample]:
    found = [row for row in samples.values() if row.fault in faults]
    assert found, f"no row has {faults}"
    return found


def measured(row: Sample) -> Look:
    assert row.look is not None
    return row.look


def test_truth_covers_every_key_exactly_once(members: dict[tuple[str, str], dict[str, bytes]]) -> None:
    truth = [(row["shard"], row["key"]) for row in pq.read_table(SAMPLE / "truth.parquet").to_pylist()]
    assert truth == list(members)  # the same order too
    assert len({key for _, key in truth}) == len(truth)


def test_every_row_has_one_image_a_caption_and_metadata(members: dict[tuple[str, str], dict[str, bytes]]) -> None:
    for parts in members.values():
        assert len(parts) == 3
        assert {"txt", "json"} < parts.keys() <= {"txt", "json", "jpg", "png", "webp"}


def test_size_and_shards() -> None:
    assert 5e6 <= sum(file.stat().st_size for file in SAMPLE.glob("*.*")) <= 10e6
    assert [path.name for path in sorted(SAMPLE.glob("*.tar"))] == [f"{shard:05d}.tar" for shard in range(4)]


def test_counts_are_those_of_the_readme(samples: dict[str, Sample]) -> None:
    table = re.findall(r"^\| `([\w:]+)` \| (\d+) \|", (SAMPLE / "README.md").read_text(), re.M)
    assert {name: int(count) for name, count in table} == Counter(row.fault for row in samples.values())


def test_planted_faults_are_spread_over_all_shards(samples: dict[str, Sample]) -> None:
    for fault, count in Counter(row.fault for row in samples.values()).items():
        assert len({row.shard for row in of(samples, fault)}) == min(count, 4), fault


def test_clean_rows_are_clean(samples: dict[str, Sample]) -> None:
    for row in of(samples, "clean"):
        seen = measured(row)
        assert min(seen.width, seen.height) >= 200
        assert seen.aspect <= 3
        assert seen.entropy >= 1
        assert seen.spread >= 20
        assert seen.sharpness >= 100
        assert len(row.caption.split()) >= 3
        assert row.caption.isprintable()


def test_no_two_clean_rows_look_alike_or_share_a_caption(samples: dict[str, Sample]) -> None:
    clean = of(samples, "clean")
    assert len({row.caption.lower() for row in clean}) == len(clean)
    looks = [measured(row) for row in clean]
    assert all(one.distance(two) > 6 for index, one in enumerate(looks) for two in looks[:index])


def test_unreadable_images_are_so_each_in_its_way(samples: dict[str, Sample]) -> None:
    for row in of(samples, "corrupt"):
        assert row.image
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(row.image))
    assert all(row.image == b"" for row in of(samples, "zero_byte"))
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    for row in of(samples, "truncated"):
        with Image.open(io.BytesIO(row.image)) as image, pytest.raises((OSError, SyntaxError)):
            image.load()


def test_bombs_are_small_files_that_declare_more_than_200_megapixels(
    samples: dict[str, Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in of(samples, "bomb"):
        with pytest.raises(Image.DecompressionBombError):
            Image.open(io.BytesIO(row.image))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    for row in of(samples, "bomb"):
        with Image.open(io.BytesIO(row.image)) as image:  # reads the header only
            assert image.width * image.height > 200_000_000
            assert len(row.image) < 50_000


def test_planted_images_have_their_property(samples: dict[str, Sample]) -> None:
    assert all(max(measured(row).width, measured(row).height) <= 32 for row in of(samples, "tiny"))
    assert all(measured(row).aspect > 5 for row in of(samples, "extreme_aspect"))
    assert all(measured(row).sharpness < 20 < measured(row).entropy * 20 for row in of(samples, "blurred"))
    assert all(measured(row).entropy < 0.3 for row in of(samples, "low_entropy"))
    small = of(samples, "real:small_image")
    assert all(min(measured(row).width, measured(row).height) < 200 for row in small)
    for row in of(samples, "text_only"):
        assert measured(row).entropy >= 1
        assert row.source == "generated"


def test_copies_are_copies_and_come_after_their_clean_original(samples: dict[str, Sample]) -> None:
    for row in of(samples, *COPIES):
        original = samples[row.mate or ""]
        assert original.fault == "clean"
        assert original.key < row.key
        assert original.meta["split"] == row.meta["split"]
        assert (row.image == original.image) == (row.fault == "exact_duplicate")
        assert measured(row).distance(measured(original)) <= 6


def test_captions_have_their_fault(samples: dict[str, Sample]) -> None:
    assert not any(row.caption.strip() for row in of(samples, "empty_caption"))
    assert all(len(row.caption.split()) == 1 for row in of(samples, "one_word_caption"))
    assert all(len(row.caption.split()) <= 2 for row in of(samples, "real:short_title"))
    assert all(re.search(r"<\w+[^>]*>", row.caption) for row in of(samples, "markup_caption"))
    for row in of(samples, "control_characters"):
        assert any(unicodedata.category(one) in ("Cc", "Cf") for one in row.caption)
    spam = re.compile(r"https?://|www\.|\.(jpe?g|png)\b|click", re.I)
    assert all(spam.search(row.caption) for row in of(samples, "spam_caption"))


def test_foreign_captions_are_long_enough_and_of_many_languages(samples: dict[str, Sample]) -> None:
    foreign = of(samples, "non_english")
    assert len({row.detail for row in foreign}) >= 8
    assert all(len(row.caption.split()) >= 5 for row in foreign)


def test_mismatched_rows_hold_the_caption_of_their_mate(samples: dict[str, Sample]) -> None:
    captions = {row.key: row.caption for row in of(samples, "mismatched")}
    for row in of(samples, "mismatched"):
        mate = samples[row.mate or ""]
        assert (mate.fault, mate.mate) == ("mismatched", row.key)
        assert captions[mate.key] != row.caption
        assert mate.meta["split"] == row.meta["split"]


def test_only_planted_rows_share_a_uid(samples: dict[str, Sample]) -> None:
    uids = Counter(row.meta["uid"] for row in samples.values() if "uid" in row.meta)
    twins = of(samples, "duplicate_uid")
    assert all(re.fullmatch("[0-9a-f]{32}", uid) for uid in uids)
    assert {uid for uid, count in uids.items() if count > 1} == {row.meta["uid"] for row in twins}
    assert all(samples[row.mate or ""].meta["uid"] == row.meta["uid"] for row in twins)


def test_look_alikes_never_straddle_the_split(samples: dict[str, Sample]) -> None:
    seen = [(row.meta["split"], row.look, row) for row in samples.values() if row.look]
    assert {split for split, _, _ in seen} == {"train", "test"}
    for index, (split, one, _) in enumerate(seen):
        assert all(split == other or one.distance(two) > 6 for other, two, _ in seen[:index])


def test_every_source_has_a_notice_and_every_row_its_licence(samples: dict[str, Sample]) -> None:
    notices = {file.name for file in (SAMPLE / "LICENSES").iterdir()}
    assert notices == {"openclipart.txt", "fluent-emoji-MIT.txt", "cldr-Unicode-3.0.txt", "scikit-image.txt"}
    allowed = {
        ("openclipart", "public-domain"),
        ("fluent-emoji", "MIT (image), Unicode-3.0 (name)"),
        ("scikit-image", "CC0-1.0"),
        ("scikit-image", "public-domain"),
        ("generated", "Apache-2.0"),
    }
    assert {(row.source, row.licence) for row in samples.values()} == allowed
    photographs = (SAMPLE / "LICENSES" / "scikit-image.txt").read_text()
    for row in samples.values():
        assert (row.meta["source"], row.meta["licence"]) == (row.source, row.licence)
        if row.source == "scikit-image":
            assert f"{row.meta['path'].split('#')[0]}: {row.licence}" in photographs


ROWS = st.lists(
    st.builds(Pair, st.binary(max_size=600), st.sampled_from(("jpg", "png")), st.text(max_size=40)),
    min_size=1,
    max_size=6,
)


@given(rows=ROWS)
def test_equal_rows_make_equal_tars(tmp_path_factory: pytest.TempPathFactory, rows: list[Pair]) -> None:
    folder = tmp_path_factory.mktemp("tars")
    for name in ("a.tar", "b.tar"):
        write_tar(((f"{index:09d}", row) for index, row in enumerate(rows)), folder / name)
    assert (folder / "a.tar").read_bytes() == (folder / "b.tar").read_bytes()
    with tarfile.open(folder / "a.tar") as tar:
        assert {(one.mtime, one.uid, one.gid, one.uname, one.gname) for one in tar} == {(0, 0, 0, "", "")}


@given(rows=ROWS, limit=st.integers(1, 4000))
def test_a_pool_keeps_order_and_limit(tmp_path_factory: pytest.TempPathFactory, rows: list[Pair], limit: int) -> None:
    folder = tmp_path_factory.mktemp("pool")
    count, tars = write_pool(rows, folder, limit)
    paths = sorted(folder.iterdir())
    assert (count, tars) == (len(rows), len(paths))
    captions = []
    for path in paths:
        with tarfile.open(path) as tar:
            texts = [tar.extractfile(one) for one in tar if one.name.endswith(".txt")]
            captions += [text.read().decode() for text in texts if text]
    assert captions == [row.caption for row in rows]


def test_a_shorter_pool_leaves_no_stale_tar(tmp_path: Path) -> None:
    rows = [Pair(bytes(2000), "png", str(index)) for index in range(4)]
    assert write_pool(rows, tmp_path, 1) == (4, 4)
    assert write_pool(rows[:1], tmp_path, 1) == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["00000.tar"]


def test_jpeg_folder_depends_on_its_seed_only(tmp_path: Path) -> None:
    one, two = (jpeg_folder(tmp_path / name, 12, bad=(3,), seed=7) for name in ("one", "two"))
    files = sorted(path.name for path in one.iterdir())
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)
    other = jpeg_folder(tmp_path / "other", 12, seed=8)
    assert (one / "000000.jpg").read_bytes() != (other / "000000.jpg").read_bytes()
    with (one / "captions.csv").open(newline="") as table:
        assert [row["file"] for row in csv.DictReader(table)] == [f"{index:06d}.jpg" for index in range(12)]
    assert len({hashlib.sha256((one / name).read_bytes()).digest() for name in files}) == len(files)


def test_jpeg_folder_spoils_what_is_asked(tmp_path: Path) -> None:
    folder = jpeg_folder(tmp_path, 5, bad=(1,))
    for index in (0, 2, 3, 4):
        assert look((folder / f"{index:06d}.jpg").read_bytes()).aspect == pytest.approx(96 / 72)
    with pytest.raises(UnidentifiedImageError):
        Image.open(folder / "000001.jpg")
    with pytest.raises(ValueError, match="bad must lie"):
        jpeg_folder(tmp_path, 5, bad=(5,))
