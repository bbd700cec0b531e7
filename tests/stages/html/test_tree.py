from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import EnvironmentFault, SampleError
from stages.html import parser, tree
from stages.html.markup import VOID, tokens
from stages.html.tree import normalise

MARKUP = st.text(alphabet="<>/='\"!-? \n&;aApbisvgtdTr\0é", max_size=120)


def test_a_tree_is_regular_markup() -> None:
    assert normalise("<p a=1 b='\"<>&'>x<br>&nbsp;&lt;<b>y") == (
        '<html><head></head><body><p a="1" b="&quot;&lt;&gt;&amp;">x<br>&nbsp;&lt;<b>y</b></p></body></html>'
    )


@given(MARKUP)
def test_tags_balance_and_attributes_hold_no_angle(page: str) -> None:
    """What `stages.html.markup` counts on, of any markup but that of elements whose content stays as it was."""
    open_tags: list[str] = []
    for _, slash, tag, attrs, _ in tokens(normalise(page)):
        assert ">" not in attrs
        if slash:
            assert open_tags.pop() == tag
        elif tag and tag not in VOID:
            open_tags.append(tag)
    assert not open_tags


def test_a_script_that_holds_a_script() -> None:
    assert normalise("<body><script><!--<script></script><p>no--></script>").endswith(
        "<body><script></script></body></html>"
    )
    assert "<!--<script>" in normalise("<body><script><!--<script></script>".replace("</script>", "") + "--></script>x")


@pytest.mark.parametrize(
    "page",
    [
        "<template>" * 100_000,  # ends lexbor's stack
        "<p>" + "".join(f"<font a={n}>" for n in range(4000)) + "<p>x" * 4000,  # 67 kB that become gigabytes
        "<p>" + "".join(f"<font a={n}>" for n in range(1400)) + "<p>x" * 1400,  # a tree of 42 MB: it is read
    ],
)
def test_a_page_that_hurts_is_refused_and_the_next_one_is_read(page: str) -> None:
    try:
        assert len(normalise(page)) < tree.LONGEST
    except SampleError as error:
        assert str(error).startswith("HTML: ")
    assert normalise("<p>x") == "<html><head></head><body><p>x</p></body></html>"


def test_a_page_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SECONDS", 0.2)
    tree.close()
    with pytest.raises(SampleError, match=rf"exit code -{signal.SIGVTALRM:d}"):
        normalise("<p " + " ".join(f"a{n}" for n in range(40_000)) + ">")  # each attribute is compared with all before
    monkeypatch.undo()
    tree.close()
    assert normalise("<p>x")


def test_a_tree_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "LONGEST", 1000)
    tree.close()
    with pytest.raises(SampleError, match="longer than 1000 bytes"):
        normalise("x" * 2000)
    monkeypatch.undo()
    tree.close()


def parser_process() -> psutil.Process:
    living = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    (process,) = (child for child in living if "parser.py" in " ".join(child.cmdline()))
    return process


def test_a_parser_that_someone_killed_is_replaced() -> None:
    normalise("<p>x")
    first = parser_process()
    first.kill()
    while first.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert normalise("<p>x").endswith("<p>x</p></body></html>")
    assert parser_process().pid != first.pid


def test_an_interrupted_page_leaves_no_answer_to_the_next() -> None:
    normalise("<p>x")
    page = "<p>" + "".join(f"<font a={n}>" for n in range(1000)) + "<p>x" * 1000  # takes a while
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    threading.Timer(0.02, os.kill, [os.getpid(), signal.SIGUSR1]).start()
    with pytest.raises(KeyboardInterrupt):
        normalise(page)
    signal.signal(signal.SIGUSR1, before)
    assert normalise("<p>y") == "<html><head></head><body><p>y</p></body></html>"


def test_a_machine_that_kills_every_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree._PARSER, "ask", lambda page: (b"", -signal.SIGKILL))
    with pytest.raises(EnvironmentFault, match="killed from outside"):
        normalise("<p>x")


def test_threads_share_a_parser() -> None:
    pages = [f"<p>{n}" for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(normalise, pages)) == [normalise(page) for page in pages]


def test_a_fork_has_a_parser_of_its_own() -> None:
    normalise("<p>x")
    program = (
        "import os, sys; from stages.html.tree import normalise; normalise('x'); child = os.fork();"
        "ok = all(f'>{n}<' in normalise(str(n) * 9).replace(str(n) * 9, str(n)) for n in range(1, 9));"
        "code = 0 if child == 0 else os.waitpid(child, 0)[1]; sys.stdout.flush(); os._exit(0 if ok and code == 0 else 1)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(tree.__file__).parents[2], check=True)


def test_the_parser_imports_nothing_of_the_project() -> None:
    source = Path(parser.__file__).read_text()
    assert not re.search(r"^\s*(from|import) (curate|stages|filters)", source, re.M)
