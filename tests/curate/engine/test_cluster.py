"""A run on a Ray cluster that was there before, by its address, with the root on shared storage."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curate.storage import Storage

Write = Callable[..., Path]


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Address of a head node in processes of its own."""
    port = free_port()
    ray = str(Path(sys.executable).with_name("ray"))
    head = subprocess.Popen(
        [
            ray,
            "start",
            "--head",
            "--block",
            f"--port={port}",
            "--num-cpus=2",
            "--include-dashboard=false",
            "--node-ip-address=127.0.0.1",
            f"--temp-dir=/tmp/ray-test-{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
    )
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.5)
    time.sleep(5)  # the port answers before the node manager does
    yield f"127.0.0.1:{port}"
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on a moto server, found by every process through the environment."""
    import boto3
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()  # it may remember another test's server

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "FSSPEC_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket="curation")
    yield "s3://curation/work"
    server.stop()


@pytest.mark.slow
def test_a_run_on_a_cluster_by_its_address(write_recipe: Write, bucket: str, cluster: str) -> None:
    """The cluster's workers inherit this test's environment, so they find the store."""
    recipe = write_recipe(compute="all")
    line = [sys.executable, "-m", "curate.cli", "run", str(recipe), "--root", bucket, "--address", cluster]
    done = subprocess.run(line, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert Storage(bucket).exists("runs/small/report.html")
    assert "entered       120" in done.stdout


@pytest.mark.slow
def test_no_cluster_at_the_address_is_said_within_a_minute(write_recipe: Write, bucket: str) -> None:
    line = [sys.executable, "-m", "curate.cli", "run", str(write_recipe()), "--root", bucket]
    line += ["--address", f"127.0.0.1:{free_port()}"]
    started = time.monotonic()
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 3, done.stderr
    assert "no Ray cluster answers at 127.0.0.1" in done.stderr
    assert time.monotonic() - started < 100
