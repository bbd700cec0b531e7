"""One driver per run: a lock file with a heartbeat, so that a second driver is refused and a dead one is replaced."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType

from curate.errors import CurateError, Locked
from curate.storage import Storage

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 60.0


def _birth(pid: int) -> str:
    """Start time of a process of this machine, so that a recycled pid is not taken for its former owner."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


class RunLock:
    """Context manager. Entering raises `Locked` while another live driver holds the run.

    A holder on this machine counts as dead as soon as its process is gone; one elsewhere when its heartbeat is older
    than a minute. A driver whose lock was taken over finds `lost` set and must stop committing.
    """

    def __init__(self, storage: Storage, relative: str) -> None:
        self.storage, self.relative = storage, relative
        self.token = uuid.uuid4().hex
        self.lost = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="run-lock")

    def _content(self) -> bytes:
        pid = os.getpid()
        me = {"token": self.token, "host": socket.gethostname(), "pid": pid, "birth": _birth(pid), "beat": time.time()}
        return json.dumps(me).encode()

    def _holder(self) -> dict[str, object] | None:
        try:
            return dict(json.loads(self.storage.read(self.relative)))
        except (FileNotFoundError, ValueError):
            return None

    def held(self) -> bool:
        """Whether a live driver holds it."""
        holder = self._holder()
        return holder is not None and self._alive(holder)

    def _alive(self, holder: dict[str, object]) -> bool:
        if holder.get("host") == socket.gethostname():
            birth = _birth(int(str(holder.get("pid", 0))))
            return bool(birth) and birth == holder.get("birth")
        return time.time() - float(str(holder.get("beat", 0))) < STALE_SECONDS

    def __enter__(self) -> RunLock:
        if not self.storage.create(self.relative, self._content()):
            holder = self._holder()
            if holder is not None and self._alive(holder):
                raise Locked(
                    f"{self.storage.url(os.path.dirname(self.relative))} is held by process {holder.get('pid')} "
                    f"on {holder.get('host')}; wait for it, or end it and run this again"
                )
            self.storage.write(self.relative, self._content())
            self.check()
        self._thread.start()
        return self

    def check(self) -> None:
        """Raise `Locked` if another driver has taken the run over."""
        holder = self._holder()
        if self.lost.is_set() or holder is None or holder.get("token") != self.token:
            self.lost.set()
            raise Locked(f"{self.storage.url(os.path.dirname(self.relative))} was taken over by another driver")

    def _beat(self) -> None:
        beaten = time.monotonic()
        while not self._done.wait(HEARTBEAT_SECONDS):
            try:
                self.check()
                self.storage.write(self.relative, self._content())
                beaten = time.monotonic()
            except Locked:
                return
            except (CurateError, OSError):  # the store may be back at the next beat; others wait for a minute
                if time.monotonic() - beaten > STALE_SECONDS:
                    self.lost.set()
                    return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(timeout=5)
        if not self.lost.is_set():
            self.storage.remove([self.relative])
