"""In which encoding a page is: what it is in fact comes before what it says.

After the WHATWG's Encoding standard (byte order mark, HTTP's charset, <meta>, sniffing; labels as browsers read them:
`latin1` is windows-1252, `gb2312` is gb18030), with one difference: bytes that are valid UTF-8 are UTF-8, whatever is
declared. By chance a text of another encoding almost never is, and wrong declarations are common.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from curate.errors import MissingExtra

_BOMS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_BARE_UTF16: Final = ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_META: Final = re.compile(rb"""<meta[^>]{0,500}?charset\s*=\s*["']?\s*([\w.:-]+)""", re.I)
_XML: Final = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]+)""", re.I)
_HEAD: Final = 4096
"""Bytes in which a <meta> is looked for; browsers look at 1024."""
_HIGH: Final = bytes(range(128, 256))

_CODECS: Final = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
}
"""The codec that browsers use for what a page calls so: the vendor's superset."""


def decode(page: bytes, charset: str | None = None) -> tuple[str, str]:
    """The page's text and the name of the codec. What cannot be decoded becomes U+FFFD; nothing raises.

    `charset`: as HTTP's Content-Type says it.
    """
    for bom, codec in _BOMS:
        if page.startswith(bom):
            return page[len(bom) :].decode(codec, "replace"), codec
    for start, codec in _BARE_UTF16:
        if page.startswith(start):
            return page.decode(codec, "replace"), codec
    declared = _codec(charset) or _codec(_declared(page))
    if not _in_disguise(page, declared):
        try:
            return page.decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            pass
    codec = declared if declared and declared != "utf-8" else _guess(page)
    return page.decode(codec, "replace"), codec


def _in_disguise(page: bytes, declared: str | None) -> bool:
    """Whether it is in a declared encoding whose bytes are valid UTF-8 as well: seven bits, or half of them zero."""
    if declared == "iso2022_jp":
        return b"\x1b" in page
    return declared is not None and declared.startswith("utf-16") and b"\0" in page[:64]


def _declared(page: bytes) -> str | None:
    head = page[:_HEAD]
    found = _META.search(head) or _XML.match(head)
    label = found[1].decode("ascii", "replace") if found else ""
    return None if label.lower().startswith("utf-16") else label  # bytes in which <meta> can be read are not UTF-16


def _codec(label: str | None) -> str | None:
    """Python's codec for a label, as browsers read it; None: there is no such encoding (utf-7 is none)."""
    if not label:
        return None
    try:
        from resiliparse.parse.encoding import map_encoding_to_html5
    except ImportError as error:
        raise MissingExtra("resiliparse", extra="documents") from error
    name = map_encoding_to_html5(label.strip(), False)
    codec = _CODECS.get(name, name) if name else None
    try:
        return codecs.lookup(codec).name if codec else None
    except LookupError:
        return None


def _guess(page: bytes) -> str:
    """Of bytes that are not valid UTF-8, and of which no one says that they are anything else."""
    from resiliparse.parse.encoding import detect_encoding

    text = page.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    whole = len(text) - broken - len(page.translate(None, _HIGH))
    if whole >= 10 * broken:  # UTF-8 with a few bytes broken, or cut off
        return "utf-8"
    found = _codec(detect_encoding(page))
    return found if found and found != "utf-8" else "cp1252"
