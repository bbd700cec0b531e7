"""Downloads of images by img2dataset: limits, manners, and what became of each URL."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from curate.errors import EnvironmentFault, MissingExtra
from stages.ingest import fetch
from stages.ingest.members import members

MAX_URL = 8192
MAX_PIXELS = 100_000_000
OFFLINE = ("Temporary failure in name resolution", "Network is unreachable", "No route to host")

Found = dict[int, tuple[Path, int, int] | str]
"""Number of the URL -> tar, offset and size of its image, or why there is none."""


class Downloads(BaseModel):
    """How images are downloaded. A URL that could not be had has its error, and never stops the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int | None = Field(
        default=None, ge=1, description="shorter side to scale down to; else bytes as they come"
    )
    processes: int = Field(default=1, ge=1)
    threads: int = Field(default=32, ge=1, description="downloads at the same time, per process")
    per_host: int = Field(default=8, ge=1, description="downloads at the same time from one host, per process")
    timeout: float = Field(default=10, gt=0, description="seconds without an answer")
    deadline: float = Field(default=60, gt=0, description="seconds for a whole download")
    retries: int = Field(default=1, ge=0)
    max_megabytes: float = Field(default=64, gt=0, description="larger answers are refused")
    user_agent: str = Field(
        default="curate", pattern=r"^[A-Za-z0-9._-]+$", description="name that X-Robots-Tag may address"
    )
    contact: str = Field(default="", pattern=r"^[!-~ ]*$", description="page or address for owners of sites")
    allow_private: bool | tuple[str, ...] = Field(
        default=False, description="true, or the hosts that may be at private, loopback or link-local addresses"
    )

    def download(self, urls: dict[int, str], folder: Path) -> Found:
        """Fetch the URLs, each under its number, into tars in `folder`. Raises `EnvironmentFault` where the network, the
        disk or img2dataset itself fails."""
        if importlib.util.find_spec("img2dataset") is None:
            raise MissingExtra("img2dataset", "download")
        table, output = folder / "urls.parquet", folder / "shards"
        pq.write_table(pa.table({"row": pa.array(urls, pa.int64()), "url": list(urls.values())}), table)
        output.mkdir()
        rows_per_process = math.ceil(len(urls) / self.processes)
        settings = {
            "guard": {
                "allow_private": self.allow_private,
                "max_bytes": int(self.max_megabytes * 1e6),
                "deadline": self.deadline,
                "per_host": self.per_host,
                "contact": self.contact,
            },
            "download": self._options(table, output, rows_per_process),
        }
        limit = 600 + len(urls) / self.threads * self.deadline * (self.retries + 1)
        log = _run(settings, folder, limit)
        shards = [output / f"{shard:05d}" for shard in range(math.ceil(len(urls) / rows_per_process))]
        return _collect(shards, urls, log)

    def _options(self, table: Path, output: Path, rows: int) -> dict[str, Any]:
        """What img2dataset is called with. Captions stay here, and so does every other column."""
        options: dict[str, Any] = {
            "url_list": str(table),
            "input_format": "parquet",
            "url_col": "url",
            "save_additional_columns": ["row"],
            "output_folder": str(output),
            "output_format": "webdataset",
            "number_sample_per_shard": rows,
            "processes_count": self.processes,
            "thread_count": self.threads,
            "timeout": self.timeout,
            "retries": self.retries,
            "user_agent_token": self.user_agent,
            "extract_exif": False,
            "compute_hash": None,
        }
        if self.image_size is None:
            return options | {"resize_mode": "no", "disable_all_reencoding": True}
        return options | {
            "resize_mode": "keep_ratio",
            "image_size": self.image_size,
            "resize_only_if_bigger": True,
            "max_image_area": MAX_PIXELS,
        }


def check_url(url: str) -> str | None:
    """Why a URL is not even asked for; None: it may be."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"refused: no URL: {error}"
    if not url:
        return "refused: there is no URL"
    if parts.scheme not in ("http", "https"):
        return f"refused: {parts.scheme or 'no scheme'}: only http and https are fetched"
    if not host or len(url) > MAX_URL or re.search(r"[\x00-\x20\x7f]", url):
        return "refused: the URL has no host, is too long, or holds spaces or control characters"
    return None


def fetched(place: tuple[Path, int, int]) -> bytes:
    """The bytes of an image that `Downloads.download` found."""
    tar, offset, size = place
    with tar.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _run(settings: dict[str, Any], folder: Path, limit: float) -> str:
    """Run img2dataset to its end; returns the tail of what it printed. Raises `EnvironmentFault` if it fails."""
    environment = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1", "OPENCV_IO_MAX_IMAGE_PIXELS": str(MAX_PIXELS)}
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", fetch.__file__, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFault(f"img2dataset hung for {limit:.0f} s; run the same command again") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdin:
                process.stdin.close()
    tail = log.read_text(errors="replace")[-2000:]
    if code:
        raise EnvironmentFault(f"img2dataset failed with exit code {code}; it said: {tail}")
    return tail


def _collect(shards: list[Path], urls: dict[int, str], log: str) -> Found:
    """What became of each row. img2dataset survives its own faults (a full disk) silently: a row it lost is one."""
    found: Found = {}
    for shard in shards:
        if not shard.with_name(f"{shard.name}_stats.json").exists():
            raise EnvironmentFault(f"img2dataset did not finish a shard (disk full?); it said: {log}")
        tar = shard.with_suffix(".tar")
        with tar.open("rb") as file:
            places = {
                m.name.partition(".")[0]: (tar, m.offset, m.size) for m in members(file, str(tar)) if _is_image(m.name)
            }
        for row in pq.read_table(shard.with_suffix(".parquet")).to_pylist():
            if row["status"] != "success":
                found[row["row"]] = f"download: {_cause(row['error_message'])}"
            elif row["key"] in places:
                found[row["row"]] = places[row["key"]]
    if len(found) < len(urls):
        raise EnvironmentFault(f"img2dataset lost {len(urls) - len(found)} rows (disk full?); it said: {log}")
    if is_offline(urls, found):
        raise EnvironmentFault("no network: not one host could be reached; run the same command when there is one")
    return found


def is_offline(urls: dict[int, str], found: Found) -> bool:
    """Whether the network is what failed: of several hosts, none could be looked up or reached."""
    several = len({urlsplit(url).hostname for url in urls.values()}) > 1
    return several and all(isinstance(end, str) and any(sign in end for sign in OFFLINE) for end in found.values())


def _is_image(name: str) -> bool:
    return name.endswith(".jpg")


def _cause(message: str | None) -> str:
    """img2dataset's message without urllib's wrapping."""
    text = message or "unknown error"
    match = re.fullmatch(r"<urlopen error (.*)>", text, re.DOTALL)
    return match[1] if match else text
