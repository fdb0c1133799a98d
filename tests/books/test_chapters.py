"""Chapters are those of the book's own table of contents, else of its headings; every word is read or has a reason."""

import io
import json
import re
import zipfile

import pytest

from jobs.import_books import main
from pipeline.books.casting import Cast
from pipeline.books.catalogue import read_book, read_cast_book
from pipeline.books.chapters import split_into_chapters
from pipeline.books.document import words_in
from pipeline.config.books import ChapterChoice, ImportConfig
from pipeline.errors import ManifestError
from pipeline.storage import open_storage

STORY = "<p>The boat left the harbor early, and nobody on the quay said a word about it.</p>"
PAGE = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
NAV_ITEM = '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'


def epub(pages, contents=None, **files):
    """A book of pages by name, with the list items of its table of contents."""
    items = "".join(
        f'<item id="i{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(pages)
    )
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(pages)))
    nav = f'{PAGE}<body><nav epub:type="toc"><ol>{contents}</ol></nav></body></html>'
    files = {
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="o/p.opf"/></rootfiles></container>',
        "o/p.opf": f"<package><metadata/><manifest>{items}{NAV_ITEM if contents else ''}</manifest>"
        f"<spine>{spine}</spine></package>",
        **({"o/nav.xhtml": nav} if contents else {}),
        **{f"o/{name}": f"{PAGE}<body>{body}</body></html>" for name, body in pages.items()},
        **files,
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def entry(label, href, below=""):
    return f'<li><a href="{href}">{label}</a>{f"<ol>{below}</ol>" if below else ""}</li>'


def split(data, name="a.epub", choice=None):
    document = read_book(data.encode() if isinstance(data, str) else data, name, name)
    found = split_into_chapters(document, choice)
    num_left_out = sum(sum(part.left_out.values()) for part in found.parts)
    assert document.num_words == sum(part.num_words for part in found.parts) + num_left_out
    return found


def titles(found):
    return [chapter.title for chapter in found.chapters]


def texts(found):
    return [block.text for chapter in found.chapters for block in chapter.blocks]


def test_anchors_of_the_contents_cut_a_file_without_headings():
    page = "".join(f'<p id="c{n}">{name}</p>{STORY}' for n, name in enumerate(("The Harbor", "The Island", "Home")))
    contents = "".join(entry(name, f"b.xhtml#c{n}") for n, name in enumerate(("The Harbor", "The Island", "Home")))
    found = split(epub({"b.xhtml": page}, contents))
    assert titles(found) == ["The Harbor", "The Island", "Home"]
    assert [chapter.blocks[0].kind for chapter in found.chapters] == ["heading"] * 3
    assert len(texts(found)) == 6, "a title is not read twice"


def test_parts_of_the_contents_lead_into_their_first_chapter():
    pages = {
        "p1.xhtml": "<h2>Part I</h2>",
        "c1.xhtml": f"<h3>I</h3>{STORY}",
        "c2.xhtml": f"<h3>II</h3>{STORY}",
        "p2.xhtml": "<h2>Part II</h2>",
        "c3.xhtml": f"<h3>I</h3>{STORY}",
        "e.xhtml": f"<h2>Epilogue</h2>{STORY}",
    }
    contents = (
        entry("Part I", "p1.xhtml", entry("I", "c1.xhtml") + entry("II", "c2.xhtml"))
        + entry("Part II", "p2.xhtml", entry("I", "c3.xhtml"))
        + entry("Epilogue", "e.xhtml")
    )
    found = split(epub(pages, contents))
    assert titles(found) == ["I", "II", "I", "Epilogue"]
    assert [chapter.parts for chapter in found.chapters] == [("Part I",), ("Part I",), ("Part II",), ()]
    assert found.chapters[0].blocks[0].text == "Part I"
    assert [chapter.key for chapter in found.chapters] == ["part-i-i", "ii", "part-ii-i", "epilogue"]


def test_a_file_whose_entries_are_called_cantos_has_them_as_chapters():
    pages = {f"{n}.xhtml": "".join(f'<h3 id="c{c}">Canto {c}</h3>{STORY}' for c in "IVX") for n in "abc"}
    contents = "".join(
        entry(n, f"{n}.xhtml", "".join(entry(f"Canto {c}", f"{n}.xhtml#c{c}") for c in "IVX")) for n in "abc"
    )
    assert titles(split(epub(pages, contents))) == ["Canto I", "Canto V", "Canto X"] * 3


def test_sections_in_the_file_of_a_chapter_are_no_chapters():
    """As in stories of which one has numbered sections."""
    pages = {f"s{n}.xhtml": f"<h2>Story {n}</h2>{STORY * 9}" for n in range(5)}
    pages["s2.xhtml"] = f'<h2>Story 2</h2><section id="a"><h3>I</h3>{STORY}</section><section id="b">{STORY}</section>'
    below = entry("I", "s2.xhtml#a") + entry("II", "s2.xhtml#b")
    contents = "".join(entry(f"Story {n}", f"s{n}.xhtml", below if n == 2 else "") for n in range(5))
    assert titles(split(epub(pages, contents))) == [f"Story {n}" for n in range(5)]


def test_what_looks_like_matter_between_chapters_is_a_chapter():
    names = ["Cover", "Arrival", "The Index", "Cover", "Notes", "Acknowledgment", "Departure", "About the Author"]
    pages = {f"c{n}.xhtml": f"<h2>{name}</h2>{STORY}" for n, name in enumerate(names)}
    contents = "".join(entry(f"c{n}.xhtml", f"c{n}.xhtml") for n in range(len(names)))
    found = split(epub(pages, contents))
    assert titles(found) == names[1:-1]
    assert [part.title for part in found.parts if part.chapter is None] == ["Cover", "About the Author"]


def test_front_matter_that_the_book_marks_is_left_out_and_may_be_chosen():
    pages = {
        "d.xhtml": f'<section epub:type="dedication"><h2>Dedication</h2>{STORY}</section>',
        "c1.xhtml": f"<h2>One</h2>{STORY}",
        "c2.xhtml": f"<h2>Two</h2>{STORY}",
    }
    contents = entry("Dedication", "d.xhtml") + entry("One", "c1.xhtml") + entry("Two", "c2.xhtml")
    assert titles(split(epub(pages, contents))) == ["One", "Two"]
    chosen = split(epub(pages, contents), choice=ChapterChoice(include=("dedication", 2)))
    assert titles(chosen) == ["Dedication", "Two"]
    assert [chapter.number for chapter in chosen.chapters] == [1, 3]
    assert titles(split(epub(pages, contents), choice=ChapterChoice(exclude=("One",)))) == ["Two"]
    assert split(epub(pages, contents), choice=ChapterChoice(include=(7, "Six"))).unknown == ["7", "Six"]


HTML = {
    "one label among numbers": (
        "<h2>I</h2>{0}<h2>II</h2>{0}<h2>Chapter the Last</h2>{0}", ["I", "II", "Chapter the Last"]),
    "parts above chapters": (
        "<h2>Part I</h2><h3>I</h3>{0}<h3>II</h3>{0}<h2>Part II</h2><h3>I</h3>{0}", ["I", "II", "I"]),
    "names under parts": (
        "<h1>Book</h1><h2>Part One</h2><h3>The Harbor</h3>{0}<h3>Home</h3>{0}<h2>Part Two</h2><h3>Back</h3>{0}",
        ["The Harbor", "Home", "Back"]),
    "groups of titles": (
        "<hgroup><h2>I</h2><p>A Letter</p></hgroup>{0}<hgroup><h2>II</h2><p>The Gam</p></hgroup>{0}",
        ["I. A Letter", "II. The Gam"]),
    "sections of a chapter": (
        "<h2>Chapter 1</h2>{0}<h3>Footnotes</h3>{0}<h3>Pages</h3>{0}<h2>Chapter 2</h2>{0}", ["Chapter 1", "Chapter 2"]),
    "ids": (
        '<h2>Chapter 1</h2>{0}<section id="the-dedication"><h2>Chapter 2</h2>{0}</section>',
        ["Chapter 1", "Chapter 2"]),
    "numbers with zeros": ("<h2>Chapter 01</h2>{0}<h2>Chapter 02</h2>{0}", ["Chapter 1", "Chapter 2"]),
}  # fmt: skip


@pytest.mark.parametrize(("page", "expected"), HTML.values(), ids=HTML)
def test_headings_are_judged_together(page, expected):
    found = split(page.format(STORY), "a.html")
    assert titles(found) == expected
    assert texts(found).count(re.sub("<.*?>", "", STORY)) == page.count("{0}"), "nothing is left out"


TEXTS = {
    "numbers and one label": ("I\n\n\nOne.\n\n\n\nII\n\n\nTwo.\n\n\n\nCHAPTER THE LAST\n\n\nThree.\n",
                              ["I", "II", "CHAPTER THE LAST"]),
    "a prologue": ("PROLOGUE\n\nBefore.\n\n\n\nI\n\n\nOne.\n\n\n\nII\n\n\nTwo.\n", ["PROLOGUE", "I", "II"]),
    "contents by books": (
        "CONTENTS\n\nBOOK I\n\nCHAPTER I CHAPTER II\n\n\nBOOK II\n\nCHAPTER III CHAPTER IV\n\n\n\n"
        "PRELUDE\n\nIt rained.\n\n\n\nBOOK I\n\n\nCHAPTER I\n\nOne.\n\n\n\nCHAPTER II\n\nTwo.\n\n\n\n"
        "BOOK II\n\n\nCHAPTER III\n\nThree.\n\n\n\nCHAPTER IV\n\nFour.\n",
        ["PRELUDE", "CHAPTER I", "CHAPTER II", "CHAPTER III", "CHAPTER IV"]),
    "contents that tell": (
        "CONTENTS\n\nCHAPTER I. A Mill\n\nWheels and water.\n\nCHAPTER II. Rain\n\nThe road is gone.\n\n\n\n"
        "PREFACE\n\nRead on.\n\n\n\nCHAPTER I\n\nOne.\n\n\n\nCHAPTER II\n\nTwo.\n",
        ["PREFACE", "CHAPTER I", "CHAPTER II"]),
    "French ordinals": ("Chapitre premier\n\nUn.\n\n\nChapitre deuxième\n\nDeux.\n\n\nChapitre troisième\n\nTrois.\n",
                        ["Chapitre premier", "Chapitre deuxième", "Chapitre troisième"]),
    "French": ("Chapitre premier\n\nUn.\n\n\nChapitre II\n\nDeux.\n", ["Chapitre premier", "Chapitre II"]),
    "German": ("Erstes Kapitel\n\nEins.\n\n\n2. Kapitel\n\nZwei.\n", ["Erstes Kapitel", "2. Kapitel"]),
    "Chinese": ("第一回 开始\n　　他走了。\n　　她来了。\n第十二回 结束\n　　完了，\n真的。\n",
                ["第一回 开始", "第十二回 结束"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS)
def test_headings_of_plain_text(text, expected):
    assert titles(split(text, "a.txt")) == expected


def test_cells_of_a_table_are_words_apart():
    page = "<h2>I</h2><table><tr><td>Is it late?</td><td>No.</td><td>Rain</td><td>Yes!</td></tr></table><p>End.</p>"
    found = split(f"<html><body>{page}</body></html>", "a.html")
    assert "Is it late? No. Rain, Yes!" in [" ".join(text.split()) for text in texts(found)]


LINES = """The boat left the harbor early, and nobody there said one word.
Nobody on the quay had ever seen a boat go out so early.
"""
PRINTED = f"""THE POND

By Ann Ray

Contents

=THE POND=

Thrift

Where I Sat, and Why        12

Sounds . . . . . . 40



THE POND



Thrift


{LINES}

Where I Sat, and Why


{LINES}
Sounds

{LINES}

Sounds


{LINES}"""


def test_titles_in_ordinary_letters_are_known_from_the_table_that_a_text_prints():
    """Walden was one chapter: nothing but its table of contents tells its titles from other short lines."""
    found = split(PRINTED, "a.txt")
    assert titles(found) == ["Thrift", "Where I Sat, and Why", "Sounds"]
    assert found.parts[0].left_out["table of contents"] == 12
    # A table of which too little comes again names no titles.
    assert "Thrift" not in titles(
        split(PRINTED.replace("Sounds\n", "Sound\n").replace("Where I Sat,", "Where", 1), "a.txt")
    )


def test_a_table_of_parts_and_numbers_is_left_out_whole_and_names_are_joined_to_numbers():
    names = [("The Widow", "The old Mint"), ("The idle Boy", "The Flood")]
    table, body = "CONTENTS.\n\n", ""
    for epoch, (one, two) in zip(("FIRST", "SECOND"), names, strict=True):
        table += f"EPOCH THE {epoch}, 1703.\nJONAS WILD.\n\nCHAPTER I. {one}        1\n       II. {two}     13\n\n"
        body += f"EPOCH THE {epoch}.\n\n\nCHAPTER I.\n\n{one}.\n\n\n{LINES}\n\nCHAPTER II.\n\n{two}.\n\n\n{LINES}\n\n"
    found = split(f"{table}\n\n{body}", "a.txt")
    expected = [(f"CHAPTER I. {one}.", f"CHAPTER II. {two}.") for one, two in names]
    assert titles(found) == [title for pair in expected for title in pair]


def test_numbers_and_the_names_behind_them_stand_as_high_as_other_titles_of_the_table():
    """One unlike the others, or one that takes two lines, made the rest of the book its sections."""
    table = "CONTENTS\n\n   I. The Widow      1\n  II. How the Boy\n        was drowned  13\n III. The Flood     20\n"
    names = ["I\n\nThe Widow", "II\n\nHow the Boy was drowned", "III\n\nThe Flood"]
    body = "".join(f"{name}\n\n\n{LINES}\n\n" for name in names)
    found = split(f"{table}\n\n\n\nTHE BOAT\n\n\n{body}", "a.txt")
    assert titles(found)[:3] == ["I. The Widow", "II. How the Boy was drowned", "III. The Flood"]


ACTED = f"<h2>Chapter I</h2>{STORY}<h2>Chapter II</h2>{STORY}<h2>Act I</h2>{STORY}<h2>Act II</h2>{STORY}"


def test_a_play_that_is_acted_in_a_chapter_is_a_part_of_it():
    assert titles(split(f"{ACTED}<h2>Chapter III</h2>{STORY}", "a.html")) == ["Chapter I", "Chapter II", "Chapter III"]
    # Behind the play another book begins, or nothing does.
    assert len(titles(split(f"{ACTED}<h2>Chapter I</h2>{STORY}", "a.html"))) > 3
    assert "Act II" in titles(split(ACTED, "a.html"))


def test_what_a_publisher_offers_behind_the_end_is_left_out():
    story = f"<h2>Chapter I</h2>{STORY * 30}<h2>Chapter II</h2>{STORY * 30}<p>THE END.</p>"
    offers = "<h2>Books for Boys</h2>" + "<p>The Boat. 12mo, cloth, illustrated. Price $2.00.</p>" * 3
    found = split(story + offers, "a.html")
    assert titles(found) == ["Chapter I", "Chapter II"]
    assert sum(part.left_out.get("front or back matter", 0) for part in found.parts) > 20
    assert "Notes of a Sailor" in titles(split(f"{story}<h2>Notes of a Sailor</h2>{STORY * 3}", "a.html"))
    assert len(titles(split(f"{story}{offers}<h2>Chapter III</h2>{STORY}", "a.html"))) >= 3


def test_the_mark_before_a_book_may_take_two_lines():
    license_text = "Read this first.\n\n***START OF THE PROJECT GUTENBERG EBOOK THE BOAT ON THE\nRIVER***\n\n"
    found = split(f"{license_text}CHAPTER I.\n\n{LINES}\nCHAPTER II.\n\n{LINES}", "a.txt")
    assert titles(found) == ["CHAPTER I.", "CHAPTER II."]
    assert found.parts[0].left_out == {"license": 14}


def test_chinese_paragraphs_begin_with_their_indent_and_lines_are_joined_without_a_space():
    assert texts(split(TEXTS["Chinese"][0], "a.txt")) == [
        "第一回 开始", "他走了。", "她来了。", "第十二回 结束", "完了，真的。"
    ]  # fmt: skip


def test_pictures_in_brackets_are_left_out_but_for_the_heading_in_one():
    """Of Pride and Prejudice chapter I was lost, and captions were read."""
    picture = "[Illustration:\n\n“He came to see the place”\n\n[_Copyright by Allen._]]\n\n"
    text = f"[Illustration: EMMA\n\n\n\nCHAPTER I.]\n\n\nOne.\n\n{picture}Two.\n\n\nCHAPTER II.\n\n{picture}Three.\n"
    found = split(text, "a.txt")
    assert texts(found) == ["CHAPTER I.", "One.", "Two.", "CHAPTER II.", "Three."]


MARKUP = {
    "figures with tables": (
        "<figure><figcaption>All governors.</figcaption>"
        "<table><tr><td>Oglethorpe</td><td>1732</td></tr></table></figure>"
        "<figure><blockquote><p>To be.</p></blockquote></figure>"
        "<figure><img src='a'/><figcaption>A</figcaption></figure>",
        ["All governors.", "Oglethorpe, 1732", "To be."]),
    "lines that a page ended": ("<p>The boat lay in the<br/>harbor, as calm as<br/>a mirror.</p>",
                                ["The boat lay in the harbor, as calm as a mirror."]),
    "verse": ("<p>Shall I compare thee<br/>Thou art more lovely</p>", ["Shall I compare thee\nThou art more lovely"]),
    "ruby": ("<p><ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>を読む。</p>", ["漢字を読む。"]),
    "hidden": ("<p>Seen.</p><p hidden='hidden'>A</p><p style='display: none'>B</p><p aria-hidden='true'>C</p>",
               ["Seen."]),
    "above the line": (
        "<p>Text<a epub:type='noteref' href='#n'>1</a> goes on<sup>2</sup>, x<sup>2</sup> + 10<sup>6</sup> "
        "km<sup>2</sup> and the 4<sup>th</sup> of July.<a href='#n3'>[3]</a> See chapter <a href='#c'>7</a>.</p>",
        ["Text goes on, x² + 10⁶ km² and the 4th of July. See chapter 7."]),
    "notes": (
        "<p>Story.</p><aside epub:type='footnote'><p>A note.</p></aside><p class='footnote'>3 Third.</p>"
        "<h3>Footnotes</h3><p>4 Fourth.</p>", ["Story."]),
}  # fmt: skip


@pytest.mark.parametrize(("markup", "expected"), MARKUP.values(), ids=MARKUP)
def test_markup_is_read_as_people_read_it(markup, expected):
    found = split(f"<h2>Chapter 1</h2>{markup}<h2>Chapter 2</h2><p>End.</p>", "a.html")
    assert texts(found)[1:-2] == expected


def _linked_page(contents, body):
    rows = "".join(f'<tr><td><a href="#{name}">{label}</a></td><td>7</td></tr>' for name, label in contents)
    return (
        "<html><body><h1>Salt</h1><h3>MCMV</h3><p>For those who sail.</p><h2>CONTENTS</h2>"
        f"<table>{rows}</table>{body}</body></html>"
    )


def test_contents_with_links_tell_chapters_from_headlines_title_pages_and_half_titles():
    contents = [("pre", "Preface"), ("c1", "The Quay"), ("c2", "The Storm"), ("c3", "The Rest")]
    body = (
        f'<h2><a name="pre"></a>PREFACE</h2>{STORY}<hr><h2>SALT</h2>'
        f'<h3><a name="c1"><b>I</b></a></h3><h3>THE QUAY</h3>{STORY}<h3>SHIP LOST!</h3><hr>'
        f"<h3>All Hands Safe</h3>{STORY}"
        f'<h3>II</h3><h3><a id="c2">THE STORM</a></h3>{STORY}<h3><a name="c3">III</a></h3><h3>THE REST</h3>{STORY}'
    )
    found = split(_linked_page(contents, body), "a.html")
    assert titles(found) == ["PREFACE", "I. THE QUAY", "II. THE STORM", "III. THE REST"]
    shouted = [block for block in found.chapters[1].blocks if block.text in ("SHIP LOST!", "All Hands Safe")]
    assert [block.kind for block in shouted] == ["paragraph", "paragraph"]


def test_a_play_in_linked_contents_has_its_acts_as_chapters_and_its_cast_before_them():
    contents = [("a", "Introduction"), ("b", "The Ferry"), ("c", "The Mill")]
    acts = "".join(f"<h5>ACT {number}</h5>{STORY * 8}" for number in ("I", "II"))
    body = (
        f'<h4><a name="a">INTRODUCTION</a></h4>{STORY}<h4><a name="b">THE FERRY</a></h4><h6>A PLAY</h6><h5>1911</h5>'
        f'<p>ANN, a ferrywoman.</p>{acts}<h4><a name="c">THE MILL</a></h4>{acts}'
    )
    found = split(_linked_page(contents, body), "a.html")
    assert titles(found) == ["INTRODUCTION", "ACT I", "ACT II", "ACT I", "ACT II"]
    assert [chapter.parts for chapter in found.chapters] == [(), *[("THE FERRY",)] * 2, *[("THE MILL",)] * 2]
    assert "A PLAY" in [block.text for block in found.chapters[1].blocks]


def test_a_second_table_below_linked_contents_is_left_out_with_them_and_links_in_chapters_are_none():
    contents = [("c1", "I"), ("c2", "II"), ("c3", "III")]
    notes = '<h2>SOME NOTES</h2><table><tr><td><a href="#n">A Note</a></td></tr></table>'
    body = notes + "".join(
        f'<h2><a name="c{number}">CHAPTER {number}</a></h2>{STORY}<p>See <a href="#c1">there</a>.</p>'
        for number in (1, 2, 3)
    ) + f'<h3><a name="n">A NOTE</a></h3>{STORY}'  # fmt: skip
    found = split(_linked_page(contents, body), "a.html")
    assert titles(found) == ["CHAPTER 1", "CHAPTER 2", "CHAPTER 3"]
    assert found.parts[0].left_out["table of contents"] >= 8


def test_the_words_of_all_parts_are_those_of_the_book():
    """Counted here from the bytes, in another way."""
    body = f"<h1>Tales</h1><p>Copyright 1900</p><h2>Preface</h2>{STORY}<h2>Chapter 1</h2>{STORY}<p>See<sup>1</sup></p>"
    page = f"{body}<figure><img/><figcaption>A cat</figcaption></figure><h2>Index</h2><p>Cats, 7; dogs, 9</p>"
    found = split(page, "a.html")
    counts = [sum(part.left_out.values()) + part.num_words for part in found.parts]
    assert sum(counts) == words_in(re.sub("<[^>]*>", " ", page))
    reasons = {reason for part in found.parts for reason in part.left_out}
    assert reasons == {"before the first chapter", "footnote mark", "illustration", "front or back matter"}
    assert titles(found) == ["Preface", "Chapter 1"]


def read(folder, data, name="a.epub", **rules):
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_cast_book(open_storage(str(folder)), "a", name, Cast(), ImportConfig.model_validate(rules))


LONG_INDEX = f"<h2>Chapter 1</h2>{STORY * 9}<h2>Index</h2>{STORY * 2}"


def test_a_book_of_which_much_would_be_left_out_asks(tmp_path):
    """One of 111,846 words was read to its 667th, with exit 0."""
    problem = read(tmp_path, LONG_INDEX, "a.html").problem
    assert re.match(
        r"33 of its 179 words \(18%\) would be left out \(33 as front or back matter\), expected at most 10%", problem
    )
    assert not read(tmp_path, LONG_INDEX, "a.html", max_left_out=0.2).problem
    chosen = read(tmp_path, LONG_INDEX, "a.html", chapters={"a": {"include": "all"}})
    assert not chosen.problem and chosen.report["chapters"] == ["Chapter 1"]
    unknown = read(tmp_path, LONG_INDEX, "a.html", chapters={"a": {"exclude": ["Chapter 9"]}}).problem
    assert "no part of the book is 'Chapter 9'" in unknown


def test_a_book_that_has_less_than_its_contents_say_asks(tmp_path):
    pages = {"a.xhtml": f"<h2>One</h2>{STORY}", "b.xhtml": f"<h2>Two</h2>{STORY}"}
    contents = entry("One", "a.xhtml") + entry("Two", "b.xhtml") + entry("Three", "gone.xhtml")
    book = read(tmp_path, epub(pages, contents))
    assert "names 1 chapter(s) that its text does not have: 'Three'" in book.problem
    assert not read(tmp_path, epub(pages, contents), chapters={"a": {"include": [1, 2]}}).problem


def test_the_commands_say_what_is_read_and_stop_where_somebody_must_look(tmp_path, capsys):
    books, rules = tmp_path / "books", tmp_path / "rules.yaml"
    books.mkdir()
    (books / "a.html").write_text(LONG_INDEX)
    (books / "good.html").write_text(f"<h2>Chapter 1</h2>{STORY}")
    arguments = [str(books), "--output", str(tmp_path / "m")]
    for extra in (["--dry-run"], []):
        assert main([*arguments, *extra]) == 2
        printed = capsys.readouterr()
        assert "words      179: 146 read, 33 left out" in printed.out
        assert ("part         - Index: 0 words, left out: 33 front or back matter" in printed.out) == bool(extra)
        assert "a.html: 33 of its 179 words (18%) would be left out" in printed.err
        assert "(audiobook.import.max_left_out)" in printed.err and "audiobook: {import: {chapters: {a" in printed.err
    report = json.loads((tmp_path / "m" / "_import.json").read_text())
    refused, imported = report["books"]
    assert "would be left out" in refused["problem"] and not (tmp_path / "m" / "a").exists()
    assert imported["words"] == {"book": 18, "read": 18, "left_out": 0}
    assert imported["parts"] == [{"title": "Chapter 1", "chapter": 1, "num_words": 18, "left_out": {}}]
    rules.write_text("chapters: {a: {include: [1]}}\n")
    assert main([*arguments, "--config", str(rules)]) == 0
    assert (tmp_path / "m" / "a" / "part-00000.parquet").exists()
    rules.write_text("chapters: {b: {include: [1]}}\n")
    assert main([*arguments, "--config", str(rules)]) == 2
    assert "import.chapters: no book is called b" in capsys.readouterr().err


HARMLESS = {
    "remote sound": {"o/p.opf": '<package><manifest><item id="r" href="https://x.org/a.mp3" media-type="audio/mpeg"/>'
                     '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
                     '<spine toc="ncx"><itemref idref="a"/></spine></package>'},
    "no NCX": {"o/p.opf": '<package><manifest><item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
               '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
               '<spine toc="ncx"><itemref idref="a"/></spine></package>'},
    "a page of contents that is not well formed": {"o/nav.xhtml": "<nav><ol><li><a href='a.xhtml'>One<br></a></nav>"},
    "an entity of its own": {"o/a.xhtml": '<!DOCTYPE html [<!ENTITY dash "&#8212;">]>'
                             '<h2>One</h2><p>Left&dash;early.</p>'},
    "a cover that is not there": {"o/p.opf": '<package><manifest><item id="c" href="c.jpg" media-type="image/jpeg" '
                                  'properties="cover-image"/><item id="a" href="a.xhtml" '
                                  'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/>'
                                  '</spine></package>'},
}  # fmt: skip


@pytest.mark.parametrize("files", HARMLESS.values(), ids=HARMLESS)
def test_a_book_is_not_refused_over_what_is_not_read(files):
    found = split(epub({"a.xhtml": f"<h2>One</h2>{STORY}"}, entry("One", "a.xhtml"), **files))
    assert titles(found) == ["One"]
    assert texts(found)[1] in ("Left—early.", re.sub("<.*?>", "", STORY))


@pytest.mark.parametrize(
    "declaration",
    ['<!ENTITY x "&y;&y;">', '<!ENTITY % x "a">', '<!ENTITY x "<p>Hi</p>">', '<!ENTITY x PUBLIC "a" "b">'],
)
def test_entities_that_could_hide_something_are_refused(declaration):
    with pytest.raises(ManifestError, match="declares entities of its own"):
        split(epub({"a.xhtml": "x"}, **{"o/a.xhtml": f"<!DOCTYPE html [{declaration}]><p>&x;</p>"}))


RUSSIAN = "Глава 1\n\nВсе счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n"


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        (RUSSIAN, "cp1251", "a.txt"),
        (RUSSIAN, "koi8-r", "a.txt"),
        ("第一章\n\n你好，世界。今天天气很好，我们一起去公园散步吧。\n", "gb18030", "a.txt"),
        ("第一章\n\n" + "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見當がつかぬ。\n" * 3, "shift_jis", "a.txt"),
        (
            "Chapter I\n\n“It’s naïve,” she said of the café, where all of them had been the day before.\n",
            "cp1252",
            "a.txt",
        ),
        ('<meta charset="gb2312"><h2>第一章</h2><p>你好，镕基。</p>', "gbk", "a.html"),
        ('<?xml version="1.0" encoding="iso-8859-1"?><h2>Chapter 1</h2><p>Un café très âgé.</p>', "latin-1", "a.html"),
    ],
)
def test_text_is_read_in_its_encoding(text, encoding, name):
    read = " ".join(texts(split(text.encode(encoding), name)))
    assert re.sub(r"\W", "", read) == re.sub(r"<[^>]*>|\W", "", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Un café très âgé, à côté d’où était né l’été.".encode().decode("cp1252", "ignore"), r"once UTF-8 \('é'\)"),
        (RUSSIAN.encode("cp1251").decode("latin-1"), "have accents, .* it may be cp1251: '.*Глава 1"),
    ],
)
def test_text_that_was_read_in_a_wrong_encoding_before_is_refused_with_a_guess(text, message):
    with pytest.raises(ManifestError, match=message):
        split(f"Chapter I\n\n{text}\n", "a.txt")


