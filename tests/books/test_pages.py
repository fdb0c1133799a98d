"""Pages as people and programs write them: breaks for paragraphs, large first letters, struck words, empty files."""

import textwrap

import pytest

from pipeline.books.catalogue import read_book
from pipeline.books.cleaning import count_words, lower_capitals
from pipeline.books.document import words_in
from pipeline.errors import ManifestError
from tests.books.test_chapters import STORY, _linked_page, entry, epub, read, split, texts, titles

SAID = STORY.removeprefix("<p>").removesuffix("</p>")
LONG = f"{SAID} {SAID} So it was, and so it went on."
WRAPPED = textwrap.fill(LONG, 60)


def read_between(markup):
    """What is read of a page between two chapters."""
    return texts(split(f"<h2>Chapter 1</h2>{markup}<h2>Chapter 2</h2>{STORY}", "a.html"))[1:-2]


BREAKS = {
    "a page without paragraphs": (f"{SAID}<br><br>{SAID}<br>\n<br>No.<br>&nbsp;<br>Yes.", [SAID, SAID, "No.", "Yes."]),
    "in a paragraph": (f"<p>{SAID}<br/><br/>{SAID}</p>", [SAID, SAID]),
    "verse and prose": (f"<p>Red sails<br/>White foam<br/><br/>{SAID}</p>", ["Red sails\nWhite foam", SAID]),
    "long lines": (f"<p>{LONG}<br/>{LONG}<br/>{LONG}</p>", [LONG] * 3),
    "short lines with an indent": ("<p>&nbsp;&nbsp;“No.”<br/>&nbsp;&nbsp;“Yes.”<br/>&nbsp;&nbsp;He went.</p>",
                                   ["“No.”", "“Yes.”", "He went."]),
    "a command": ("<pre>\nferry the boat across the river and \\\nback again to where the mill has been\n</pre>",
                  ["ferry the boat across the river and \\\nback again to where the mill has been"]),
    "lines with an indent": ("<p>　　他走了。<br/>　　她来了。</p>", ["他走了。", "她来了。"]),
    "a cell": ("<table><tr><td>Oars<br><br>Two</td><td>1732</td></tr></table>", ["Oars Two, 1732"]),
    "wrapped prose": (f"<pre>\n{WRAPPED}\n\n{WRAPPED}\n\n    Red sails,\n    white foam.\n</pre>",
                      [LONG, LONG, "Red sails,\nwhite foam."]),
    "verse in pre": ("<pre>\nThe wind that blew the boats about the bay,\nHad sung of many a quiet mill and farm,\n"
                     "Before the night had put the sails away,\nAnd taken home the miller by the arm.\n</pre>",
                     ["The wind that blew the boats about the bay,\nHad sung of many a quiet mill and farm,\n"
                      "Before the night had put the sails away,\nAnd taken home the miller by the arm."]),
    "a program": ("<pre>\ndef sail(boat):\n    return boat\n</pre>", ["def sail(boat):\nreturn boat"]),
}  # fmt: skip


@pytest.mark.parametrize(("markup", "expected"), BREAKS.values(), ids=BREAKS)
def test_breaks_that_end_paragraphs_and_breaks_of_verse(markup, expected):
    assert read_between(markup) == expected


def test_a_book_in_one_pre_has_its_chapters():
    body = "".join(f"CHAPTER {number}\n\n{WRAPPED}\n\n{WRAPPED}\n\n\n" for number in ("I", "II"))
    assert titles(split(f"<html><body><pre>\n{body}</pre></body></html>", "a.html")) == ["CHAPTER I", "CHAPTER II"]


INITIALS = {
    '<p><img alt="W"/>hen it rained.</p>': "When it rained.",
    '<p><span><img alt="T"/></span>HE boat left.</p>': "THE boat left.",
    '<p><img alt="I"/> saw it.</p>': "I saw it.",
    '<p><img alt="Drop cap L"/>’eau monta.</p>': "L’eau monta.",
    '<div class="figleft"><img alt="“W"/></div><p>hen?” he said.</p>': "“When?” he said.",
    '<div><img alt="W"/></div><p class="drop">When it rained.</p>': "When it rained.",
    '<p><img alt="A"/> The first boat.</p>': "The first boat.",
    '<p><span class="dropcap">W</span>hen it rained.</p>': "When it rained.",
    '<div class="dropcap">W</div><p>hen it rained.</p>': "When it rained.",
    '<p class="lettrine">L</p><p>’eau monta.</p>': "L’eau monta.",
}


@pytest.mark.parametrize(("markup", "expected"), INITIALS.items())
def test_a_large_first_letter_belongs_to_its_word(markup, expected):
    assert read_between(markup) == [expected]


def test_struck_words_are_left_out_and_inserted_ones_read():
    struck = "<del>bad</del> <s>poor</s> <strike>old</strike> <span style='text-decoration: line-through'>sad</span>"
    found = split(f"<h2>Chapter 1</h2><p>It was {struck} <ins>good</ins> weather.</p>", "a.html")
    assert texts(found) == ["Chapter 1", "It was good weather."]
    assert found.parts[0].left_out == {"struck text": 4}


