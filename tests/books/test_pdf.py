"""PDF: chapters by bookmarks or larger letters, paragraphs by indents, heads, page numbers and notes left out."""

import random
import zlib
from collections import Counter
from dataclasses import replace

import pytest

from pipeline.books import limits
from pipeline.books.catalogue import read_book
from pipeline.books.chapters import split_into_chapters
from pipeline.books.document import words_of
from pipeline.errors import ManifestError

WORDS = "the old miller sat beside the river and watched what came down with the dark water that night".split()
TOP, LEADING, LEFT, WIDTH = 740, 14, 72, 78


def write_pdf(pages, bookmarks=(), info="") -> bytes:
    """A PDF of pages, each of lines (x, y, size, text), operators behind where need be; bookmarks (title, page)."""
    objects = ["", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>"]
    kids = []
    for lines in pages:
        drawn = "".join(
            f"BT /F1 {size} Tf {x} {y} Td {' '.join(how)} ({text}) Tj ET\n" for x, y, size, text, *how in lines
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /Contents {len(objects)} 0 R /MediaBox [0 0 612 792] "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    first = len(objects) + 2
    outlines = f" /Outlines {first - 1} 0 R" if bookmarks else ""
    objects[0] = f"<< /Type /Catalog /Pages 2 0 R{outlines} >>"
    if bookmarks:
        objects.append(f"<< /First {first} 0 R /Last {first + len(bookmarks) - 1} 0 R >>")
        for number, (title, page) in enumerate(bookmarks):
            following = f" /Next {first + number + 1} 0 R" if number + 1 < len(bookmarks) else ""
            objects.append(f"<< /Title ({title}) /Parent {first - 1} 0 R{following} /Dest [{kids[page]} /Fit] >>")
    if info:
        objects.append(info)
    data, places = "%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    start = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    known = f" /Info {len(objects)} 0 R" if info else ""
    return f"{data}trailer << /Size {len(objects) + 1} /Root 1 0 R{known} >>\nstartxref\n{start}\n%%EOF\n".encode(
        "latin-1"
    )


def paragraph(seed: int, num_words: int = 40) -> str:
    chosen = random.Random(seed).choices(WORDS, k=num_words)
    return f"{' '.join(chosen).capitalize()}."


def set_lines(text: str, width: int = WIDTH) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def typeset(chapters, *, heads=("THE OLD MILL", "A WRITER"), size=10, lines_a_page=30, indent=12):
    """Pages of chapters [(title, size of its letters, paragraphs)], each on a new page, with heads and page numbers."""
    pages = []
    for title, title_size, paragraphs in chapters:
        page = [(LEFT, TOP - 30, title_size, title)] if title else []
        height = TOP - 30 - 3 * LEADING
        for text in paragraphs:
            for number, line in enumerate(set_lines(text)):
                if height < TOP - lines_a_page * LEADING:
                    pages.append(page)
                    page, height = [], TOP - 30
                page.append((LEFT + (0 if number else indent), height, size, line))
                height -= LEADING
        pages.append(page)
    for number, page in enumerate(pages, 1):
        page.append((300, 40, size, str(number)))
        if heads and number > 1:
            page.append((LEFT, TOP + 20, size, heads[number % 2]))
    return pages


def read(data: bytes):
    document = read_book(data, "a.pdf", "a.pdf")
    return document, split_into_chapters(document)


def titles(split) -> list[str]:
    return [chapter.title for chapter in split.chapters]


def texts(chapter) -> list[str]:
    return [block.text for block in chapter.blocks if block.kind != "heading"]


STORY = {name: [paragraph(seed, 30 + seed % 40) for seed in range(at, at + 12)] for at, name in
         zip((0, 20, 40), ("The Mill", "The River", "The Bridge"), strict=True)}  # fmt: skip


@pytest.mark.parametrize("has_bookmarks", [False, True])
@pytest.mark.parametrize("indent", [12, 0])
def test_a_book_with_heads_and_page_numbers_is_read_whole(has_bookmarks, indent):
    chapters = [(name, 16, paragraphs) for name, paragraphs in STORY.items()]
    pages = typeset(chapters, indent=indent)
    starts = [number for number, page in enumerate(pages) if page[0][2] == 16]
    bookmarks = list(zip(STORY, starts, strict=True)) if has_bookmarks else ()
    document, split = read(write_pdf(pages, bookmarks, "<< /Title (The Old Mill) /Author (A. Writer) >>"))
    assert (document.title, document.author) == ("The Old Mill", "A. Writer")
    assert titles(split) == list(STORY)
    if indent:  # Without one, only short last lines part paragraphs.
        assert [texts(chapter) for chapter in split.chapters] == list(STORY.values())
    assert [" ".join(texts(chapter)) for chapter in split.chapters] == [" ".join(story) for story in STORY.values()]
    reasons = Counter(block.reason for block in split.blocks if block.reason)
    assert reasons == {"page number": len(pages), "running head": len(pages) - 1}
    assert document.num_words == words_of(split.blocks)


def test_bookmarks_decide_where_no_letters_are_larger():
    chapters = [(name, 10, paragraphs) for name, paragraphs in STORY.items()]
    pages = typeset(chapters)
    starts = [number for number, page in enumerate(pages) if page[0][3] in STORY]
    document, split = read(write_pdf(pages, list(zip(STORY, starts, strict=True))))
    assert titles(split) == list(STORY)
    assert len(document.notes) == 1
    renamed = [(f"Part {name}", start) for name, start in zip(STORY, starts, strict=True)]
    document, split = read(write_pdf(pages, renamed))
    assert titles(split) == ["Part The Mill", "Part The River", "Part The Bridge"]


def test_bookmarks_of_other_words_begin_with_their_pages_headings_and_that_is_noted():
    pages = typeset([(name, 16, paragraphs) for name, paragraphs in STORY.items()])
    starts = [number for number, page in enumerate(pages) if page[0][2] == 16]
    marks = list(zip(("One", "Two", "Three"), starts, strict=True))
    document, split = read(write_pdf(pages, marks))
    assert titles(split) == list(STORY)
    assert "3 of 3 bookmarks are not on their pages as they are written" in document.notes[0]
    of_pages = [(f"Page {number + 1}", number) for number in range(len(pages))]
    assert titles(read(write_pdf(pages, of_pages))[1]) == list(STORY)


@pytest.mark.parametrize("size", [10, 14])
def test_short_chapters_with_the_same_word_in_their_titles_are_chapters(size):
    """`Chapter 1` to `Chapter 6` at one height on pages behind each other are no running head."""
    chapters = [(f"Chapter {number}", size, [paragraph(number)]) for number in range(1, 7)]
    _, split = read(write_pdf(typeset(chapters, heads=())))
    assert titles(split) == [f"Chapter {number}" for number in range(1, 7)]


def test_a_number_in_large_letters_is_a_chapter_and_one_in_small_letters_a_page_number():
    chapters = [(str(number), 16, [paragraph(number), paragraph(number + 9)]) for number in range(1, 5)]
    _, split = read(write_pdf(typeset(chapters, heads=())))
    assert titles(split) == ["1", "2", "3", "4"]


def test_chapters_behind_a_full_page_begin_where_they_stand():
    """A page that ends with a full line, and a title in letters as large as the text's, are not joined."""
    page = [(LEFT, TOP - LEADING * number, 10, "word " * 15 + "end.") for number in range(40)]
    pages = [[(LEFT, TOP, 10, f"Chapter {name}"), *((x, y - LEADING, size, text) for x, y, size, text in page)]
             for name in ("One", "Two", "Three", "Four")]  # fmt: skip
    _, split = read(write_pdf(pages))
    assert titles(split) == ["Chapter One", "Chapter Two", "Chapter Three", "Chapter Four"]


def test_words_that_a_line_cuts_are_whole_and_words_with_hyphens_keep_them():
    lines = [
        "The miller had no one to help him with the wheel, and how of-",
        "ten he wished for somebody, some well-",
        "known hand, or a half-forgotten friend from the green-",
        "house. He was well-known himself, and often alone.",
    ]
    pages = [[(LEFT, TOP - LEADING * at, 10, line) for at, line in enumerate(lines)]]
    document, split = read(write_pdf(pages))
    text = " ".join(block.text for chapter in split.chapters for block in chapter.blocks)
    assert "how often he wished for somebody, some well-known hand" in text
    assert "from the greenhouse. He" in text
    assert document.num_words == words_of(split.blocks)


def test_notes_at_the_foot_of_a_page_and_their_marks_are_left_out():
    pages = []
    for number in (1, 2, 3):
        page = [(LEFT, TOP - LEADING * at, 10, line) for at, line in enumerate(set_lines(paragraph(number, 90)))]
        page.append((LEFT, 500, 10, "So the water had gone by that night."))
        page.append((LEFT + 36 * 6, 503, 6, str(number)))
        page.append((LEFT, 90, 8, f"{number} See the parish books of that year,"))
        page.append((LEFT, 80, 8, "which somebody kept in the mill."))
        page.append((300, 40, 10, str(number)))
        pages.append(page)
    document, split = read(write_pdf(pages))
    text = " ".join(block.text for chapter in split.chapters for block in chapter.blocks)
    assert "parish" not in text
    assert text.count("had gone by that night.") == 3
    assert not any(character in text for character in "123¹²³")
    reasons = Counter(block.reason for block in split.blocks if block.reason)
    assert reasons["footnote"] == 6
    assert reasons["footnote mark"] == 3
    assert document.num_words == words_of(split.blocks)


def test_columns_are_read_one_after_the_other():
    columns = [set_lines(" ".join(paragraph(seed, 50) for seed in range(at, at + 5)), 34) for at in range(1, 60, 10)]
    pages = [
        [(LEFT + 250 * side, TOP - LEADING * at, 10, line) for side in (0, 1)
         for at, line in enumerate(columns[2 * page + side])] for page in range(3)
    ]  # fmt: skip
    _, split = read(write_pdf(pages))
    text = " ".join(block.text for chapter in split.chapters for block in chapter.blocks)
    assert text == " ".join(line for column in columns for line in column)


def test_verse_keeps_its_lines_and_scenes_are_scenes():
    prose = set_lines(paragraph(3, 80))
    verse = ["The wind is low,", "The night is long,", "And no one hears", "The miller sing."]
    lines = [*prose, *verse, "* * *", *prose]
    gaps = {len(prose), len(prose) + len(verse), len(prose) + len(verse) + 1}
    page, height = [], TOP
    for at, line in enumerate(lines):
        height -= LEADING * (2 if at in gaps else 1)
        page.append((LEFT + 30 * (line in verse), height, 10, line))
    _, split = read(write_pdf([page]))
    blocks = split.chapters[0].blocks
    assert [block.kind for block in blocks] == ["paragraph", "verse", "scene", "paragraph"]
    assert blocks[1].text == "\n".join(verse)


def test_a_large_first_letter_belongs_to_its_word():
    lines = set_lines(paragraph(5, 90))
    page = [(LEFT, TOP - 10, 30, lines[0][0]), (LEFT + 20, TOP, 10, lines[0][1:])]
    page += [(LEFT, TOP - LEADING * at, 10, line) for at, line in enumerate(lines[1:], 1)]
    document, split = read(write_pdf([page]))
    assert split.chapters[0].blocks[0].text == " ".join(lines)
    assert document.num_words == words_of(split.blocks)


BODY = [paragraph(seed, 60) for seed in range(60, 64)]


def set_page(paragraphs, top=TOP, size=10):
    lines = [line for text in paragraphs for line in set_lines(text)]
    return [(LEFT, top - LEADING * at, size, line) for at, line in enumerate(lines)]


def test_no_line_of_a_story_is_a_head_for_standing_apart():
    """A last line alone on its page, a salutation, a title in the text's own letters, a line above a picture."""
    letters = [[(LEFT, TOP, 10, "My dear Aunt,"), *set_page([text], TOP - 40), (300, 40, 10, str(number))]
               for number, text in enumerate(BODY, 1)]  # fmt: skip
    _, split = read(write_pdf(letters))
    text = " ".join(block.text for chapter in split.chapters for block in chapter.blocks)
    assert text.count("My dear Aunt,") == len(BODY)
    pictures = [[(LEFT, TOP, 10, f"Above number {name} is a mill"), (LEFT, 100, 10, f"and below {name} a dog"),
                 (300, 40, 10, str(number))]
                for number, name in enumerate(("one", "two", "three", "four"), 1)]  # fmt: skip
    _, split = read(write_pdf(pictures))
    assert {block.reason for block in split.blocks} == {"", "page number"}
    own = [[(LEFT, TOP, 10, name.upper()), *set_page([text], TOP - 40), (300, 40, 10, str(number))]
           for number, (name, text) in enumerate(zip(("Bees", "Ants", "Wasps"), BODY, strict=False), 1)]  # fmt: skip
    assert titles(read(write_pdf(own))[1]) == ["BEES", "ANTS", "WASPS"]


def test_small_numbered_lines_to_which_no_mark_leads_are_text():
    page = [*set_page(BODY[:1]), (LEFT, 90, 8, "1 cup of flour and a spoon"), (LEFT, 80, 8, "2 eggs of any size")]
    _, split = read(write_pdf([page]))
    assert not any(block.reason for block in split.blocks)


def test_letters_set_apart_are_words():
    page = [(LEFT, TOP, 18, "THE WIDOW", "4 Tc"), *set_page(BODY[:1], TOP - 60), (LEFT, 400, 10, "He said it", "0 Tc"),
            (LEFT, 386, 10, "never again to anybody there.", "2.5 Tc")]  # fmt: skip
    _, split = read(write_pdf([page]))
    assert split.chapters[0].blocks[0].text == "THE WIDOW"
    assert split.chapters[0].blocks[-1].text.endswith("never again to anybody there.")


def test_what_is_printed_twice_is_read_once_and_what_lies_aslant_is_left_out():
    twice = [line for x, *line in set_page(BODY[:1]) for line in ((x, *line), (x + 0.25, *line))]
    aslant = (0, 0, 60, "DRAFT", "0.7 0.7 -0.7 0.7 200 300 Tm")
    document, split = read(write_pdf([[*twice, aslant]]))
    assert [block.text for block in split.blocks if not block.reason] == BODY[:1]
    assert [block.text for block in split.blocks if block.reason] == ["DRAFT"]
    assert document.num_words == words_of(split.blocks)


def test_notes_at_the_margin_and_numbers_of_lines_are_no_words_of_sentences():
    lines = set_page(BODY[:2])
    beside = [(560, TOP - LEADING, 7, "The mill"), (560, TOP - 4 * LEADING, 7, "The dog")]
    numbers = [(40, TOP - LEADING * at, 10, str(5 * at)) for at in (2, 4)]
    _, split = read(write_pdf([[*lines, *beside, *numbers]]))
    assert " ".join(block.text for block in split.blocks if not block.reason) == " ".join(BODY[:2])
    reasons = Counter(block.reason for block in split.blocks if block.reason)
    assert reasons == {"marginal note": 2, "line number": 2}


def test_sections_are_no_chapters_and_headings_that_bookmarks_forget_are():
    chapters = [(f"{at} {name}", 16, [BODY[at]]) for at, name in enumerate(("Bees", "Ants", "Wasps"), 1)]
    pages = typeset(chapters, heads=())
    for number, page in enumerate(pages, 1):
        page.append((LEFT, 400, 13, f"{number}.1 Early days"))
        page += set_page([BODY[0]], 370)
    assert titles(read(write_pdf(pages))[1]) == ["1 Bees", "2 Ants", "3 Wasps"]
    document, split = read(write_pdf(pages, [("1 Bees", 0), ("3 Wasps", 2)]))
    assert titles(split) == ["1 Bees", "2 Ants", "3 Wasps"]
    assert "1 heading(s) look like those that bookmarks name" in document.notes[0]


def test_titles_across_two_columns_come_before_both():
    pages = []
    for top, names in ((TOP, "Bees"), (TOP - 300, "Ants")):
        column = set_lines(BODY[0], 34)[:10]
        pages += [(LEFT, top, 16, names)]
        pages += [(LEFT + 250 * side, top - 40 - LEADING * at, 10, f"{names} {line}") for side in (0, 1)
                  for at, line in enumerate(column)]  # fmt: skip
    text = [block.text for chapter in read(write_pdf([pages]))[1].chapters for block in chapter.blocks]
    joined = " ".join(text)
    assert joined.rindex("Bees") < joined.index("Ants")


def test_what_is_no_readable_pdf_is_named_with_the_way(monkeypatch):
    with pytest.raises(ManifestError, match="no text; make a text layer first"):
        read(write_pdf([[], []]))
    with pytest.raises(ManifestError, match="cannot be read as PDF"):
        read(b"%PDF-1.4\nnothing")
    whole = write_pdf(typeset([("The Mill", 16, STORY["The Mill"])]))
    for cut in range(0, len(whole), len(whole) // 7):
        try:
            read(whole[:cut])
        except ManifestError:
            continue
    monkeypatch.setattr(limits, "LIMITS", replace(limits.LIMITS, max_items=1))
    with pytest.raises(ManifestError, match=r"2 pages, expected at most 1 \(max_items\)"):
        read(write_pdf([[(LEFT, TOP, 10, "One.")], [(LEFT, TOP, 10, "Two.")]]))
    monkeypatch.setattr(limits, "LIMITS", replace(limits.LIMITS, max_page_chars=3))
    with pytest.raises(ManifestError, match=r"page 1: 4 letters, .* at most 3 \(max_page_chars\)"):
        read(write_pdf([[(LEFT, TOP, 10, "One.")]]))


def test_a_pdf_that_unpacks_to_more_than_the_limit_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(limits, "LIMITS", replace(limits.LIMITS, max_unpacked_bytes=1_000_000))
    packed = zlib.compress(b" " * 3_000_000)
    bomb = b"%PDF-1.4\n1 0 obj\n<< /Filter /FlateDecode /Length 9 >>\nstream\n" + packed + b"\nendstream\nendobj\n"
    with pytest.raises(ManifestError, match=r"bytes unpacked, expected at most 1,000,000 \(max_unpacked_bytes\)"):
        read(bomb)
