"""URL lists through the real img2dataset, from a real web server with the manners of the web."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from curate.errors import EnvironmentFault, PoolError
from stages.ingest import fetch
from stages.ingest.download import check_url, is_offline
from stages.ingest.pack import image_format
from stages.ingest.urls import UrlList

Answers = dict[str, str | None]
WAYS = {
    "ok/a.jpg": None,
    "ok/b.jpg": None,
    "none": "download: HTTP Error 404: Not Found",
    "redirect/ok/a.jpg": None,
    "to/http://127.0.0.1:{port}/ok/a.jpg": "download: refused: 127.0.0.1 is at 127.0.0.1, which is no public address",
    "to/file:///etc/passwd": "download: HTTP Error 302: Found - Redirection to url 'file:///etc/passwd' is not allowed",
    "to/ftp://localhost/x": "download: unknown url type: ftp",
    "optout": "download: Use of image disallowed by X-Robots-Tag directive",
    "html": None,
    "large": "download: refused: the answer is larger than 1000000 bytes",
    "drip": "download: refused: no complete answer within 4 s",
}
OTHERS = {
    "http://127.0.0.1:{port}/ok/a.jpg": "download: refused: 127.0.0.1 is at 127.0.0.1, which is no public address",
    "http://localhost:1/x": "download: [Errno 111] Connection refused",
    "file:///etc/passwd": "refused: file: only http and https are fetched",
    "data:image/png;base64,AA==": "refused: data: only http and https are fetched",
    "": "refused: there is no URL",
}


def answers(port: int) -> Answers:
    """What is asked for, and with which error it is answered."""
    asked = {f"http://localhost:{port}/{way}": error for way, error in WAYS.items()} | OTHERS
    return {url.replace("{port}", str(port)): error for url, error in asked.items()}


def write_list(path: Path, asked: Mapping[str, str | None]) -> Path:
    rows = [{"url": url, "text": f"caption {i}", "uid": f"{i:032x}"} for i, url in enumerate(asked)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"url": "http://localhost/", "text": None}]))
    return path


def url_list(path: Path, **fields: Any) -> UrlList:
    limits: dict[str, Any] = {
        "timeout": 5,
        "deadline": 4,
        "retries": 0,
        "max_megabytes": 1,
        "allow_private": ("localhost",),
    }
    return UrlList(path=str(path), **(limits | fields))


def test_the_web_as_it_is(
    tmp_path: Path, site: tuple[int, list[str]], images: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, agents = site
    asked = answers(port)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # behind one, addresses could not be checked
    source = url_list(write_list(tmp_path / "list.jsonl", asked), contact="mailto:me@example.org")
    (unit,) = source.units()
    target = tmp_path / "x.tar"
    rows = source.ingest(unit, target).rows.to_pylist()
    data = target.read_bytes()

    assert unit.name == "list.jsonl/00000000"
    assert [row["key"] for row in rows] == [f"list.jsonl/{i:010d}" for i in range(len(asked) + 1)]
    assert {row["url"]: row["error"] for row in rows[:-1]} == asked
    assert rows[-1]["error"] == "no caption (column 'text' is empty)"
    assert [row["text"] for row in rows[:-1]] == [f"caption {i}" for i in range(len(asked))]
    assert [row["uid"].hex() for row in rows[:-1]] == [f"{i:032x}" for i in range(len(asked))]
    got = [data[row["offset"] : row["offset"] + row["size"]] for row in rows if row["offset"] is not None]
    assert got == [images["a.jpg"], images["b.jpg"], images["a.jpg"], b"<html>not an image</html>"]
    assert set(agents) == {agents[0]}
    assert "compatible; curate;" in agents[0] and agents[0].endswith("(contact: mailto:me@example.org)")


@pytest.mark.slow
def test_concurrency_does_not_show_in_the_bytes(tmp_path: Path, site: tuple[int, list[str]]) -> None:
    asked = {f"http://localhost:{site[0]}/ok/{name}.jpg?{i}": None for i in range(20) for name in "abc"}
    made: list[tuple[pa.Table, bytes]] = []
    for processes, threads in ((1, 1), (3, 8)):
        source = url_list(write_list(tmp_path / "list.jsonl", asked), processes=processes, threads=threads)
        target = tmp_path / f"{len(made)}.tar"
        rows = source.ingest(source.units()[0], target).rows
        made.append((rows, target.read_bytes()))
    assert made[0][0].equals(made[1][0]) and made[0][1] == made[1][1]


@pytest.mark.slow
def test_scaled_down(tmp_path: Path, site: tuple[int, list[str]]) -> None:
    asked = {f"http://localhost:{site[0]}/{way}": None for way in ("ok/a.jpg", "html")}
    source = url_list(write_list(tmp_path / "list.jsonl", asked), image_size=8)
    target = tmp_path / "x.tar"
    rows = source.ingest(source.units()[0], target).rows.to_pylist()
    image = target.read_bytes()[rows[0]["offset"] : rows[0]["offset"] + rows[0]["size"]]
    assert Image.open(io.BytesIO(image)).size == (16, 8)
    assert rows[1]["error"] == "download: Image decoding error"


@pytest.mark.slow
def test_fetching_ends_with_whoever_started_it(tmp_path: Path, site: tuple[int, list[str]]) -> None:
    asked = {f"http://localhost:{site[0]}/drip?{i}": None for i in range(4)}
    path = write_list(tmp_path / "list.jsonl", asked)
    code = (
        "import sys; from pathlib import Path; from stages.ingest.urls import UrlList\n"
        "source = UrlList(path=sys.argv[1], allow_private=True, deadline=50)\n"
        "source.ingest(source.units()[0], Path(sys.argv[1]).with_name('x.tar'))\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, str(path)], env=os.environ | {"TMPDIR": str(tmp_path)})
    assert wait_for(lambda: len(fetchers(tmp_path)) > 2)  # its spawned processes included
    starter.kill()
    starter.wait()
    assert wait_for(lambda: fetchers(tmp_path) == [])


def fetchers(folder: Path) -> list[int]:
    """Processes that work inside the folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            inside = link.readlink().is_relative_to(folder)
        except OSError:  # it has ended, or is another user's
            continue
        if inside:
            found.append(int(link.parent.name))
    return found


