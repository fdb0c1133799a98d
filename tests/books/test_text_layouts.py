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
