"""Duplicates: the same groups as comparing all pairs, whatever the shards, the order and the memory."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.contracts import Columns
from curate.scan import MemoryScan
from filters.duplicates import FirstOfGroup
from stages.select import hamming
from stages.select.components import components
from stages.select.dedup import Duplicates, OnePerGroup
from stages.select.hamming import alike, choose_blocks, flat, near_forest
from stages.signals.hashes import from_hex, to_hex

BASES = np.random.default_rng(1).integers(0, 2**64, 6, dtype=np.uint64)
ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.sets(st.integers(0, 63), max_size=3), st.integers(0, 3)), min_size=1, max_size=40
)


def flipped(base: int, bits: set[int]) -> int:
    return int(BASES[base]) ^ sum(1 << bit for bit in bits)


def pool(rows: list[tuple[int, set[int], int]], shards: int = 1, partitions: int = 1) -> MemoryScan:
    hashes = np.array([flipped(base, bits) for base, bits, _ in rows], np.uint64)
    rng = np.random.default_rng(7)
    return MemoryScan(
        {
            "phash": np.array(to_hex(hashes), object),
            "mean_rgb": np.array([f"{40 * (base % 2):02x}8000" for base, _, _ in rows], object),
            "sha256": np.array([bytes([base]) * 32 for base, _, _ in rows], object),
            "megapixels": np.array([quality for _, _, quality in rows], np.float32),
            "uid": rng.integers(0, 2**63, (len(rows), 2)).astype(np.uint64),
        },
        shards,
        partitions,
    )


def long_pool(rows: list[tuple[int, set[int], int]], shards: int = 1, partitions: int = 1) -> MemoryScan:
    """PDQ hashes of four bases; the last row's quality is too low."""
    draw = np.random.default_rng(5)
    bases = np.where(draw.permuted(np.tile(np.arange(256) < 128, (6, 1)), axis=1), 1, 0).astype(np.uint8)
    for i, (base, bits, _) in enumerate(rows):
        bases = np.append(bases, bases[base : base + 1], axis=0)
        bases[6 + i, [4 * bit for bit in bits]] ^= 1
    hashes = np.packbits(bases[6:], axis=1).view(">u8").astype(np.uint64)
    columns = {
        "pdq": np.array(to_hex(hashes), object),
        "pdq_rgb": np.array(["808080"] * len(rows), object),
        "pdq_quality": np.where(np.arange(len(rows)) == len(rows) - 1, 49, 50),
    }
    return MemoryScan(columns, shards, partitions)


def facts(step: Duplicates, scan: MemoryScan) -> Columns:
    found = step.compute(scan.columns, scan.fit(step))
    return {name: np.asarray(values) for name, values in found.items()}


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=30), ROWS, st.integers(0, 8))
def test_chains_are_those_of_all_pairs(apart: list[int], rows: list[tuple[int, set[int], int]], distance: int) -> None:
    hashes = np.unique(np.array([*apart, *(flipped(base, bits) for base, bits, _ in rows)], np.uint64))[:, None]
    close = alike(hashes[:, None], hashes[None], distance)
    assert components([near_forest(hashes, distance)]).tolist() == components([np.argwhere(close)]).tolist()


@settings(max_examples=40)
@given(ROWS, st.integers(1, 4), st.integers(1, 5))
def test_groups_are_components_and_the_best_comes_first(
    rows: list[tuple[int, set[int], int]], shards: int, partitions: int
) -> None:
    scan = pool(rows, shards, partitions)
    found = facts(Duplicates(by="phash", distance=4, best="megapixels"), scan)
    hashes = [flipped(base, bits) for base, bits, _ in rows]
    order = sorted(
        range(len(rows)), key=lambda i: (-scan.columns["megapixels"][i], tuple(scan.columns["uid"][i].tolist()))
    )
    joined = near_components(hashes, 4)
    for i in range(len(rows)):
        members = [j for j in order if joined[j] == joined[i]]
        assert found["dup_group"][i] == members[0]
        assert found["dup_rank"][i] == members.index(i)
        assert found["dup_size"][i] == len(members)


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4), max_size=12), ROWS, st.integers(0, 31))
def test_chains_of_256_bits(apart: list[list[int]], rows: list[tuple[int, set[int], int]], distance: int) -> None:
    near = [[flipped(base, bits), *BASES[1:4].tolist()] for base, bits, _ in rows]
    hashes = np.unique(np.array([*apart, *near], np.uint64), axis=0)
    close = alike(hashes[:, None], hashes[None], distance)
    assert components([near_forest(hashes, distance)]).tolist() == components([np.argwhere(close)]).tolist()


COLORED = st.lists(
    st.tuples(st.integers(0, 1), st.sets(st.integers(0, 63), max_size=2), st.tuples(*[st.integers(0, 255)] * 3)),
    min_size=1,
    max_size=120,
)


