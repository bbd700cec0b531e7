"""The program that parses HTML: a child process of bounded memory and time. Read and written by `stages.html.tree`.

It reads pages from its standard input and writes each one's tree, serialised, to its standard output; both are frames of
8 bytes of length (little endian) and the bytes, in UTF-8. An answer begins with `=` (the tree) or `!` (why there is none).
A page that takes more CPU time than `seconds` ends the process, and so does one that overflows the parser's stack; one
that needs more than `memory` bytes is answered with `!`.
"""

from __future__ import annotations

import resource
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resiliparse.parse.html import HTMLTree


def serialised(tree: HTMLTree) -> str:
    """The tree as markup. In `<script><!-- <script></script> --></script>` the first end is none; such a script loses its
    text, lest a reader of the markup takes the rest of it for the page's."""
    markup = str(tree)
    root = tree.document
    if root is None or not holds_script(markup):
        return markup
    for script in root.get_elements_by_tag_name("script"):
        if "</script" in (script.text or "").lower():
            script.text = ""
    return str(tree)


def holds_script(markup: str) -> bool:
    """Whether there may be a script that holds another in a comment."""
    start = markup.find("<script")
    while start >= 0:
        end = markup.find("</script", start)
        comment = markup.find("<!--", start, end)
        if comment >= 0 and "<script" in markup[comment:end].lower():
            return True
        start = markup.find("<script", end) if end >= 0 else -1
    return False


def main(memory: int, seconds: float, longest: int) -> None:
    """Answers until the input ends. `longest`: most bytes of an answer."""
    from resiliparse.parse.html import HTMLTree

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(head := pages.read(8)) == 8:
        page = pages.read(int.from_bytes(head, "little"))
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)  # CPU time, not the clock: a loaded machine decides nothing
        try:
            tree = serialised(HTMLTree.parse_from_bytes(page, "utf-8")).encode()
            answer = b"=" + tree if len(tree) < longest else b"!its tree is longer than %d bytes" % longest
        except MemoryError:
            answer = b"!its tree does not fit %d bytes of memory" % memory
        except Exception as error:  # whatever the parser raises is about this page
            answer = b"!" + f"{type(error).__name__}: {error}".encode("utf-8", "replace")
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        answers.write(len(answer).to_bytes(8, "little") + answer)
        answers.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
