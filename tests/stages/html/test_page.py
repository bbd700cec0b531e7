"""What becomes of which markup: the table of docs/methods/html-extraction.md, case by case."""

from __future__ import annotations

import base64

import pytest

from stages.html.node import Node, Page
from stages.html.page import extract
from stages.html.tables import LONGEST_CELL

URL = "https://example.org/docs/page.html"
HERE = "https://example.org/docs/"


def page(html: str) -> Page:
    return extract(html.encode(), URL)


def nodes(html: str) -> list[Node]:
    return page(html).nodes


def texts(html: str) -> list[str | None]:
    return [node.text for node in nodes(html) if node.kind == "text"]


def outline(html: str) -> list[str]:
    """Texts as they are, images as [their URL's last part]."""
    return [
        str(node.text) if node.kind == "text" else f"[{(node.url or '').removeprefix(HERE)}]" for node in nodes(html)
    ]


def only(html: str) -> Node:
    (node,) = nodes(html)
    return node


def test_a_page_in_reading_order() -> None:
    found = page(
        "<!doctype html><html lang='en-GB'><head><title> A &amp; B\n</title><link rel='canonical' href='/c'>"
        "<link rel=alternate hreflang=de href=de.html><script>var x = '<p>no</p>';</script><style>p{}</style></head>"
        "<body><h1>Cats</h1><p>One <b>big</b>\n cat&nbsp;&mdash; <i>asleep</i>.<!-- no --></p><img src=cat.jpg alt='A  cat'>"
        "<p>Two.</p></body>"
    )
    assert (found.title, found.language, found.charset) == ("A & B", "en-GB", "utf-8")
    assert found.canonical == "https://example.org/c"
    assert found.alternates == {"de": HERE + "de.html"}
    assert [(node.kind, node.tag, node.path, node.text) for node in found.nodes] == [
        ("text", "h1", "0", "Cats"),
        ("text", "p", "1", "One big cat — asleep."),
        ("image", "img", "2", "A cat"),
        ("text", "p", "3", "Two."),
    ]
    assert found.nodes[2].url == HERE + "cat.jpg"
    assert [(node.url, alt) for node, alt in found.alt_texts()] == [(HERE + "cat.jpg", "A cat")]


def test_the_title_may_be_missing() -> None:
    assert page("<p>x<h1>The <i>heading</i></h1>").title == "The heading"
    assert page("<svg><title>of a drawing</title></svg><p>x").title == ""
    assert page('<html xml:lang="fr"><p>x').language == "fr"
    assert page('<meta http-equiv=Content-Language content="it, en"><p>x').language == "it"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("a<span>b</span><em>c</em> d", ["abc d"]),
        ("<div>a<div>b</div>c</div>", ["a", "b", "c"]),
        ("a<p>b<p>c", ["a", "b", "c"]),
        ("a<br>b<br>\n c", ["a\nb\nc"]),
        ("a<br><br>b<br> <br><br>c", ["a", "b", "c"]),
        ("a<hr>b", ["a", "b"]),
        ("<p>東京　大阪\n京都", ["東京　大阪 京都"]),
        ("<p> \n&nbsp; </p>", []),
        ("x &lt;b&gt; &amp;lt; &#x1F600; &copy;", ["x <b> &lt; 😀 ©"]),
        ("a<wbr>b&shy;c", ["ab\xadc"]),
        ("<h2>x</h2><blockquote>y</blockquote><dl><dt>t<dd>d</dl>", ["x", "y", "t", "d"]),
        ("<details><summary>s</summary>hidden until opened</details>", ["s", "hidden until opened"]),
        ("<my-card>a</my-card>b", ["ab"]),
        ("p\0q", ["pq"]),
        ("<math alttext='x^2 &lt; y'><mi>x</mi></math> holds", ["x^2 < y holds"]),
        ("<math><mi>x</mi><annotation encoding=TeX>\\x</annotation></math>", ["x"]),
    ],
)
def test_text(html: str, expected: list[str]) -> None:
    assert texts(html) == expected


def test_preformatted_text_keeps_its_white_space() -> None:
    node = only("<div><pre class=x>\n<span>def</span> f():\n    return <b>1</b>  \n\n  # end<br>x\n</pre></div>")
    assert (node.tag, node.text) == ("pre", "def f():\n    return 1  \n\n  # end\nx")
    assert texts("<pre><div>one</div><div>two</div><p>three</p></pre>after") == ["one\ntwo\nthree", "after"]
    assert texts("a<pre>b <pre>c</pre> d</pre>e") == ["a", "b \nc\n d", "e"]