@pytest.mark.parametrize("crowd", [1, 8])
@given(COLORED, st.sampled_from([0, 1, 16, 40, 127, 128, 200, None]), st.integers(1, 3), st.booleans())
def test_groups_of_hashes_with_colours(
    crowd: int,
    rows: list[tuple[int, set[int], tuple[int, int, int]]],
    limit: int | None,
    partitions: int,
    close: bool,
) -> None:
    """However many share a hash: as comparing all pairs, in hash and in colour."""
    hashes = np.array([flipped(base, bits) for base, bits, _ in rows], np.uint64)[:, None]
    colors = np.array([color for *_, color in rows]) // (4 if close else 1)
    columns = {
        "phash": np.array(to_hex(hashes), object),
        "mean_rgb": np.array([bytes(color).hex() for color in colors.tolist()], object),
        "uid": np.arange(2 * len(rows)).reshape(-1, 2).astype(np.uint64),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "CROWD", crowd)
        patch.setattr(hamming, "COMPARED", 50)
        found = facts(Duplicates(by="phash", distance=2, color=limit), MemoryScan(columns, 1, partitions))
    near = alike(hashes[:, None], hashes[None], 2)
    if limit is not None:
        near &= np.abs(colors[:, None] - colors[None]).max(axis=2) <= limit
    assert found["dup_group"].tolist() == lowest(near)


def lowest(near: np.ndarray) -> list[int]:
    """Of each item the lowest that a chain of near ones, boolean (n, n), connects it with."""
    root = list(range(len(near)))
    for item, other in components([np.argwhere(near)]).tolist():
        root[item] = other
    return root


def test_a_template_in_many_colours_is_compared_with_few(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def counted(left: hamming.Rows, right: hamming.Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        nonlocal compared
        compared += len(left[2])
        return near(left, right)

    near = hamming._near
    monkeypatch.setattr(hamming, "_near", counted)
    draw, n = np.random.default_rng(3), 4000
    columns = {
        "phash": np.array([to_hex(BASES[:1])[0]] * n, object),
        "mean_rgb": np.array([row.tobytes().hex() for row in draw.integers(0, 256, (n, 3), dtype=np.uint8)], object),
        "uid": draw.integers(0, 2**63, (n, 2)).astype(np.uint64),
    }
    found = facts(Duplicates(by="phash", distance=4), MemoryScan(columns, 1, 1))
    assert compared < 100 * n
    assert found["dup_size"].max() > n / 2


@pytest.mark.parametrize("bits", [64, 256])
@pytest.mark.parametrize("distance", [0, 1, 4, 16])
def test_blocks_of_large_pools(bits: int, distance: int) -> None:
    for n in (1, 10**4, 10**9):
        blocks = choose_blocks(n, distance, bits)
        spans = [blocks.span(i) for i in range(blocks.total)]
        assert [low for low, _ in spans] == np.cumsum([0, *(width for _, width in spans[:-1])]).tolist()
        assert sum(width for _, width in spans) == bits
        assert max(width for _, width in spans) <= 64
        assert blocks.firsts == distance + 1
    assert choose_blocks(10**9, distance, bits).agreeing >= choose_blocks(10**4, distance, bits).agreeing


@settings(max_examples=40)
@given(ROWS, st.integers(1, 4), st.integers(1, 5))
def test_pdq_groups(rows: list[tuple[int, set[int], int]], shards: int, partitions: int) -> None:
    found = facts(Duplicates(by="pdq", distance=3), long_pool(rows, shards, partitions))
    known = len(rows) - 1  # the last has too low a quality
    root = list(range(known))
    for _ in root:
        for i in root[:]:
            for j in range(known):
                if rows[i][0] == rows[j][0] and len(rows[i][1] ^ rows[j][1]) <= allowed(rows[i], rows[j]):
                    root[j] = root[i] = min(root[i], root[j])
    assert found["dup_group"].tolist() == [*root, known]


def allowed(a: tuple[int, set[int], int], b: tuple[int, set[int], int]) -> int:
    """Ones of a base are 128, of the hashes as many more or fewer as bits were flipped."""
    hashes = [from_hex([text]) for text in long_pool([a, b]).columns["pdq"]]
    fewest = min(int(np.bitwise_count(words).sum()) for words in hashes)
    return math.ceil(3 * min(128, fewest) / 128)


def test_few_ones_allow_few_differences() -> None:
    full, half, three, two = np.array(
        [[[0x5555555555555555]], [[0x0055005500550055]], [[0b111 << 60]], [[0b11 << 60]]], np.uint64
    )
    assert alike(full, full ^ three ^ np.uint64(1), 4)
    assert not alike(half, half ^ three, 4)
    assert alike(half, half ^ two, 4)


def near_components(hashes: list[int], distance: int) -> list[int]:
    root = list(range(len(hashes)))
    for _ in hashes:
        for i, a in enumerate(hashes):
            for j, b in enumerate(hashes):
                if alike(np.array([[a]], np.uint64), np.array([[b]], np.uint64), distance).all():
                    root[i] = root[j] = min(root[i], root[j])
    return root


@given(ROWS)
def test_what_is_left_has_no_duplicates(rows: list[tuple[int, set[int], int]]) -> None:
    step = Duplicates(by="phash", distance=4)
    scan = pool(rows)
    keep = FirstOfGroup()(facts(step, scan))
    again = MemoryScan({name: values[keep] for name, values in scan.columns.items()})
    assert (facts(step, again)["dup_size"] == 1).all()


@settings(max_examples=40)
@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 4), st.integers(1, 5))
def test_order_of_the_pool_does_not_matter(
    rows: list[tuple[int, set[int], int]], random: Random, shards: int, partitions: int
) -> None:
    scan = pool(rows)
    order = np.array(random.sample(range(len(rows)), len(rows)))
    moved = {name: values[order] for name, values in scan.columns.items() if name != "position"}
    for step in (Duplicates(best="megapixels"), Duplicates(by="phash", distance=4)):
        a, b = facts(step, scan), facts(step, MemoryScan(moved, shards, partitions))
        for name in ("dup_rank", "dup_size"):  # a group is a position
            assert a[name][order].tolist() == b[name].tolist()


