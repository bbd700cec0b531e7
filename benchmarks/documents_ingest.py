"""Documents per second and peak memory of WARC ingest, by size of the archive: `python -m benchmarks documents_ingest`.

The embedded archives, copied 4, 16 and 64 times under hosts of their own into one archive, are ingested shard by shard in
a fresh process of one core; its peak resident memory is that of reading, parsing, finding images and writing tars, the
parser's process counted apart. Beside it, in the same run: the same pages taken through the parser alone, and the records
of the same archive read by FastWARC, by our reader above it, and by warcio. Rounds take turns and the fastest counts.
"""

from __future__ import annotations

import gzip
import json as jsonlib
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.data.warcs import Response, write_warc
from stages.html.page import extract
from stages.ingest.archive import Archive
from stages.ingest.response import parse
from stages.ingest.warc import Warc

SAMPLE = Path(__file__).parents[1] / "manifests/sample/documents"
COPIES, ROUNDS = (4, 16, 64), 3
MEGABYTES_PER_SHARD = 4.0
"""Small, so that the smallest archive is several shards as well."""
HOST = b"python-skimage-doc.example"


def sample() -> list[Response]:
    """Every answer of the embedded archives."""
    found = []
    for path in sorted(SAMPLE.glob("*.warc.gz")):
        with path.open("rb") as file:
            for record in Archive(file, str(path)).records(0, 1 << 62, lambda _: 1 << 62):
                answer = parse(record.block)
                if answer is not None:
                    found.append(Response(record.url, answer.body, answer.media_type, answer.status))
    return found


def write(path: Path, answers: list[Response], copies: int) -> None:
    """The answers that many times, each time under another host."""
    write_warc((_moved(answer, number) for number in range(copies) for answer in answers), path)


def _moved(answer: Response, number: int) -> Response:
    host = f"{number}.example"
    body = answer.body.replace(HOST, host.encode()) if answer.media_type == "text/html" else answer.body
    return Response(answer.url.replace(HOST.decode(), host), body, answer.media_type, answer.status)


def ingested(path: Path) -> dict[str, float]:
    """Seconds, documents and peak memory (MB) of a process that ingests the archive; the parser's own process apart."""
    source, documents = Warc(path=str(path), megabytes_per_shard=MEGABYTES_PER_SHARD), 0
    units, started = source.units(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for unit in units:
            rows = source.ingest(unit, Path(folder) / "shard.tar").rows
            documents += rows["kind"].to_pylist().count("document")
    seconds = time.perf_counter() - started
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "documents": documents, "shards": len(units), "peak_mb": own}


def measure(path: Path) -> dict[str, float]:
    """`ingested`, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(ingested, (path,))


def parsed(answers: list[Response], copies: int) -> float:
    """Seconds of the parser alone."""
    started = time.perf_counter()
    for _ in range(copies):
        for answer in answers:
            if answer.media_type == "text/html":
                extract(answer.body, answer.url)
    return time.perf_counter() - started


def by_ours(path: Path) -> int:
    """Records, read whole by ours."""
    with path.open("rb") as file:
        return sum(len(record.block) for record in Archive(file, str(path)).records(0, 1 << 62, lambda _: 1 << 62))


def by_fastwarc(path: Path) -> int:
    """The same by FastWARC alone."""
    from fastwarc.warc import ArchiveIterator

    with path.open("rb") as file:
        return sum(len(record.reader.read(record.content_length)) for record in ArchiveIterator(file, parse_http=False))


def by_warcio(path: Path) -> int:
    """The same by warcio, whose blocks of answers begin behind the HTTP head."""
    from warcio.archiveiterator import ArchiveIterator

    with path.open("rb") as file:
        return sum(len(record.raw_stream.read()) for record in ArchiveIterator(file))


def by_gzip(path: Path) -> int:
    """Python's gzip, which reads no records: only what unpacking costs."""
    with gzip.open(path) as file:
        return sum(len(data) for data in iter(lambda: file.read(1 << 20), b""))


READERS: dict[str, Callable[[Path], int]] = {
    "ours": by_ours, "FastWARC alone": by_fastwarc, "warcio": by_warcio, "gzip alone": by_gzip,
}  # fmt: skip


def fastest(path: Path) -> dict[str, float]:
    """Seconds per reader."""
    times = dict.fromkeys(READERS, float("inf"))
    for _ in range(ROUNDS):
        for name, read in READERS.items():
            started = time.perf_counter()
            read(path)
            times[name] = min(times[name], time.perf_counter() - started)
    return times


def main(json: bool = False) -> None:
    """Print documents per second and peak memory per size, and seconds per reader."""
    answers = sample()
    with tempfile.TemporaryDirectory() as folder:
        for copies in COPIES:
            path = Path(folder) / f"{copies}.warc.gz"
            write(path, answers, copies)
            row = measure(path) | {"parser_seconds": parsed(answers, copies), "megabytes": path.stat().st_size / 1e6}
            if json:
                print(jsonlib.dumps({"benchmark": "documents_ingest", "copies": copies, **row}), flush=True)
            else:
                print(
                    f"{row['megabytes']:7.0f} MB archive, {row['shards']:3.0f} shards: peak {row['peak_mb']:5.0f} MB, "
                    f"{row['documents'] / row['seconds']:5.0f} documents/s "
                    f"(the parser alone {row['documents'] / row['parser_seconds']:5.0f})",
                    flush=True,
                )
        times = fastest(Path(folder) / f"{COPIES[1]}.warc.gz")
    if json:
        print(jsonlib.dumps({"benchmark": "documents_ingest", "reading": times}))
        return
    for name, seconds in times.items():
        print(f"{name:>16}: {seconds:6.3f} s for {COPIES[1]} copies, {seconds / times['ours']:5.2f} of ours")


if __name__ == "__main__":
    main()