def test_numbers_on_lines_of_their_own_and_long_titles_of_old_novels_are_headings():
    """Of The Awakening 38 of 39 chapters began unseen, of Oliver Twist 15 of 53."""
    text = "I\n\nOne.\n\nII\n\nTwo.\n\nIII\n\nThree.\n"
    assert titles(split(text, "a.txt")) == ["I", "II", "III"]
    told = "OLIVER BECOMES BETTER ACQUAINTED WITH THE\nCHARACTERS OF HIS NEW ASSOCIATES; AND PURCHASES\nEXPERIENCE."
    found = split(f"CHAPTER I.\n{told}\n\n\nOne.\n\n\n\n CHAPTER II.\n{told}\n{told}\n\n\nTwo.\n", "a.txt")
    assert [len(chapter.blocks) for chapter in found.chapters] == [2, 2]
    people = (
        "Chapter VI: The Reverend Arthur Beebe, the Reverend Cuthbert Eager,\nMr. Emerson, Miss Lavish and\nMiss Lucy"
    )
    found = split(
        f"Chapter V: A Walk\n\n\nOne.\n\n\n\n{people} Drive Out in Carriages to See a\nView.\n\n\nTwo.\n", "a.txt"
    )
    assert len(found.chapters) == 2


def test_words_are_counted_alike_whatever_else_a_text_has():
    """The quick way of counting, for Western letters, knows all that the other does."""
    others = [chr(number) for number in range(32, 0x2B0) if chr(number).isprintable()]
    assert [words_in(f"a {sign} b") for sign in others] == [words_in(f"a {sign} b 字") - 1 for sign in others]


