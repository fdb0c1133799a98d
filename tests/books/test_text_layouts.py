"""Text files part paragraphs and chapters in many ways: blank lines, indents, a paragraph a line, room, numbers."""

import textwrap

import pytest

from pipeline.books.catalogue import read_book
from pipeline.books.chapters import split_into_chapters
from pipeline.books.document import words_of

LONG = ("The miller came down to the river in the evening, and nobody was there but the old dog, who looked at him "
        "and did not bark at all. He said nothing.")  # fmt: skip
SHORT = '"Come here," he said to the dog, and it came.'
NAMES = {"The River": 8, "The Bridge": 7, "The Mill": 9}
CHINESE = ("老磨坊主坐在窗前，看着河水流过，直到天黑。", "“你来了。”他说。")


def paragraphs(count: int) -> list[str]:
    return [LONG if number % 2 else SHORT for number in range(count)]


def wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 70, initial_indent=indent)


def read(text: str):
    document = read_book(text.encode(), "b.txt", "b.txt")
    split = split_into_chapters(document)
    assert document.num_words == words_of(split.blocks)
    return [
        (chapter.title, [block.text for block in chapter.blocks if block.kind != "heading"])
        for chapter in split.chapters
    ]


def expected(titles: list[str]):
    return [(title, paragraphs(count)) for title, count in zip(titles, NAMES.values(), strict=True)]


@pytest.mark.parametrize("indent", ["    ", "\t"])
def test_paragraphs_that_only_an_indent_begins(indent):
    chapters = [
        f"CHAPTER {number}\n\n" + "\n".join(wrap(text, indent) for text in paragraphs(count))
        for number, count in enumerate(NAMES.values(), 1)
    ]
    assert read("\n\n\n".join(chapters)) == expected(["CHAPTER 1", "CHAPTER 2", "CHAPTER 3"])


def test_a_paragraph_a_line_without_blank_lines():
    chapters = ["\n".join([f"Chapter {number}: {name}", *paragraphs(count)])
                for number, (name, count) in enumerate(NAMES.items(), 1)]  # fmt: skip
    assert read("\n".join(chapters)) == expected([f"Chapter {at}: {name}" for at, name in enumerate(NAMES, 1)])


def test_a_paragraph_a_line_in_chinese():
    chapters = [f"第{number}章 河\n" + "\n".join(f"    {text}" for text in CHINESE * 4) for number in "一二三"]
    assert read("\n".join(chapters)) == [(f"第{number}章 河", list(CHINESE * 4)) for number in "一二三"]


def test_numbers_between_paragraphs_are_chapters_and_numbers_within_sentences_pages():
    chapters = ["\n\n".join([f"{number}.", *map(wrap, paragraphs(count))])
                for number, count in enumerate(NAMES.values(), 1)]  # fmt: skip
    assert read("\n\n".join(chapters)) == expected(["1.", "2.", "3."])
    whole = wrap(" ".join(paragraphs(40))).split("\n")
    pages = [line for at, start in enumerate(range(0, len(whole), 9), 1)
             for line in (*whole[start : start + 9], "", str(at), "")]  # fmt: skip
    (only,) = read("\n".join(pages))
    assert not any(text.isdecimal() for text in only[1])


def test_titles_with_more_room_before_them_than_paragraphs_have():
    chapters = ["\n\n".join([name, *map(wrap, paragraphs(count))]) for name, count in NAMES.items()]
    assert read("\n\n\n".join(chapters)) == expected(list(NAMES))


@pytest.mark.parametrize("title", ["", "He went home\n\n", "At last.\n\n"])
def test_room_alone_makes_no_chapter(title):
    scenes = [title + "\n\n".join(map(wrap, paragraphs(count))) for count in NAMES.values()]
    assert len(read("\n\n\n".join(scenes))) == 1


def test_verse_keeps_its_lines_whatever_ends_them():
    stanza = "    The wind is low,\n    The night is long.\n    And no one hears,\n    The miller sing."
    text = "\n\n".join(["Chapter 1", *map(wrap, paragraphs(6)), stanza, *map(wrap, paragraphs(6))])
    ((_, found),) = read(text)
    assert "The wind is low,\nThe night is long.\nAnd no one hears,\nThe miller sing." in found


@pytest.mark.parametrize("mark", ["¹", "(1)", "{1}", "[1]"])
@pytest.mark.parametrize("sentence", ["“We have decided.”{} And so it is.", "»So it is.«{}", "He saw the reeve{}."])
def test_notes_that_begin_with_a_mark_that_stands_before(mark, sentence):
    text = "\n\n".join([f"CHAPTER {number}\n\n{sentence.format(mark)}\n\n{SHORT}\n\n{mark} A reeve of Kent.\n\n{LONG}"
                         for number in (1, 2)])  # fmt: skip
    assert read(text) == [(f"CHAPTER {number}", [sentence.format(""), SHORT, LONG]) for number in (1, 2)]


