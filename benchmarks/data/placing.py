"""Where each row of the embedded sample goes: split, uid and url in its json, shard and place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from benchmarks.data.row import CLEAN, SEED, Row, draw

SHARDS = 4
NEAR = 6  # bits of perceptual hash within which two images count as near duplicates
_COPIES = ("exact_duplicate", "near_duplicate")
_MUST_PRECEDE = (*_COPIES, "duplicate_uid")


def without_lookalikes(rows: Iterable[Row]) -> list[Row]:
    """Drop each faulty row that looks like a row which it is no planted copy of; clean rows come first and stay."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda one: (one.fault != CLEAN, one.name)):
        look = row.look
        twin = look and any(old.look and old.name != row.mate and look.distance(old.look) <= NEAR for old in kept)
        if not twin or row.fault in _COPIES:
            kept.append(row)
    return kept


def with_meta(rows: list[Row]) -> list[Row]:
    """Add what `key.json` holds: source, path, licence, title, split, for some a uid or a url."""
    uids = {row.name: _uid(row.name) for row in rows if draw(row.name, "has uid") % 10 < 3}
    for row in rows:
        if row.fault == "duplicate_uid":
            uids[row.name] = uids[row.mate] = _uid(row.mate)
    by_name = {row.name: row for row in rows}
    return [replace(row, meta=_meta(row, by_name, uids)) for row in rows]


def split_of(row: Row) -> str:
    """`test` for one group of look-alikes in five, by a hash of its perceptual hash; `train` for the rest."""
    group = f"{row.look.hashes[0]:016x}" if row.look else row.name
    return "test" if draw(group, "split") % 5 == 0 else "train"


def deal(rows: list[Row]) -> list[list[Row]]:
    """Four shards in hashed order: each fault is dealt round over all of them, an original lies before its copies."""
    shards: list[list[Row]] = [[] for _ in range(SHARDS)]
    latest: dict[str, int] = {}  # original -> the first shard that holds a copy of it
    seen: dict[str, int] = {}
    for row in sorted(rows, key=lambda one: (one.fault == CLEAN, draw(one.name, "deal"))):
        turn = seen[row.fault] = seen.get(row.fault, -1) + 1
        shard = turn % (latest.get(row.name, SHARDS - 1) + 1)
        if row.fault in _MUST_PRECEDE:
            latest[row.mate] = min(shard, latest.get(row.mate, SHARDS - 1))
        shards[shard].append(row)
    return [_originals_first(sorted(shard, key=lambda one: draw(one.name, "place"))) for shard in shards]


def _originals_first(shard: list[Row]) -> list[Row]:
    place = {row.name: index for index, row in enumerate(shard)}
    for row in list(shard):
        first, second = place.get(row.mate), place[row.name]
        if row.fault in _MUST_PRECEDE and first is not None and first > second:
            shard[first], shard[second] = shard[second], shard[first]
            place[row.mate], place[row.name] = second, first
    return shard


def _meta(row: Row, rows: dict[str, Row], uids: dict[str, str]) -> dict[str, str]:
    group = rows[row.mate] if row.fault in _COPIES else row
    meta = {**row.meta, "source": row.source, "path": row.path, "licence": row.licence, "split": split_of(group)}
    if row.name in uids:
        meta["uid"] = uids[row.name]
    if draw(row.name, "has url") % 7 == 0:
        meta["url"] = f"https://images.example.org/{row.source}/{row.path}"  # a reserved domain: nobody answers there
    return meta


def _uid(name: str) -> str:
    return hashlib.sha256(f"{SEED} uid {name}".encode()).hexdigest()[:32]