def test_titles_of_an_epub_without_contents_that_only_their_look_shows():
    names = ["The River", "The Bridge", "The Mill"]
    pages = {f"{at}.xhtml": f"<p><b>{name}</b></p>{STORY * 4}" for at, name in enumerate(names)}
    assert titles(split(epub(pages))) == names


FRONT = {
    "title page": {"t.xhtml": "<h1>Tales</h1><p>by A. Writer</p>"},
    "copyright page": {
        "t.xhtml": "<h1>Tales</h1><p>A. Writer</p>",
        "c.xhtml": "<p>© 2020 A. Writer. All rights reserved.</p>",
    },
    "another title": {
        "t.xhtml": "<h1>Tales of Kent</h1><p>A. Writer</p><p>ISBN 978-3-16-148410-0</p><p>For my mother</p>"
    },
}


@pytest.mark.parametrize("front", FRONT.values(), ids=list(FRONT))
def test_title_pages_of_an_epub_without_contents_are_no_chapter(front):
    names = ["The River", "The Bridge", "The Mill"]
    pages = {**front, **{f"{at}.xhtml": f"<h1>{name}</h1>{STORY * 4}" for at, name in enumerate(names)}}
    with zipfile.ZipFile(io.BytesIO(epub(pages))) as archive:
        package = archive.read("o/p.opf").decode().replace("<metadata/>", "<metadata><title>Tales</title></metadata>")
    found = split(epub(pages, **{"o/p.opf": package}))
    assert titles(found) == names
    assert [part.chapter for part in found.parts] == [None, 1, 2, 3]


def test_a_first_story_with_the_title_of_its_book_is_read():
    names = ["Tales", "The Bridge", "The Mill"]
    text = f"<title>Tales</title>{''.join(f'<h2>{name}</h2>{STORY * 4}' for name in names)}"
    assert titles(split(text, "a.html")) == names