def test_lists_have_markers() -> None:
    assert texts("<ul><li>a<li><b>b</b></ul>") == ["- a", "- b"]
    assert texts("<ol><li>a<li value=7>b<li>c</ol>") == ["1. a", "7. b", "8. c"]
    assert texts("<ol start=5 reversed><li>a<li>b</ol><ol reversed><li>c</ol>") == ["5. a", "4. b", "- c"]
    assert texts("<ul><li>a<ol><li>b<ul><li>c</ul></ol>d</ul>") == ["- a", "  1. b", "    - c", "d"]
    assert texts("<ol><li><p>a</p><p>b</p><li><h3>c</h3>d</ol>") == ["1. a", "b", "c", "d"]
    assert texts("<li>stray") == ["- stray"]
    assert [node.tag for node in nodes("<ul><li><p>a</p><p>b</ul>")] == ["li", "p"]
    assert texts("<ul><li><img src=a>") == []
    assert texts("<ol start=x><li>a</ol>") == ["- a"]


def test_a_table_of_data_is_one_text() -> None:
    found = nodes(
        "<p>before</p><table><caption>Sizes</caption><thead><tr><th>Name<th>Size</thead><tbody><tr><td>cat<br>small<td>3"
        "<tr><td><img src=a.png><td>4<tr><td>dog<td></table>after"
    )
    assert [(node.tag, node.text) for node in found] == [
        ("p", "before"),
        ("caption", "Sizes"),
        ("table", "Name | Size\ncat small | 3\n | 4\ndog"),
        ("img", None),
        ("body", "after"),
    ]
    assert (found[2].path, found[3].caption) == ("1", "Sizes")


@pytest.mark.parametrize(
    "html",
    [
        "<table><tr><td>a<td>b</table>",  # one row
        "<table><tr><td>a<tr><td>b</table>",  # one column
        "<table><tr><td><p>a</p><p>b</p><td>c<tr><td>d<td>e</table>",
        "<table><tr><td><ul><li>a</ul><td>c<tr><td>d<td>e</table>",
        "<table><tr><td><pre>a</pre><td>c<tr><td>d<td>e</table>",
        "<table><tr><td><h2>a</h2><td>c<tr><td>d<td>e</table>",
        f"<table><tr><td>{'a' * (LONGEST_CELL + 1)}<td>c<tr><td>d<td>e</table>",
        "<table><tr><td><table><tr><td>a</table><td>c<tr><td>d<td>e</table>",
    ],
)
def test_a_table_that_lays_out_is_read_cell_by_cell(html: str) -> None:
    assert all(node.tag != "table" for node in nodes(html))
    assert len(nodes(html)) >= 2


def test_a_table_inside_a_layout() -> None:
    inner = "<table><tr><td>1<td>2<tr><td>3<td>4</table>"
    assert texts(f"<table><tr><td>menu<td>{inner}<tr><td>x<td>y</table>") == ["menu", "1 | 2\n3 | 4", "x", "y"]


def test_figures_give_captions() -> None:
    found = nodes(
        "<figure><img src=a.png><img src=b.png><figcaption>Two <b>cats</b><p>and more</figcaption></figure><img src=c.png>"
    )
    assert [node.caption for node in found if node.kind == "image"] == ["Two cats and more"] * 2 + [None]
    assert [(node.tag, node.text) for node in found if node.kind == "text"] == [
        ("figcaption", "Two cats"),
        ("figcaption", "and more"),
    ]
    nested = nodes(
        "<figure><figure><img src=a.png><figcaption>in</figcaption></figure><img src=b.png><figure><img src=c.png></figure>"
        "<figcaption>out</figcaption></figure>"
    )
    assert [node.caption for node in nested if node.kind == "image"] == ["in", "out", "out"]
    above = nodes("<figure><figcaption>first</figcaption><div><img src=a.png></div></figure>")
    assert above[1].caption == "first"


def test_images_do_not_shred_paragraphs() -> None:
    assert outline("<p>Press <img src=i.png> and <img src=j.png> to go.</p><p>Next.") == [
        "Press and to go.",
        "[i.png]",
        "[j.png]",
        "Next.",
    ]
    assert outline("<p><img src=i.png> Press.</p>") == ["[i.png]", "Press."]
    assert outline("<p>One<br><img src=i.png><br>Two") == ["One", "[i.png]", "Two"]
    assert outline("<p>One<br><br><img src=i.png>Two") == ["One", "[i.png]", "Two"]
    inline = nodes("<div><p>Press <b><img src=i.png></b> now")
    assert [node.path for node in inline] == ["0.0", "0.0.0.0"]  # the image's path goes on from the text's