def test_headings_by_their_class_or_role():
    page = (
        f'<p class="chapter-number">1</p><p class="chapter-title">The Mill</p>{STORY}'
        f'<p class="chapter-number">2</p><p class="chapter-title">The Quay</p>{STORY}'
        f'<div role="heading" aria-level="2">Epilogue</div>{STORY}'
    )
    assert titles(split(page, "a.html")) == ["1. The Mill", "2. The Quay", "Epilogue"]
    assert titles(split(f"<h2>Chapter I<br/>The Mill</h2>{STORY}", "a.html")) == ["Chapter I. The Mill"]


def test_a_headline_that_comes_again_behind_the_last_title_is_no_chapter():
    contents = [("c1", "The Quay"), ("c2", "The Storm"), ("c3", "The Rest")]
    body = "".join(f'<h2 id="{name}">{label}</h2>{STORY}' for name, label in contents)
    for again in ("<h2>SALT</h2>", "<h2>The End</h2>", "<h2>Salt</h2><p>Printed in town.</p>"):
        found = split(_linked_page(contents, f"{body}{again}{STORY}"), "a.html")
        assert titles(found) == ["The Quay", "The Storm", "The Rest"]
    assert "Songs" in titles(split(_linked_page(contents, f"{body}<h2>Songs</h2>{STORY}"), "a.html"))


def test_the_title_of_the_book_at_its_end_or_over_and_over_is_no_chapter():
    chapters = [f"<h2>Chapter {number}</h2>{STORY}" for number in (1, 2, 3)]
    expected = ["Chapter 1", "Chapter 2", "Chapter 3"]
    for again in ("THE END", "Salt.", "— Fin —", "End of Volume I.", "（全书完）"):
        again = f"<h2>{again}</h2><p>Printed in town.</p>"
        assert titles(split(f"<h1>Salt</h1>{''.join(chapters)}{again}", "a.html")) == expected
    assert titles(split(f"<h1>Salt</h1>{f'<h2>Salt</h2>{STORY}'.join(chapters)}", "a.html")) == expected
    reasons = f"<h2>Why</h2>{STORY}<h2>How</h2>{STORY}" * 3
    assert titles(split(reasons, "a.html")) == ["Why", "How"] * 3
    story = f"<h1>Salt</h1><h2>The Mill</h2>{STORY}<h2>Home</h2>{STORY}<h2>Salt</h2>{STORY * 9}"
    assert titles(split(story, "a.html")) == ["The Mill", "Home", "Salt"]


def test_numbers_that_are_no_page_numbers_are_read():
    pages = "".join(f"{SAID}\n\n{number}\n\n" for number in (11, 12, 13))
    found = split(f"CHAPTER I\n\n{pages}{SAID}\n\n1914\n\n{SAID}\n\n1915\n\n{SAID}\n", "a.txt")
    assert [text for text in texts(found) if text.isdigit()] == ["1914", "1915"]
    assert found.parts[0].left_out == {"page number": 3}


def test_a_title_in_capitals_becomes_words_but_for_acronyms():
    words = count_words(["He heard it on the BBC.", "It was DARK, it was", "THE OLD BBC"])
    assert lower_capitals("THE SEA", words) == "The Sea"
    assert lower_capitals("OLD TOM", words) == "Old Tom"
    assert lower_capitals("Chapter I. THE SEA", words) == "Chapter I. The Sea"
    assert lower_capitals("CHAPTER IV. SALT", words) == "Chapter IV. Salt"
    assert lower_capitals("THE BBC", words) == "The BBC"
    assert lower_capitals("THE DNB", words) == "The DNB"


def test_a_choice_that_leaves_nothing_and_a_file_without_words_are_named(tmp_path):
    page = f"<h2>Chapter 1</h2>{STORY}"
    problem = read(tmp_path, page, "a.html", chapters={"a": {"exclude": [1]}}).problem
    assert problem.startswith("chapters.a: nothing is left to read") and "'Chapter 1'" in problem
    pages = {"a.xhtml": f"<h2>One</h2>{STORY}", "b.xhtml": "<p> </p>", "c.xhtml": f"<h2>Three</h2>{STORY}"}
    contents = "".join(entry(name, f"{page}.xhtml") for name, page in (("One", "a"), ("Two", "b"), ("Three", "c")))
    notes = read_book(epub(pages, contents), "a.epub", "a.epub").notes
    assert notes == ["o/b.xhtml holds no words, though its table of contents names it: 'Two'"]


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_a_voice_that_is_not_closed_in_its_paragraph_is_named(name):
    text = f"{SAID}\n\n<voice:Ann>Hello.\n\nNo.</voice>\n"
    with pytest.raises(ManifestError, match=rf"{name}:3: <voice:Ann> is not closed before its paragraph ends"):
        split(text, name)
    with pytest.raises(ManifestError, match="is not closed"):
        split(f"{SAID} <voice:Ann>Hello.", name)
    spoken = split(f"{SAID}\n\n<voice:Ann>One <voice:Bea>two</voice> three.", name)
    assert sum(part.num_words for part in spoken.parts) == words_in(SAID) + 3
