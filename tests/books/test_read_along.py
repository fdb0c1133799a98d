"""A book to read along: the book's own pages with spans, and SMIL with the times that the chapters have."""

import io
import re
import zipfile

import pytest
from lxml import etree

from pipeline.books.page_spans import Page, find_passages
from pipeline.books.read_along import SpokenChapter, make_read_along

XHTML = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>T</title></head><body>{}</body></html>'
SENTENCES = ["Chapter I.", "The Harbor", "The boat left the harbor early that day.", "“Go,” said Anna.", "So it was."]
PAGE = (
    "<h1>CHAPTER I</h1><h2>The Harbor</h2><p>The <em>boat</em> left the harbor<sup>1</sup> early&#160;that day. "
    "“Go,” said Anna.</p><p>Unread.</p><p>So it <b>was</b>.</p>"
)


def chapter(sentences, number=1, rate=100):
    cues = [
        {
            "utterance_id": f"{n}",
            "text": text,
            "boundary": "sentence",
            "start_sample": 100 * n,
            "end_sample": 100 * n + 50,
        }
        for n, text in enumerate(sentences)
    ]
    return SpokenChapter(number, "The Harbor", cues, rate, lambda: b"sound of %d" % number)


def own_book(page, version="3.0"):
    files = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="o/p.opf"/></rootfiles></container>',
        "o/p.opf": f'<package xmlns="http://www.idpf.org/2007/opf" version="{version}"><metadata/><manifest>'
        '<item id="a" href="text/a.xhtml" media-type="application/xhtml+xml"/><item id="i" href="i.png" '
        'media-type="image/png"/></manifest><spine><itemref idref="a"/></spine></package>',
        "o/text/a.xhtml": XHTML.format(page),
        "o/i.png": "picture",
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return sink.getvalue()


def unpack(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.infolist()[0].filename == "mimetype" and not archive.infolist()[0].compress_type
        return {name: archive.read(name).decode() for name in archive.namelist()}


def plain(text):
    return re.sub("<[^>]*>", "", text)


def test_the_books_own_pages_keep_their_text_and_get_spans_with_times():
    made = make_read_along([chapter(SENTENCES)], own_book(PAGE), {}, "b")
    files = unpack(made.data)
    assert (made.num_marked, made.num_sentences) == (5, 5)
    page, smil = files["o/text/a.xhtml"], files["o/read-along/1.smil"]
    body = page.partition("</head>")[2]
    assert plain(body).split() == plain(XHTML.format(PAGE).partition("</head>")[2]).replace("&#160;", "\xa0").split()
    assert (files["o/i.png"], files["o/read-along/001.m4a"]) == ("picture", "sound of 1")
    spans = dict(re.findall(r'<span id="([^"]*)">([^<]*)</span>', page))
    overlay = etree.fromstring(smil.encode())
    said = []
    for par in overlay.iter("{*}par"):
        text, audio = par
        href, _, anchor = text.get("src").partition("#")
        assert (href, audio.get("src")) == ("../text/a.xhtml", "001.m4a")
        said.append((spans[anchor], audio.get("clipBegin"), audio.get("clipEnd")))
    assert said[:2] == [("CHAPTER I", "0.000s", "0.500s"), ("The Harbor", "1.000s", "1.500s")]
    assert [text for text, *_ in said[2:]] == [
        "The", "boat", "left the harbor", "early\xa0that day.", "“Go,” said Anna.", "So it", "was"
    ]  # fmt: skip
    assert said[2][1] == "2.000s" and said[5][2] == "2.500s", "the pieces of a sentence share its time"
    assert [begin for _, begin, _ in said[3:6]] == [end for _, _, end in said[2:5]]
    package = files["o/p.opf"]
    assert 'href="text/a.xhtml" media-type="application/xhtml+xml" media-overlay="overlay-1"' in package
    assert 'property="media:duration">0:00:02.500<' in package and 'href="read-along/001.m4a"' in package
    assert make_read_along([chapter(SENTENCES)], own_book(PAGE), {}, "b").data == made.data


@pytest.mark.parametrize("own", [None, own_book(PAGE, version="2.0"), own_book("<p>not well formed")])
def test_other_books_have_plain_pages(own):
    made = make_read_along([chapter(SENTENCES), chapter(["It & <that>."], 2)], own, {"title": "T", "artist": "A"}, "b")
    files = unpack(made.data)
    body = files["OPS/001.xhtml"].partition("</head>")[2]
    assert re.sub("<[^>]*>", " ", body).split() == [*" ".join(SENTENCES).split()]
    assert "It &amp; &lt;that&gt;." in files["OPS/002.xhtml"]
    for name, text in files.items():
        if name.endswith(("xhtml", "smil", "opf", "xml")):
            etree.fromstring(text.encode())
    ids, smil = set(re.findall(r'id="(s\d+)"', files["OPS/001.xhtml"])), files["OPS/read-along/001.smil"]
    assert set(re.findall(r'001\.xhtml#(s\d+)"', smil)) == ids == {f"s{n}" for n in range(1, 6)}


def test_what_is_not_in_the_pages_is_not_marked_and_leads_nobody_astray():
    pages = [Page(f"{n}", etree.fromstring(XHTML.format(f"<p>I.</p><p>{text}</p>"))) for n, text in enumerate(
        ("Front matter that nobody reads, I think.", "It was the best of times, it was the worst of times. Yes.",
         "Call me Ishmael, for some years ago I went to sea. Yes."))]  # fmt: skip
    chapters = [["The First", "It was the best of times, it was the worst of times.", "Yes."],
                ["Loomings", "I.", "Call me Ishmael, for some years ago I went to sea.", "Never there.",
                 "Yes."]]  # fmt: skip
    found = find_passages(pages, chapters)
    where = [[passage and passage.page.path for passage in passages] for passages in found]
    assert where == [[None, "1", "1"], [None, "2", "2", None, "2"]]


def test_powers_indices_and_pictured_letters_are_found_in_pages():
    page = (
        '<p><img alt="W"/>hen it rained all day.</p><p>It was 5 m<sup>2</sup> of H<sub>2</sub>O.<sup>1</sup></p>'
        "<p>On the 19<sup>th</sup> it went.</p>"
    )
    sentences = ["When it rained all day.", "It was 5 m² of H₂O.", "On the 19th it went."]
    pages = [Page("a.xhtml", etree.fromstring(XHTML.format(page)))]
    (found,) = find_passages(pages, [sentences])
    assert all(found)
