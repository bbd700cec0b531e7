"""Finds the sample over which a native decoder crashes or hangs: tries each in a child process.

Run as `python -m curate.engine.probe` it reads steps and images from standard input, names each image before it tries
it, and so leaves its last word when it dies.
"""

from __future__ import annotations

import pickle
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO

from curate.contracts import DECODED, Batch, Signal
from curate.engine.boundary import attempt
from curate.errors import EnvironmentFault
from curate.image import decode


def find_crashers(
    blobs: Mapping[int, bytes], steps: Sequence[Signal], max_megapixels: float, timeout: float
) -> dict[int, str]:
    """Row -> error, for the images that end a child process or outlast `timeout` seconds in it."""
    guilty: dict[int, str] = {}
    rows = list(blobs)
    while rows:
        last, error = _try([(row, blobs[row]) for row in rows], steps, max_megapixels, timeout)
        if last is None:
            break
        guilty[last] = error
        rows = rows[rows.index(last) + 1 :]
    return guilty


def _try(
    images: list[tuple[int, bytes]], steps: Sequence[Signal], max_megapixels: float, timeout: float
) -> tuple[int | None, str]:
    """The first row that ends the child, and how; None when the child gets through."""
    command = [sys.executable, "-m", "curate.engine.probe"]
    with tempfile.TemporaryFile() as work:
        pickle.dump((images, list(steps), max_megapixels), work)
        work.seek(0)
        # unbuffered, so that a line waits where `select` sees it
        child = subprocess.Popen(command, stdin=work, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
    with child:
        assert child.stdout
        last: int | None = None
        while True:
            line = _line(child.stdout, timeout if last is not None else timeout + 60)
            if line is None:
                child.kill()
                return last, f"hung: no answer from its decoder within {timeout:g} s"
            if line == b"done\n":
                return None, ""
            if not line:
                code = child.wait()
                if code in (-signal.SIGKILL, -signal.SIGTERM):  # nobody's decoder does that to itself
                    raise EnvironmentFault(
                        "the child that tries images was killed, out of memory perhaps; run it again"
                    )
                return last, f"crashed its decoder ({'signal' if code < 0 else 'exit'} {abs(code)})"
            last = int(line)


def _line(stream: IO[bytes], timeout: float) -> bytes | None:
    """The next line, b"" at the end, None when there is none in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return stream.readline() if selector.select(timeout) else None


def main() -> None:
    """The child: our own parent's pickle comes in, row numbers go out."""
    images, steps, max_megapixels = pickle.loads(sys.stdin.buffer.read())
    levels = {step.image for step in steps} & set(DECODED) or {"thumb"}
    for row, blob in images:
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
        for level in sorted(levels):
            image, _ = attempt(lambda blob=blob, level=level: decode(blob, level, max_megapixels), "probe")  # type: ignore[misc]
            for step in steps if image is not None else ():
                if step.image == level and step.lane == "cpu":
                    attempt(lambda step=step, image=image: step.compute(Batch({}, [image])), "probe")  # type: ignore[misc]
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
