"""A page's tree, as browsers build it, written out as regular markup.

The parser is resiliparse's (lexbor, by the WHATWG's algorithm). What it builds is serialised: elements closed, attributes
quoted, entities resolved. One regular expression then walks over it faster than Python walks over the tree's nodes.

HTML's algorithm lets a small page build a huge tree (8 kB of unclosed <font> give 5 MB of elements, 33 kB 1.8 GB), some
of its steps are quadratic, and lexbor recurses into <template>: 100,000 of them end the process. So the parser lives in a
child process (`stages.html.parser`) of bounded memory and CPU time; such a page ends the child at worst, and is refused.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from curate.errors import EnvironmentFault, MissingExtra, SampleError

MEMORY: Final = 2 << 30
"""Bytes of address space that the parser may have."""
SECONDS: Final = 10.0
"""CPU time per page. A page of 16 MB that is not built to hurt takes 0.3 s."""
LONGEST: Final = 64 << 20
"""Most bytes of a serialised tree."""


class _Parser:
    """The child process, started when it is first needed and again after a page has ended it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.others: list[subprocess.Popen[bytes] | None] = []

    def ask(self, page: bytes) -> tuple[bytes, int]:
        """(answer, 0), or if the child died of the page (b"", its exit code)."""
        with self.lock:
            process = self._running()
            assert process.stdin and process.stdout
            answer: bytes | None = None
            try:
                process.stdin.write(len(page).to_bytes(8, "little") + page)  # at once: the child wakes up once
                process.stdin.flush()
                head = process.stdout.read(8)
                answer = process.stdout.read(int.from_bytes(head, "little"))
            except BrokenPipeError:
                answer = b""
            finally:
                if answer is None:  # interrupted: an answer that nobody took would be the next page's
                    process.kill()
                    self._stop()
            return answer, 0 if answer else self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            if importlib.util.find_spec("resiliparse") is None:
                raise MissingExtra("resiliparse", extra="documents")
            program = [sys.executable, "-P", str(Path(__file__).with_name("parser.py"))]
            self.process = subprocess.Popen(
                [*program, str(MEMORY), str(SECONDS), str(LONGEST)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=1 << 16,  # what a pipe holds
            )
        return self.process

    def _stop(self) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        assert process.stdin and process.stdout
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        return process.wait()

    def forget(self) -> None:
        """In a fork: the child is the parent's, who may be talking to it. It is kept, for to drop it is to wait for it."""
        self.others.append(self.process)
        self.process, self.lock = None, threading.Lock()

    def close(self) -> None:
        """Ends the child."""
        with self.lock:
            self._stop()


_PARSER = _Parser()
os.register_at_fork(after_in_child=_PARSER.forget)


def close() -> None:
    """Ends the parser's process; the next page starts another."""
    _PARSER.close()


atexit.register(close)


def normalise(page: str) -> str:
    """The page's tree from <html> on, serialised.

    Raises:
        SampleError: the tree is too large, takes too long, or ends the parser.
        EnvironmentFault: someone else ends the parser, again and again.
        MissingExtra: resiliparse is not installed.
    """
    markup = page.encode("utf-8", "replace")
    for _ in range(3):
        answer, code = _PARSER.ask(markup)
        if answer[:1] == b"=":
            return answer[1:].decode()
        if answer:
            raise SampleError(f"HTML: {answer[1:].decode('utf-8', 'replace')}")
        if code != -signal.SIGKILL:
            raise SampleError(
                f"HTML: it takes more than {SECONDS:g} s to parse, or nests too deeply (exit code {code})"
            )
    raise EnvironmentFault("the HTML parser was killed from outside, three times; is there enough memory?")
