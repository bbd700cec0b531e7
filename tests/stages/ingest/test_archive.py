"""Records of WARC archives: any cut gives the same ones, and nothing that can be read is lost behind damage."""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data.warcs import Response, record, record_of
from curate.errors import PoolError
from stages.ingest import archive
from stages.ingest.archive import Archive, Record

BODIES = [b"<html>%d</html>" % number * (1 + 37 * number) for number in range(7)]
RECORDS = [record_of(Response(f"http://h.example/{number}", body)) for number, body in enumerate(BODIES)]
FORMS: dict[str, Callable[[bytes], bytes]] = {"a.warc": bytes, "a.warc.gz": lambda data: gzip.compress(data, mtime=0)}


def joined(name: str) -> bytes:
    return b"".join(FORMS[name](data) for data in RECORDS)


def places(name: str) -> list[int]:
    """First bytes of the records, and the end."""
    return [0, *itertools.accumulate(len(FORMS[name](data)) for data in RECORDS)]


def everything(_: Record) -> int:
    return 1 << 30


def read(data: bytes, name: str, start: int = 0, end: int = 1 << 40) -> list[Record]:
    return list(Archive(io.BytesIO(data), name).records(start, end, everything))


def bodies(found: list[Record]) -> list[bytes]:
    return [one.block.partition(b"\r\n\r\n")[2] for one in found if one.error is None]


@pytest.mark.parametrize("name", FORMS)
def test_records_as_they_stand(name: str) -> None:
    found = read(joined(name), name)
    assert [(one.at, one.type, one.error) for one in found] == [(at, "response", None) for at in places(name)[:-1]]
    assert [one.url for one in found] == [f"http://h.example/{number}" for number in range(7)]
    assert bodies(found) == BODIES
    assert found[0].headers["warc-date"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("name", FORMS)
@given(st.data())
def test_a_record_belongs_to_one_range_however_the_archive_is_cut(name: str, data: st.DataObject) -> None:
    whole = joined(name)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6))
    edges = [0, *sorted(cuts), len(whole)]
    parts = [one for start, end in itertools.pairwise(edges) for one in read(whole, name, start, end)]
    assert parts == read(whole, name)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=150)
@given(st.data())
def test_damage_costs_what_it_touches_and_says_so(name: str, data: st.DataObject) -> None:
    whole = bytearray(joined(name))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found, edges = read(bytes(whole), name), places(name)
    (hit,) = (number for number, (start, end) in enumerate(itertools.pairwise(edges)) if start <= at < end)
    touched = {hit} if name.endswith(".gz") else {hit - 1, hit, hit + 1}  # without checksums a length may mislead
    for number, body in enumerate(BODIES):
        assert body in bodies(found) or number in touched
    if name.endswith(".gz"):
        assert [one.at for one in found if one.error] == [edges[hit]] or bodies(found) == BODIES


@pytest.mark.parametrize("name", FORMS)
def test_cut_off(name: str) -> None:
    edges = places(name)
    for end in (edges[3] + 40, edges[4] - 1, edges[4] - 30):
        found = read(joined(name)[:end], name)
        assert bodies(found)[:3] == BODIES[:3]
        last = found[-1]
        assert last.at == edges[3] and (last.error or len(found) == 4)
    assert "byte" in str(read(joined(name)[: edges[4] - 30], name)[-1].error)


@pytest.mark.parametrize("name", FORMS)
def test_a_hole(name: str) -> None:
    edges, whole = places(name), joined(name)
    found = read(whole[: edges[2] + 30] + whole[edges[5] - 7 :], name)
    assert bodies(found) == [*BODIES[:2], *BODIES[5:]]
    assert [one.at for one in found if one.error] == [edges[2]]


def test_of_a_damaged_member_its_header_is_still_told() -> None:
    name, edges = "a.warc.gz", places("a.warc.gz")
    whole = bytearray(joined(name))
    whole[edges[6] - 6] ^= 1  # the checksum of record 5
    (lost,) = [one for one in read(bytes(whole), name) if one.error]
    assert (lost.type, lost.url) == ("response", "http://h.example/5")
    assert lost.error == f"damaged archive: bytes {edges[5]} to {edges[6]} hold no whole record"


@pytest.mark.parametrize("tail", [b"\0" * 2000, b"\r\n\r\n"])
@pytest.mark.parametrize("name", FORMS)
def test_padding_is_no_damage(name: str, tail: bytes) -> None:
    assert read(joined(name) + tail, name) == read(joined(name), name)


@pytest.mark.parametrize("name", FORMS)
def test_what_is_no_archive_is_one_gap(name: str) -> None:
    (gap,) = read(b"no archive at all" * 99, name)
    assert (gap.at, gap.type, gap.error) == (0, "", "damaged archive: bytes 0 to 1683 hold no whole record")
    assert read(b"", name) == []


def test_a_header_that_lies_about_its_length_swallows_nothing() -> None:
    length = b"\r\nContent-Length: %d\r\n\r\nHTTP"
    true = len(RECORDS[1].partition(b"\r\n\r\n")[2]) - 4
    for lie in (b"9" * 18, b"-5", b"", b"%d" % (true - 3), b"%d" % (true + 300)):
        altered = RECORDS[1].replace(length % true, b"\r\nContent-Length: " + lie + b"\r\n\r\nHTTP")
        assert altered != RECORDS[1]
        for name, form in FORMS.items():
            found = read(b"".join(map(form, [RECORDS[0], altered, *RECORDS[2:]])), name)
            assert [body for body in BODIES if body in bodies(found)] == [BODIES[0], *BODIES[2:]], (name, lie)
            assert any(one.error for one in found), (name, lie)


