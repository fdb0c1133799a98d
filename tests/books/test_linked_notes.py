"""Notes that nothing but links between them and their marks tells from the text; other links both ways stay."""

import pytest

from pipeline.books.catalogue import read_book
from pipeline.books.chapters import split_into_chapters
from tests.books.test_chapters import STORY, entry, epub

SAID = STORY.removeprefix("<p>").removesuffix("</p>")
SAIL = '<p>The sail<sup><a id="r1" href="#n1">1</a></sup> was red.</p>'

NOTES = {
    "paragraphs": f'{SAIL}{STORY}<hr/><p id="n1"><a href="#r1">1.</a> Of wool.</p>',
    "a mark around what is raised": '<p>The sail<a id="r1" href="#n1"><sup>1</sup></a> was red.</p>'
    f'{STORY}<p><a id="n1" href="#r1">1</a> Of wool.</p>',
    "brackets": f'<p>The sail [<a name="r1" href="#n1">1</a>] was red.</p>{STORY}'
    '<p>[<a name="n1" href="#r1">1</a>] Of wool.</p>',
    "signs": f'<p>The sail<a id="r1" href="#n1">*</a> was <a id="r2" href="#n2">†</a> red.</p>{STORY}'
    '<p><a id="n1"></a><a href="#r1">*</a> Of wool.</p><p id="n2"><a href="#r2">†</a> A dull red.</p>',
    "an anchor before the mark": f'<p>The sail<a id="r1"></a><sup><a href="#n1">1</a></sup> was red.</p>{STORY}'
    '<p id="n1"><a href="#r1">1</a>) Of wool.</p>',
    "a list with arrows": f'{SAIL}{STORY}<ol><li id="n1"><p>Of wool.</p>'
    '<p>Or of silk. <a href="#r1">↩︎</a></p></li></ol>',
    "an arrow that begins": f'{SAIL}{STORY}<ul><li><a href="#r1">^</a> <span id="n1">Of wool.</span></li></ul>',
    "a table": f'{SAIL}{STORY}<table><tr><td><a id="n1" href="#r1">[1]</a></td><td>Of wool.</td></tr></table>',
    "terms": f'{SAIL}{STORY}<dl><dt id="n1"><a href="#r1">1</a></dt><dd><p>Of wool.</p></dd></dl>',
    "a word processor's": f'<p>The sail<a href="#_ftn1" name="_ftnref1"><span>[1]</span></a> was red.</p>{STORY}<hr>'
    '<div id="ftn1"><p><a href="#_ftnref1" name="_ftn1">[1]</a> Of wool.</p><p>And of silk.</p></div>',
    "further paragraphs": f'<p>The sail<sup><a id="r1" href="#n1">1</a></sup> was'
    f'<sup><a id="r2" href="#n2">2</a></sup> red.</p>{STORY}<p id="n1"><a href="#r1">1</a> Of wool.</p>'
    '<p>Of good wool.</p><p id="n2"><a href="#r2">2</a> No.</p>',
    "no way back": f'<p>The sail<sup><a href="#n1">1</a></sup> was red.</p>{STORY}<p id="n1">1. Of wool.</p>',
    "raised by style alone": f'<p>The sail <span class="super"><a id="r1" href="#n1">1</a></span> was red.</p>{STORY}'
    '<p id="n1"><a href="#r1">1</a> Of wool.</p>',
    "a mark with a word": f'<p>The sail <a id="r1" href="#n1">[1]</a> was red.</p>{STORY}'
    '<p><b><a id="n1" href="#r1">Note 1:</a></b> Of wool.</p>',
    "two in a paragraph": f'<p>The sail<sup><a id="r1" href="#n1">1</a></sup> was'
    f'<sup><a id="r2" href="#n2">2</a></sup> red.</p>{STORY}<p><a id="n1" href="#r1">1</a> Of wool.<br/>'
    '<a id="n2" href="#r2">2</a> A dull one.</p>',
    "back to the page": f'<p>The sail<a href="#n1">[1]</a> was red.</p>{STORY}'
    '<p id="n1"><a href="a.html">[1]</a> Of wool.</p>',
    "under a title": f'{SAIL}{STORY}<h3>Notes</h3><p id="n1"><a href="#r1">1</a> Of wool.</p>',
    "under a line": f'{SAIL}{STORY}<p><b>Notes:</b></p><p id="n1"><a href="#r1">1</a> Of wool.</p>',
}  # fmt: skip