def test_every_image_is_a_node_or_counted() -> None:
    found = page(
        "<img><img src=''><img src=a.png width=1 height=1><img src=b.png style='display:none'><img src=c.png hidden>"
        "<div hidden><img src=d.png width=9 height=9></div><div aria-hidden=true><img src=e.png width=9>text</div>"
        "<video><img src=f.png>text</video><noscript><img src=g.png height=1 width=1>text</noscript>"
        "<template><img src=no.png></template><svg><image href=no.png></svg><amp-img src=h.png></amp-img>"
        "<iframe><img src=no.png></iframe><!-- <img src=no.png> --><script>'<img src=no.png>'</script>"
        "<template shadowrootmode=open><img src=i.png>shadow</template>"
    )
    images = [node for node in found.nodes if node.kind == "image"]
    assert [(node.url or "").removeprefix(HERE) for node in images] == [
        "", "", "a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "g.png", "h.png", "i.png",
    ]  # fmt: skip
    assert [(node.width, node.height) for node in images[2:7]] == [(1, 1), (0, 0), (0, 0), (0, 0), (9, None)]
    assert [node.error for node in images[:2]] == ["it has no src"] * 2
    assert [node.text for node in found.nodes if node.kind == "text"] == ["shadow"]


def test_alt_texts_are_missing_empty_or_there() -> None:
    assert [node.text for node in nodes("<img src=a><img src=b alt><img src=c alt=' x\n&amp;y '>")] == [
        None,
        "",
        "x &y",
    ]


def test_pictures_and_late_images() -> None:
    chosen = only(
        "<picture><source srcset='a.webp 400w, b.webp 1600w' type=image/webp><source srcset=c.jpg media='(x)'>"
        "<img src=d.jpg alt=x></picture>"
    )
    assert chosen.url == HERE + "b.webp"
    assert chosen.others == (HERE + "a.webp", HERE + "d.jpg", HERE + "c.jpg")
    assert only("<video><source srcset=a.mp4></video><img src=d.jpg>").others == ()
    assert (
        only("<img class=lazy src=data:image/gif;base64,R0lG data-src=/real.jpg>").url == "https://example.org/real.jpg"
    )


def test_data_is_kept() -> None:
    node = only(f"<img src='data:image/png;base64,{base64.b64encode(b'bytes').decode()}'>")
    assert (node.url, node.data, node.error) == (None, b"bytes", None)


@pytest.mark.parametrize(
    ("html", "urls", "merged"),
    [
        ("<img data-src=a.png><noscript><img src=a.png></noscript>", ["a.png"], 1),
        ("<img src=data:,x>\n <noscript><img src=a.png></noscript>", ["a.png"], 1),
        ("<noscript><img src=a.png></noscript><img data-src=a.png src=data:,>", ["a.png"], 1),
        ("text <img><noscript><img src=a.png></noscript> text", ["a.png"], 1),
        ("<img src=b.png><noscript><img src=a.png></noscript>", ["b.png", "a.png"], 0),
        ("<img data-src=a.png>text<noscript><img src=a.png></noscript>", ["a.png", "a.png"], 0),
        ("<img src=a.png><img src=a.png>", ["a.png", "a.png"], 0),
    ],
)
def test_copies_for_browsers_without_scripts_are_merged(html: str, urls: list[str], merged: int) -> None:
    found = page(f"<body>{html}")
    assert [(node.url or "").removeprefix(HERE) for node in found.nodes if node.kind == "image"] == urls
    assert found.merged == merged


def test_base_counts_for_what_stood_before_it_too() -> None:
    found = page("<p><img src=a.png><base href='http://cdn.example/x/'><base href='http://no.example/'>")
    assert found.nodes[0].url == "http://cdn.example/x/a.png"


@pytest.mark.parametrize(
    ("html", "link"),
    [
        ("<p><a href=x>all</a></p>", "x"),
        ("<p> <b><a href=x>all</a></b>\n</p>", "x"),
        ("<a href=x><p>all</p></a>", "x"),
        ("<p><a href=x>one</a> <a href=y>two</a></p>", "x"),
        ("<p><a href=x>one</a>, <a href=y>two</a></p>", None),
        ("<p>not <a href=x>all</a></p>", None),
        ("<p><a href=x>not</a> all</p>", None),
        ("<p><a name=x>none</a></p>", None),
        ("<p><a href=x></a>empty</p>", None),
        ("<p><a href='javascript:go()'>script</a></p>", None),
        ("<ul><li><a href=x>item</a></ul>", "x"),
    ],
)
def test_texts_that_are_links(html: str, link: str | None) -> None:
    assert only(html).link == (link and HERE + link)


def test_a_sign_that_links_to_its_own_heading_is_no_text() -> None:
    heading = only("<h2>Dilation<a class=headerlink href='#dilation' title=Permalink>¶</a></h2>")
    assert (heading.text, heading.link) == ("Dilation", None)
    assert texts("<p>See <a href='law.html'>§</a> and <a href='#one'>one</a>, or ¶.") == ["See § and one, or ¶."]
    assert texts("<h2><a href='#a'>#</a> Name</h2>") == ["Name"]


