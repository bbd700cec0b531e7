"""The root on an S3-compatible server: the same bytes, with Ray workers and inline; a lost store is one clear error."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import curate
from curate.errors import EnvironmentFault
from curate.storage import Storage
from curate.verify import verify

Write = Callable[..., Path]
EXPORT = {"samples_per_shard": 30, "formats": [{"step": "stages.export.webdataset.Webdataset"}]}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """URL of an empty bucket on a moto server on loopback; the environment makes s3fs find it, in workers too."""
    import boto3
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()  # it may remember another test's server

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("FSSPEC_S3_ENDPOINT_URL", endpoint)
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="curation")
        yield "s3://curation"
    server.stop()


def exported(root: str) -> dict[str, bytes]:
    """Ledger and shards."""
    storage = Storage(root)
    names = [
        f"runs/small/{folder}/{name}"
        for folder in ("ledger", "export/webdataset")
        for name in storage.list(f"runs/small/{folder}")
    ]
    return {name: storage.read(name) for name in names if name.endswith((".parquet", ".tar"))}


@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.slow)])
def test_root_on_s3_gives_the_same_bytes(write_recipe: Write, root: str, bucket: str, executor: str) -> None:
    recipe = write_recipe(compute="all", export=EXPORT)
    curate.run(recipe, root=root, executor="inline", quiet=True)
    remote = f"{bucket}/{executor}"
    result = curate.run(recipe, root=remote, executor=executor, quiet=True)
    assert result["report"] == f"{remote}/runs/small/report.html"
    assert exported(remote) == exported(root)
    assert len(exported(root)) > 3
    assert verify(curate.open_run(result["run"])) == []
    assert sum(curate.run(recipe, root=remote, executor=executor, quiet=True)["computed"].values()) == 0


def test_a_store_that_does_not_answer_is_one_clear_error(
    write_recipe: Write, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        curate.run(write_recipe(), root=f"{bucket}-lost/work", executor="inline", quiet=True)


def test_a_remote_cluster_cannot_use_a_local_root(write_recipe: Write, root: str) -> None:
    with pytest.raises(EnvironmentFault, match="cannot see the local folder"):
        curate.run(write_recipe(), root=root, executor="ray", address="127.0.0.1:1", quiet=True)


def test_memory_is_refused_with_ray(write_recipe: Write) -> None:
    with pytest.raises(EnvironmentFault, match="per process"):
        curate.run(write_recipe(), root="memory://work", executor="ray", quiet=True)