@given(ROWS, st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_one_of_each_group_and_language(
    rows: list[tuple[int, set[int], int]], shards: int, partitions: int, best: bool
) -> None:
    scan = pool(rows, shards, partitions)
    language = np.array([("en", "de", None)[i % 3] for i in range(len(rows))], object)
    columns = {**scan.columns, **facts(Duplicates(by="phash", distance=4), scan), "language": language}
    step = OnePerGroup(best="megapixels" if best else None, per="language")
    marked = MemoryScan(columns, shards, partitions)
    stays = step.apply(columns, marked.fit(step), seed=0)
    groups = list(zip(columns["dup_group"].tolist(), language.tolist(), strict=True))
    order = np.lexsort((columns["uid"][:, 1], columns["uid"][:, 0], -columns["megapixels"] * best))
    first = {groups[row]: row for row in order[::-1].tolist()}
    assert np.flatnonzero(stays).tolist() == sorted(first.values())


def test_same_bytes() -> None:
    scan = MemoryScan({"sha256": np.array([b"a" * 32, b"b" * 32, None, b"a" * 32, None], object)})
    found = facts(Duplicates(), scan)
    assert found["dup_group"].tolist() == [0, 1, 2, 0, 4]
    assert found["dup_rank"].tolist() == [0, 0, 0, 1, 0]
    assert found["dup_size"].tolist() == [2, 1, 1, 2, 1]
    assert {name: values.dtype.name for name, values in found.items()} == {
        "dup_group": "int64",
        "dup_rank": "int32",
        "dup_size": "int32",
    }


def test_flat_images_are_not_each_other_s_duplicates() -> None:
    hashes = np.array([[1 << 63], [1 << 63], [0], [2**64 - 1]], np.uint64)
    assert flat(hashes).all()
    step = Duplicates(by="phash", distance=2, color=None)
    found = facts(step, MemoryScan({"phash": np.array(to_hex(hashes), object)}))
    assert found["dup_size"].tolist() == [1, 1, 1, 1]


def test_a_red_button_is_no_copy_of_a_blue_one() -> None:
    columns = {
        "phash": np.array(to_hex(BASES[[0, 0, 0, 0]]), object),
        "mean_rgb": np.array(["ff0000", "f00a10", "0000ff", None], object),
    }
    columns["phash"][3] = None
    scan = MemoryScan(columns)
    assert facts(Duplicates(by="phash"), scan)["dup_size"].tolist() == [2, 2, 1, 1]
    assert facts(Duplicates(by="phash", color=9), scan)["dup_size"].tolist() == [1, 1, 1, 1]
    assert facts(Duplicates(by="phash", color=None), scan)["dup_size"].tolist() == [3, 3, 3, 1]
    assert Duplicates(by="phash", color=None, best="width").inputs() == ("phash", "width")


@given(ROWS, st.integers(0, 2**40 - 1))
def test_one_per_group_of_those_still_there(rows: list[tuple[int, set[int], int]], dropped: int) -> None:
    scan = pool(rows)
    columns = {**scan.columns, **facts(Duplicates(), scan)}
    alive = np.array([not dropped >> i & 1 for i in range(len(rows))])
    left = MemoryScan({name: values[alive] for name, values in columns.items()}, 2)
    step = OnePerGroup(best="megapixels")
    stays = step.apply(left.columns, left.fit(step), 0) > 0
    groups = left.columns["dup_group"]
    assert sorted(groups[stays].tolist()) == sorted(set(groups.tolist()))
    quality = left.columns["megapixels"]
    assert all(quality[i] == quality[groups == groups[i]].max() for i in np.flatnonzero(stays))


def test_distances_that_a_hash_cannot_have() -> None:
    assert Duplicates(by="pdq", distance=31).inputs() == ("pdq", "pdq_quality", "pdq_rgb")
    with pytest.raises(ValidationError, match="at most 16"):
        Duplicates(by="phash", distance=17)
    with pytest.raises(ValidationError, match="it needs by: phash"):
        Duplicates(distance=4)
