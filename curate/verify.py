"""Proves a run from its files: the accounting, row alignment, checksums, the exported samples, the deny list.

Each check reads what is at rest, never what the run said about itself, and yields one clear line per violation.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.deny import read_deny
from curate.errors import RunError
from curate.inspect import Run
from curate.pool import Facts, Shard
from curate.schema import COMPUTED, DROPPED, ERROR, FAILED, KEPT, state_column
from stages.export.documents.obelics import ObelicsParquet
from stages.export.documents.obelics import documents_in as documents_in_parquet
from stages.export.documents.packed import Packed
from stages.export.documents.packed import documents_in as documents_in_arrow
from stages.export.documents.webdataset import Webdataset as Documents
from stages.export.documents.webdataset import documents_in as documents_in_tar

Held = tuple[str, tuple[str, ...]]
"""A sample in an export: its uid and, of a document, those of its nodes."""


def verify(run: Run) -> list[str]:
    """Violations, one line each; empty when all holds."""
    unreadable = list(_ledgers(run))
    if unreadable:
        return unreadable  # every other check reads them
    return [*_accounting(run), *_families(run), *_alignment(run), *_exports(run), *_denied(run)]


def _ledgers(run: Run) -> Iterator[str]:
    """Every ledger file is there and opens."""
    for shard in run.shards:
        try:
            run.shard_ledger(shard)
        except RunError as error:
            yield str(error)
        except pa.ArrowInvalid as error:
            yield f"shard {shard.number}: its ledger cannot be read: {error}"


def _accounting(run: Run) -> Iterator[str]:
    """entered == kept + dropped + failed, per record and in sum, and the manifest says the same."""
    manifest = run.manifest
    if manifest.get("status") != "complete":
        yield f"run {run.name}: its status is {manifest.get('status')!r}, not complete: run it to its end"
        return
    fates: Counter[str] = Counter()
    entered = 0
    for shard in run.shards:
        expected = next(e["rows"] for e in manifest["pool"]["shards"] if e["number"] == shard.number)
        table = run.storage.read_table(f"{run.folder}/ledger/{shard.number:08d}.parquet")
        index = run.pool.read_index(shard, ["uid"]).slice(0, expected)
        if table.num_rows != expected:
            yield f"shard {shard.number}: {expected} records entered, the ledger has {table.num_rows}"
            continue
        if table["row"].to_pylist() != list(range(expected)) or not table["uid"].equals(index["uid"]):
            yield f"shard {shard.number}: the ledger is not in the order of the index"
        entered += expected
        for row in table.to_pylist():
            fates[row["fate"]] += 1
            yield from _fate(shard.number, row)
    counted = {KEPT: fates[KEPT], DROPPED: fates[DROPPED], FAILED: fates[FAILED]}
    said = {
        KEPT: manifest["kept"],
        DROPPED: sum(manifest["dropped"].values()),
        FAILED: sum(manifest["failed"].values()),
    }
    if sum(fates.values()) != entered or set(fates) - set(counted):
        yield f"entered {entered} != kept + dropped + failed {dict(fates)}"
    if said != counted or manifest["entered"] != entered:
        yield f"the manifest says {said} of {manifest['entered']}, the ledger {counted} of {entered}"


def _fate(shard: int, row: dict[str, Any]) -> Iterator[str]:
    """A fate has its reason, and only kept samples are exported."""
    place = f"shard {shard} row {row['row']} ({row['uid'].hex()})"
    if row["fate"] == DROPPED and not row["rule"]:
        yield f"{place}: dropped without a rule"
    if row["fate"] == FAILED and not row["error"]:
        yield f"{place}: failed without an error"
    if (row["fate"] == KEPT) != (row["times"] > 0):
        yield f"{place}: {row['fate']} but exported {row['times']} times"


def _families(run: Run) -> Iterator[str]:
    """A kept node is exported as often as its document."""
    for shard in run.shards:
        times, parents = run.shard_ledger(shard)["times"].to_pylist(), _parents(run, shard)
        for row, parent in enumerate(parents):
            if parent is not None and times[row] not in (0, times[parent]):
                yield f"shard {shard.number} row {row}: exported {times[row]} times, its document {times[parent]}"


def _parents(run: Run, shard: Shard) -> list[int | None]:
    """For each row of the ledger the row of its document; None: it is a document, or a pair."""
    entered = run.shard_ledger(shard).num_rows
    if not shard.kinds:
        return [None] * entered
    return list(run.pool.read_index(shard, ["parent"])["parent"].to_pylist()[:entered])


def _alignment(run: Run) -> Iterator[str]:
    """Facts files are as committed, row by row in index order."""
    prints = [entry["fingerprint"] for entry in run.manifest["signals"]]
    used = {one for found in prints for one in ([found] if isinstance(found, str) else found.values())}
    numbers = {shard.number for shard in run.shards}
    files: dict[str, list[Facts]] = {}
    for facts in run.pool.facts.values():
        if facts.fingerprint in used and facts.shard in numbers:
            files.setdefault(facts.file, []).append(facts)
    shards = {shard.number: shard for shard in run.shards}
    for path, held in sorted(files.items()):
        facts = held[0]
        if not run.storage.exists(path):
            yield f"{path}: committed, but gone"
            continue
        data = run.storage.read(path)
        if hashlib.sha256(data).hexdigest() != facts.sha256:
            yield f"{path}: its checksum is not the committed one"
            continue
        table = pq.read_table(pa.BufferReader(data), columns=["row", *(state_column(one.label) for one in held)])
        if table["row"].to_pylist() != list(range(shards[facts.shard].rows)):
            yield f"{path}: its rows are not those of the index"
        for one in held:
            known = sum(state in (COMPUTED, ERROR) for state in table[state_column(one.label)].to_pylist())
            if known != one.computed + one.errors:
                yield f"{path}: {one.label} has {known} rows, {one.computed + one.errors} were committed"


def _exports(run: Run) -> Iterator[str]:
    """Every shard has its checksum, and holds each kept sample exactly as often as the ledger says."""
    ordered = run.recipe.header.export.place is None
    wanted = _wanted(run, ordered)
    for kind, shards in run.manifest.get("exports", {}).items():
        found: Counter[Held] = Counter()
        for shard in shards:
            path = f"{run.folder}/export/{kind}/{shard['name']}"
            if not run.storage.exists(path):
                yield f"{path}: exported, but gone"
                continue
            data = run.storage.read(path)
            if hashlib.sha256(data).hexdigest() != shard["sha256"]:
                yield f"{path}: its checksum is not the exported one"
                continue
            samples = [(uid, nodes if ordered else tuple(sorted(nodes))) for uid, nodes in exported(kind, data)]
            if len(samples) != shard["samples"]:
                yield f"{path}: holds {len(samples)} samples, not {shard['samples']}"
            found.update(samples)
        yield from _compare(kind, found, wanted)
        known = {shard["name"] for shard in shards}
        suffix = shards[0]["name"].rsplit(".", 1)[-1] if shards else ""
        for name in run.storage.list(f"{run.folder}/export/{kind}"):
            if suffix and name.endswith(f".{suffix}") and name not in known:
                yield f"export {kind}: {name} belongs to no export of this run"


def _wanted(run: Run, ordered: bool) -> Counter[Held]:
    """What the ledger says is exported, and how often; of a document with the nodes that are kept."""
    wanted: Counter[Held] = Counter()
    for shard in run.shards:
        ledger, parents = run.shard_ledger(shard), _parents(run, shard)
        uids, times = [uid.hex() for uid in ledger["uid"].to_pylist()], ledger["times"].to_pylist()
        nodes: dict[int, list[str]] = {}
        for row, parent in enumerate(parents):
            if parent is not None and times[row]:
                nodes.setdefault(parent, []).append(uids[row])
        for row, parent in enumerate(parents):
            if parent is None and times[row]:
                own = nodes.get(row, [])
                wanted[uids[row], tuple(own if ordered else sorted(own))] += times[row]
    return wanted


def _compare(kind: str, found: Counter[Held], wanted: Counter[Held]) -> Iterator[str]:
    """Violations by sample: how often it is there, else which nodes of a document are not those that are kept."""
    times = [Counter[str](), Counter[str]()]
    for total, held in zip(times, (found, wanted), strict=True):
        for (uid, _), n in held.items():
            total[uid] += n
    there, kept = ({uid: nodes for uid, nodes in one - other} for one, other in ((found, wanted), (wanted, found)))
    for uid in sorted({*there, *kept}):
        if times[0][uid] != times[1][uid]:
            yield f"export {kind}: {uid} is there {times[0][uid]} times, the ledger says {times[1][uid]}"
            continue
        lost, added = (
            [node for node in one[uid] if node not in other[uid]] for one, other in ((kept, there), (there, kept))
        )
        what = f"lacks {lost[:3]} and has {added[:3]}" if lost or added else "has its nodes in another order or number"
        yield f"export {kind}: the document {uid} {what}"


def exported(kind: str, data: bytes) -> Iterator[Held]:
    """Each sample in one exported file."""
    if kind == Documents.format:
        read = documents_in_tar(data)
    elif kind == ObelicsParquet.format:
        read = documents_in_parquet(data)
    elif kind == Packed.format:
        read = documents_in_arrow(data)
    else:
        read = ((uid, ()) for uid in exported_uids(kind, data))
    yield from read


def exported_uids(kind: str, data: bytes) -> Iterator[str]:
    """Uids of the pairs in one exported file."""
    if kind == "webdataset":
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    file = tar.extractfile(member)
                    assert file is not None
                    yield json.loads(file.read())["uid"]
    elif kind in ("parquet", "reference"):
        yield from pq.read_table(pa.BufferReader(data), columns=["uid"])["uid"].to_pylist()
    else:
        from stages.export.ffcv import beton_uids

        yield from beton_uids(data)


def _denied(run: Run) -> Iterator[str]:
    """Proof of absence: no exported sample is on the deny list as it stands now."""
    deny = read_deny(run.storage, run.recipe.header.deny)
    if not deny.entries:
        return
    for shard in run.shards:
        table = run.storage.read_table(f"{run.folder}/ledger/{shard.number:08d}.parquet")
        index = run.pool.read_index(shard).slice(0, table.num_rows)
        for match, fate, uid in zip(
            deny.match(index), table["fate"].to_pylist(), table["uid"].to_pylist(), strict=True
        ):
            if match is not None and fate == KEPT:
                yield f"{uid.hex()} is on the deny list by its {match}, and kept: run the recipe again"