def read(data, name):
    document = read_book(data if isinstance(data, bytes) else data.encode(), name, name)
    found = split_into_chapters(document)
    left_out = {}
    for part in found.parts:
        for reason, count in part.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
    assert document.num_words == sum(part.num_words for part in found.parts) + sum(left_out.values())
    return [[block.text for block in chapter.blocks] for chapter in found.chapters], left_out


@pytest.mark.parametrize("markup", NOTES.values(), ids=NOTES)
def test_notes_that_are_linked_with_their_marks_are_left_out(markup):
    found, left_out = read(f"<h2>Chapter 1</h2>{markup}<h2>Chapter 2</h2>{STORY}", "a.html")
    assert found == [["Chapter 1", "The sail was red.", SAID], ["Chapter 2", SAID]]
    assert set(left_out) <= {"footnote", "footnote mark"} and left_out["footnote"] >= 2


def test_notes_in_another_file_of_the_book():
    pages = {
        "a.xhtml": '<h2>One</h2><p>The sail<sup><a href="n/n.xhtml#n1" id="r1">1</a></sup> was red.</p>',
        "b.xhtml": '<h2>Two</h2><p>The oar<a id="r2" href="n/n.xhtml#n2"><sup>2</sup></a> was cut.</p>',
        "n/n.xhtml": '<h2>Endnotes</h2><h3>One</h3><p id="n1"><a href="../a.xhtml#r1">1.</a> Of wool.</p>'
        '<p>Of good wool.</p><p id="n2"><a href="../b.xhtml#r2">2.</a> By hand.</p>',
    }
    contents = "".join(
        entry(name, page) for name, page in (("One", "a.xhtml"), ("Two", "b.xhtml"), ("Endnotes", "n/n.xhtml"))
    )
    found, left_out = read(epub(pages, contents), "a.epub")
    assert found == [["One", "The sail was red."], ["Two", "The oar was cut."]]
    assert left_out == {"footnote": 11, "footnote mark": 2}


NO_NOTES = {
    "headings linked with the contents": (
        '<h2>Contents</h2><p><a id="t1" href="#c1">1</a></p><p><a id="t2" href="#c2">2</a></p>'
        f'<p><a id="t3" href="#c3">3</a></p><h2 id="c1"><a href="#t1">1</a></h2>{STORY}<h2 id="c2"><a href="#t2">2</a>'
        f'</h2>{STORY}<h2 id="c3"><a href="#t3">3</a></h2>{STORY}',
        [["1", SAID], ["2", SAID], ["3", SAID]]),
    "back to the contents": (
        '<h2 id="top">Contents</h2><p><a href="#c1">Chapter 1</a></p><p><a href="#c2">Chapter 2</a></p>'
        f'<h2 id="c1">Chapter 1</h2>{STORY}<p><a href="#top">Back to contents</a></p>'
        f'<h2 id="c2">Chapter 2</h2>{STORY}<p><a href="#top">↑</a> Up.</p>',
        [["Chapter 1", SAID, "Back to contents"], ["Chapter 2", SAID, "↑ Up."]]),
    "references": (
        f'<h2>Chapter 1</h2>{STORY}<p id="a">See rule <a href="#b">2</a>.</p><p id="b">Rule two, '
        f'see <a href="#a">above</a>.</p><h2>Chapter 2</h2>{STORY}',
        [["Chapter 1", SAID, "See rule 2.", "Rule two, see above."], ["Chapter 2", SAID]]),
    "items that begin with a link": (
        f'<h2>Chapter 1</h2>{STORY}<ol><li><a id="x" href="#y">1</a> Oars</li></ol>'
        f'<p id="y"><a href="#x">1</a> oar is lost.</p><h2>Chapter 2</h2>{STORY}',
        [["Chapter 1", SAID, "1 Oars", "1 oar is lost."], ["Chapter 2", SAID]]),
    "an index of verses": (
        f'<h2>Chapter 1</h2>{STORY}<p>Lines: <a id="i1" href="#v1">1</a>|<a id="i2" href="#v2">2</a></p>'
        f'<p id="v1"><a href="#i1">1</a> Red sails.</p><p id="v2"><a href="#i2">2</a> White foam.</p>'
        f"<h2>Chapter 2</h2>{STORY}",
        [["Chapter 1", SAID, "Lines: 1|2", "1 Red sails.", "2 White foam."], ["Chapter 2", SAID]]),
    "a mark that leads to a chapter": (
        f'<h2>Chapter 1</h2><p>The sail<sup><a id="r1" href="#c2">1</a></sup> was red.</p>'
        f'<div id="c2"><h2><a href="#r1">Chapter 2</a></h2>{STORY}</div>',
        [["Chapter 1", "The sail was red."], ["Chapter 2", SAID]]),
}  # fmt: skip