def test_numbers_of_pages_sections_and_lists_are_no_marks_of_notes():
    texts = [
        "It is in rule 3(1) of the law.",
        "(1) First, fill the jar.",
        "It was dark {12} outside.",
        "{13} He slept.",
    ]
    assert read("\n\n".join(["CHAPTER 1", *texts, "CHAPTER 2", LONG])) == [
        ("CHAPTER 1", [*texts[:2], "It was dark outside.", "He slept."]),
        ("CHAPTER 2", [LONG]),
    ]


def test_titles_in_capitals_among_indented_paragraphs_with_one_blank_line():
    texts = {"THE RIVER": 8, "THE BRIDGE": 7, "THE MILL": 9}
    chapters = [f"{name:^70}\n\n" + "\n".join(wrap(text, "    ") for text in paragraphs(count))
                for name, count in texts.items()]  # fmt: skip
    assert read("\n\n".join(chapters)) == expected(list(texts))


def test_titles_in_ordinary_letters_directly_above_indented_paragraphs():
    chapters = ["\n".join([name, *(wrap(text, "    ") for text in paragraphs(count))]) for name, count in NAMES.items()]
    assert read("\n\n".join(chapters)) == expected(list(NAMES))


@pytest.mark.parametrize("room", [1, 2, 3])
def test_titles_above_paragraphs_of_a_line_each(room):
    chapters = ["\n".join([name, *paragraphs(count)]) for name, count in NAMES.items()]
    assert read(("\n" * (room + 1)).join(chapters)) == expected(list(NAMES))


def test_poems_with_titles():
    verses = "The gate is open to the rain,\nThe cat has gone to sleep again,\nAnd nobody has come."
    poems = {"Rain": verses, "To a Cat": f"{verses}\n\n{verses}", "The Old Road": verses}
    found = read("\n\n\n".join(f"{title}\n\n{poem}" for title, poem in poems.items()))
    assert [title for title, _ in found] == list(poems)
    assert "\n\n".join(found[1][1]).split() == poems["To a Cat"].split()


@pytest.mark.parametrize("dates", [("3 May.", "4 May.", "9 May, evening."), ("Jan. 3rd.", "Feb. 4th.", "Mar. 1st."),
                                   ("den 3. Mai 1884.", "den 4. Mai 1884.", "den 8. Mai 1884.")])  # fmt: skip
def test_dates_of_a_diary(dates):
    days = ["\n\n".join([date, *map(wrap, paragraphs(4))]) for date in dates]
    for room in ("\n\n", "\n\n\n"):
        assert read(room.join(days)) == [(date, paragraphs(4)) for date in dates]


def test_sections_below_two_numbered_chapters_with_lists():
    items = ["1. Fill the jar.", "2. Then boil it.", "3. Let it rest."]
    texts = [f"{number}. {name}\n\n{number}.1 Sources\n\n{wrap(LONG)}\n\n" + "\n".join(items)
             for number, name in ((1, "Water"), (2, "Fire"))]  # fmt: skip
    assert read("\n\n".join(texts)) == [
        ("1. Water", ["1.1 Sources", LONG, *items]),
        ("2. Fire", ["2.1 Sources", LONG, *items]),
    ]


def test_a_book_in_capitals_has_no_titles_but_those_with_numbers():
    texts = ['"NO," SAID BOTH OF THEM AT ONCE.', LONG.upper()]
    chapters = ["\n\n".join([f"CHAPTER {number}", *map(wrap, texts)]) for number in (1, 2, 3)]
    assert read("\n\n\n".join(chapters)) == [(f"CHAPTER {number}", texts) for number in (1, 2, 3)]


@pytest.mark.parametrize(("label", "name", "title"), [
    ("CHAPITRE PREMIER", "\n\nLe vieux moulin", "CHAPITRE PREMIER. Le vieux moulin"),
    ("Chapter the First,", "\nin which nothing happens", "Chapter the First, in which nothing happens"),
    ("제1장", " 강가", "제1장 강가"),
])  # fmt: skip
def test_names_of_chapters_in_ordinary_letters(label, name, title):
    others = f"Chapter 2\n\n{wrap(LONG)}" if label.isascii() else f"제2장 다리\n\n{wrap(LONG)}"
    assert read(f"{label}{name}\n\n{wrap(LONG)}\n\n\n{others}")[0] == (title, [LONG])


def test_a_first_line_of_verse_is_no_name_of_a_chapter():
    found = read(f"CANTO I\n\nTell me not in words of grief\n\nThat the old road is long\n\n\nCANTO II\n\n{LONG}")
    assert [title for title, _ in found] == ["CANTO I", "CANTO II"]
