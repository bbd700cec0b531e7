"""Keeps a root small: `gc` removes what nothing refers to, `compact` merges small files."""

from __future__ import annotations

from typing import Any

from curate.errors import Locked
from curate.lock import RunLock
from curate.pool import Pool
from curate.storage import TEMPORARY, Storage, default_root


def _pools(storage: Storage) -> list[Pool]:
    return [Pool.open(storage, name) for name in storage.list("pool")]


def _refuse_running(storage: Storage) -> None:
    held = [run for run in storage.list("runs") if RunLock(storage, f"runs/{run}/lock").held()]
    if held:
        raise Locked(f"runs {', '.join(held)} hold the root; wait for them, or run them to their end")


def collect_garbage(root: str | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Remove facts of changed or lost shards, superseded files, parts, attempt markers, spills and temporary files."""
    storage = Storage(root or default_root())
    _refuse_running(storage)
    stale: list[str] = []
    for pool in _pools(storage):
        live = _live_files(pool)
        for folder in ("facts", "index", "shards"):
            stale += [path for path in _files(storage, f"{pool.folder}/{folder}") if path not in live]
    for folder in ("spill", "scratch"):
        stale += [path for run in storage.list("runs") for path in _files(storage, f"runs/{run}/{folder}")]
    stale += _files(storage, TEMPORARY)
    stale = sorted(set(stale))
    size = sum(int(storage.fs.size(storage.path(path)) or 0) for path in stale)
    if not dry_run:
        storage.remove(stale)
    return {"files": stale, "bytes": size}


def _live_files(pool: Pool) -> set[str]:
    """Files that the log refers to and that still describe their shard."""
    content = {shard.number: shard.content for shard in pool.shards.values()}
    live = {facts.file for facts in pool.facts.values() if content.get(facts.shard) == facts.content}
    for shard in pool.shards.values():
        live |= {shard.index, shard.tar}
    return live


def _files(storage: Storage, folder: str) -> list[str]:
    """All files below a folder, relative to the root."""
    base = len(storage.base) + 1
    return sorted(str(path)[base:] for path in storage.fs.find(storage.path(folder)))


def compact(root: str | None = None) -> dict[str, str]:
    """Merge each pool's log into one segment; what it said before, it says after."""
    storage = Storage(root or default_root())
    _refuse_running(storage)
    return {pool.name: f"{pool.compact_log()} log segments -> 1" for pool in _pools(storage)}