@pytest.mark.parametrize(("markup", "expected"), NO_NOTES.values(), ids=NO_NOTES)
def test_other_links_both_ways_are_read(markup, expected):
    found, left_out = read(markup, "a.html")
    assert found == expected
    assert "footnote" not in left_out


ABOVE_AND_BELOW = {
    "E = mc<sup>2</sup>.": "E = mc².",
    "<i>mc</i><sup>2</sup> and <a href='e.html'>mc<sup>2</sup></a>": "mc² and mc²",
    "e<sup>x</sup>, 2<sup>n</sup> and x<sup>n+1</sup>": "e^x, 2^n and x^(n+1)",
    "10<sup>3</sup> or 10<sup>-6</sup> m<sup>2</sup>": "10³ or 10⁻⁶ m²",
    "E = ab<sup>2</sup> + c<sup>2</sup>": "E = ab² + c²",
    "sin<sup>2</sup> of (x + 1)<sup>2</sup>": "sin^2 of (x + 1)²",
    "after the 19<sup>th</sup>, le 1<sup>er</sup>, XIX<sup>e</sup>": "after the 19th, le 1er, XIXe",
    "said M<sup>me</sup>, D<sup>r</sup> and Mons<sup>r</sup>, n<sup>o</sup> 5": "said Mme, Dr and Monsr, nº 5",
    "H<sub>2</sub>O, x<sub>1</sub>, x<sub>i</sub>": "H₂O, x₁, x i",
    "Ca<sup>2+</sup> and <sup>14</sup>C": "Ca²⁺ and 14C",
    "<sup>235</sup>U or U<sup>235</sup>, SO<sub>4</sub><sup>2−</sup>": "235U or U²³⁵, SO₄²⁻",
    "of πr<sup>2</sup> and e<sup>iπ</sup>, 5米<sup>2</sup>": "of πr² and e^(iπ), 5米²",
    "in (n log n)<sup>2</sup> steps<sup>i</sup>": "in (n log n)² steps",
    "3<sup>1</sup>/<sub>2</sub> of <sup>1</sup>&frasl;<sub>4</sub>": "3 1/2 of 1⁄4",
    "at 20<sup>o</sup> C": "at 20° C",
    "A word.<sup>2</sup> Words<sup>12</sup> go<sup>1,2</sup> on<sup>[3]</sup>": "A word. Words go on",
    "In 1914<sup>2</sup> (as he said)<sup>3</sup> he came in<sup>4</sup>, too<sup>b</sup>.":
        "In 1914 (as he said) he came in, too.",
    "x<sup><a href='#n'>2</a></sup> is linked": "x is linked",
    "so it is<span style='vertical-align: super'>2</span> in m<span class='sup'>3</span>": "so it is in m³",
}  # fmt: skip


@pytest.mark.parametrize(("markup", "expected"), ABOVE_AND_BELOW.items())
def test_powers_indices_and_ends_of_abbreviations_are_no_marks(markup, expected):
    found, _ = read(f"<h2>Chapter 1</h2><p>He wrote: {markup}</p>", "a.html")
    assert found == [["Chapter 1", f"He wrote: {expected}"]]