def test_a_link_ends_with_its_text() -> None:
    found = nodes("<a href=x><p>one</p></a><p>two</p><nav><a href=y>three</a></nav><a href=z><img src=i.png></a>")
    assert [node.link for node in found] == [HERE + "x", None, HERE + "y", HERE + "z"]
    table = only("<table><tr><td><a href=x>a</a><td><a href=y>b</a><tr><td><a href=z>c</a><td><a href=z>d</a></table>")
    assert table.link == HERE + "x"


@pytest.mark.parametrize(
    ("html", "region"),
    [
        ("<nav>x</nav>", "nav"),
        ("<div role=navigation><p>x</div>", "nav"),
        ("<header>x</header>", "header"),
        ("<article><header>x</header></article>", None),
        ("<main><section><footer>x</footer></section></main>", "main"),
        ("<main><nav>x</nav></main>", "nav"),
        ("<aside><p>x</p></aside>", "aside"),
        ("<div role=contentinfo>x</div>", "footer"),
        ("<footer><form>x</form></footer>", None),
        ("<div role=presentation>x</div>", None),
        ("<p>x", None),
    ],
)
def test_regions(html: str, region: str | None) -> None:
    assert only(html).region == region


def test_a_form_is_a_part_unless_it_is_the_page() -> None:
    assert [node.region for node in nodes("<p>a<p>b<form>c<img src=a></form><p>d")] == [
        None,
        None,
        "form",
        "form",
        None,
    ]
    assert [node.region for node in nodes("<form><nav>menu</nav><p>a<p>b<p>c</form><p>d")] == [
        "nav",
        None,
        None,
        None,
        None,
    ]


def test_a_region_ends_before_what_follows() -> None:
    assert [(node.text, node.region) for node in nodes("a<nav>b</nav>c<div role=banner>d</div>e")] == [
        ("a", None), ("b", "nav"), ("c", None), ("d", "header"), ("e", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "hidden",
    [
        "<div hidden>no</div>",
        "<p style='color:red; Display:\tnone'>no</p>",
        "<span style='visibility: hidden'>no</span>",
        "<span aria-hidden=TRUE>no</span>",
        "<select><option>no</select>",
        "<textarea>no</textarea>",
        "<svg><text>no</text><style>no</style></svg>",
        "<noscript>no</noscript>",
        "<template>no<p>no</template>",
        "<script>no</script><style>no</style><iframe>no</iframe>",
        "<xmp>no <p>no</xmp>",
        "<audio>no<p>no</p></audio>",
    ],
)
def test_what_is_not_displayed_is_left_out(hidden: str) -> None:
    assert texts(f"<div>a {hidden}</div>") == ["a"]
    assert texts(f"<body>{hidden}<p>b") == ["b"]


def test_hidden_text_does_not_split_a_sentence() -> None:
    assert texts("<p>one <span hidden><i>no</i></span><template><div>no</div></template>two") == ["one two"]


def test_a_noscript_in_the_head_ends_at_what_is_not_of_the_head() -> None:
    found = page("<head><noscript><link><img src=a.png width=1></noscript><title>t</title></head><p>b")
    assert (found.title, [node.kind for node in found.nodes]) == ("t", ["image", "text"])


def test_what_a_search_may_find_and_what_a_script_reveals_is_displayed() -> None:
    assert texts("<div hidden=until-found>a</div>") == ["a"]
    assert texts("<body style='visibility:hidden'>a") == ["a"]


def test_broken_markup_is_read_as_browsers_read_it() -> None:
    assert texts("<p>a<b>b<p>c</b>d<li>e</p></div>f<table>g<tr><td>h</table>") == ["ab", "cd", "- e", "fg", "h"]
    assert texts("<p a\"b='>' <x>y</p z>w") == ["y", "w"]
    assert texts("<a<b>c</a<b>d") == ["cd"]
    assert texts("<script><!--<script></script><p>no</p>--></script>yes") == ["yes"]
    assert texts("<plaintext><p>all the rest") == []
    assert nodes("<frameset><frame src=a></frameset>") == []
    assert nodes("") == []


def test_real_pages(embedded_pages: list[tuple[str, bytes]]) -> None:
    """Of each embedded page every <img> has its node, and every image is in the archive or elsewhere on the web."""
    for url, html in embedded_pages:
        found = extract(html, url)
        images = [node for node in found.nodes if node.kind == "image"]
        assert len(images) + found.merged == html.count(b"<img")
        assert found.title and found.language == "en"
        assert all(node.url and node.error is None for node in images)
        assert any(node.tag == "h1" for node in found.nodes)
        assert len({node.path for node in images}) == len(images)


def test_reading_twice_gives_the_same(embedded_pages: list[tuple[str, bytes]]) -> None:
    url, html = embedded_pages[0]
    assert extract(html, url) == extract(html, url)