def test_an_empty_member_hides_nothing() -> None:
    data = [gzip.compress(data, mtime=0) for data in RECORDS]
    found = read(b"".join([*data[:3], gzip.compress(b""), *data[3:]]), "a.warc.gz")
    assert bodies(found) == BODIES


def test_compressed_as_a_whole_is_refused() -> None:
    with pytest.raises(PoolError, match=r"x\.warc\.gz: compressed as a whole.*fastwarc recompress"):
        read(gzip.compress(b"".join(RECORDS)), "x.warc.gz")


def test_a_header_longer_than_allowed_is_damage() -> None:
    long = record([f"X-{number}: {'y' * 99}" for number in range(999)], b"")
    for name, form in FORMS.items():
        found = read(form(RECORDS[0]) + form(long) + form(RECORDS[2]), name)
        assert bodies(found) == [BODIES[0], BODIES[2]]
        assert len([one for one in found if one.error]) == 1


def test_only_what_is_wanted_is_read() -> None:
    found = list(Archive(io.BytesIO(joined("a.warc.gz")), "a.warc.gz").records(0, 1 << 40))
    assert [one.block for one in found] == [b""] * 7
    big = record_of(Response("http://h.example/big", b"x" * (archive.FIRST * 3)))
    (one,) = Archive(io.BytesIO(big), "a.warc").records(0, 1 << 40, lambda _: 0)
    assert len(one.block) == archive.FIRST
    (one,) = Archive(io.BytesIO(big), "a.warc").records(0, 1 << 40, lambda _: archive.FIRST + 5)
    assert len(one.block) == archive.FIRST + 5 and one.length > archive.FIRST * 3


class Counting(io.BytesIO):
    """It knows how many bytes were read."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_records_that_each_claim_the_rest_of_the_archive_are_not_each_read_to_its_end() -> None:
    size, number = 20_000_000, 500
    head = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: %d\r\n\r\n" % (size - 200 * number)
    file = Counting(((head + b"x\r\n\r\n") * number).ljust(size - 4, b"x") + b"\r\n\r\n" + RECORDS[0])
    found = list(Archive(file, "x.warc").records(0, 1 << 40, everything))
    assert [one.error is None for one in found] == [False] * number + [True]
    assert file.count < number * 5 * (archive.FIRST + archive.MAX_HEAD) + 3 * size  # once each: 10 GB


@pytest.mark.parametrize("between", [b"", b"\n", b"\r\n", b"\r\n\r\n\r\n"])
def test_what_stands_between_large_records_does_not_matter(between: bytes) -> None:
    large = [record_of(Response("http://h.example/", bytes([65 + at]) * (2 * archive.FIRST))) for at in range(3)]
    found = read(between.join(one.removesuffix(b"\r\n\r\n") for one in large), "x.warc")
    assert [(one.error, len(one.block)) for one in found] == [(None, found[0].length)] * 3


@pytest.mark.parametrize("name", FORMS)
def test_a_range_without_a_record_is_not_searched_beyond_its_end(name: str) -> None:
    file = Counting(joined(name) + b"\x1f\x8b\x08WARC/1.0\r\n" * 500_000 + joined(name))
    assert list(Archive(file, name).records(1_000_000, 1_100_000)) == []
    assert file.count < 1_000_000


def test_bytes_that_look_like_members_are_no_records() -> None:
    (gap,) = read(archive.GZIP * 300_000, "x.warc.gz")
    assert gap.error == "damaged archive: bytes 0 to 900000 hold no whole record"


@pytest.mark.parametrize("name", FORMS)
def test_a_record_at_the_edge_of_a_window_is_found(name: str) -> None:
    for before in range(archive.FIRST - 12, archive.FIRST + 2):
        whole = b"no archive" + b"x" * (before - 10 - 4) + b"\r\n\r\n" + joined(name)
        assert bodies(read(whole, name)) == BODIES


@pytest.mark.parametrize("name", FORMS)
def test_a_gap_is_told_once_however_the_archive_is_cut(name: str) -> None:
    edges = places(name)
    whole = joined(name)[: edges[3]] + b"garbage" * 3000 + b"\r\n\r\n" + joined(name)[edges[3] :]
    for cut in (edges[2] + 1, edges[3], edges[3] + 1, edges[3] + 9000, edges[3] + 21_000, edges[3] + 21_200):
        parts = read(whole, name, 0, cut) + read(whole, name, cut)
        assert bodies(parts) == BODIES
        assert [one.at for one in parts if one.error] == [edges[3]]


def test_a_member_with_a_long_header_of_its_own_is_found() -> None:
    packed = gzip.compress(RECORDS[0], mtime=0)
    named = packed[:3] + b"\x08" + packed[4:10] + b"n" * 500 + b"\0" + packed[10:]
    assert bodies(read(b"garbage" * 9 + named, "a.warc.gz")) == BODIES[:1]


class Failing(io.BytesIO):
    """A store that goes away in the middle."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 200:
            raise OSError("the network is gone")
        return super().read(size)


@pytest.mark.parametrize("name", FORMS)
def test_an_error_of_the_store_is_not_taken_for_damage(name: str) -> None:
    with pytest.raises(OSError, match="the network is gone"):
        list(Archive(Failing(joined(name) * 40), name).records(0, 1 << 40, everything))