def wait_for(condition: Any) -> bool:
    for _ in range(300):
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_a_fetcher_that_fails_is_the_environments_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = url_list(write_list(tmp_path / "list.jsonl", {"http://localhost/": None}))
    (unit,) = source.units()
    monkeypatch.setattr(fetch, "__file__", str(tmp_path / "none.py"))
    with pytest.raises(EnvironmentFault, match=r"img2dataset failed with exit code 2; it said: .*none\.py"):
        source.ingest(unit, tmp_path / "x.tar")


def test_nothing_to_fetch_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "__file__", str(tmp_path / "none.py"))
    source = url_list(write_list(tmp_path / "list.jsonl", {"ftp://h/": None}))
    assert source.ingest(source.units()[0], tmp_path / "x.tar").rows["offset"].null_count == 2


@pytest.mark.parametrize(
    ("other", "first", "expected"),
    [
        ("http://b/", "download: [Errno -3] Temporary failure in name resolution", True),
        ("http://a/2", "download: [Errno -3] Temporary failure in name resolution", False),  # one host may just be gone
        ("http://b/", "download: HTTP Error 404: Not Found", False),
        ("http://b/", (Path("x.tar"), 0, 1), False),
    ],
)
def test_tells_no_network_from_dead_links(other: str, first: str | tuple[Path, int, int], expected: bool) -> None:
    assert (
        is_offline({0: "http://a/1", 1: other}, {0: first, 1: "download: [Errno 101] Network is unreachable"})
        is expected
    )


def test_units(tmp_path: Path) -> None:
    for name, rows in (("1", 5), ("2", 3)):
        (tmp_path / f"{name}.csv").write_text("URL,TEXT\n" + "".join(f"http://h/{i},t\n" for i in range(rows)))
    source = url_list(tmp_path / "*.csv", rows_per_shard=3)
    units = source.units()
    assert [unit.name for unit in units] == ["1.csv/00000000", "1.csv/00000001", "2.csv/00000000"]
    assert source.units() == units
    assert {unit.stamp for unit in units}.isdisjoint(
        unit.stamp for unit in url_list(tmp_path / "*.csv", rows_per_shard=3, image_size=9).units()
    )


def test_an_empty_table_and_a_wrong_column_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("url,text\n")
    with pytest.raises(PoolError, match="has no rows"):
        url_list(path).units()
    with pytest.raises(PoolError, match=r"no column 'urls'; it has 'url', 'text'. Did you mean 'url'\?"):
        url_list(path, url_column="urls").units()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://example.org/a.jpg", None),
        ("http://[::1", "refused: no URL"),
        ("http://h:99999/", "refused: no URL"),
        ("example.org/a.jpg", "refused: no scheme"),
        ("gopher://h/", "refused: gopher"),
        ("http:///a", "refused: the URL has no host"),
        ("http://h/\r\nX: y", "refused: the URL has no host, is too long, or holds spaces"),
        ("http://h/" + "x" * 9000, "refused: the URL has no host, is too long"),
    ],
)
def test_urls_that_are_not_even_asked_for(url: str, error: str | None) -> None:
    found = check_url(url)
    assert found is None if error is None else (found or "").startswith(error)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not fetch.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address: str) -> None:
    assert fetch.is_public(address)


def test_extensions_follow_the_bytes(tmp_path: Path) -> None:
    for form, suffix in {
        "JPEG": "jpg",
        "PNG": "png",
        "GIF": "gif",
        "WEBP": "webp",
        "BMP": "bmp",
        "TIFF": "tif",
    }.items():
        path = tmp_path / suffix
        Image.new("RGB", (4, 4)).save(path, form)
        assert image_format(path.read_bytes()) == suffix
    assert image_format(b"<html>") is None
