"""Text files that were made from pages: form feeds, page numbers, running heads."""

import pytest

from pipeline.books.catalogue import read_book
from tests.books.test_text_layouts import LONG, SHORT, paragraphs, read, wrap

PAGE_LINES = 13


def paged(number_form: str, *, head: str = "", break_form: str = "\f", first: int = 11) -> tuple[str, list[str]]:
    """Return a chapter on pages that cut sentences, and its paragraphs."""
    texts = paragraphs(44)
    lines = "\n\n".join(map(wrap, texts)).split("\n")
    pages = [lines[start : start + PAGE_LINES] for start in range(0, len(lines), PAGE_LINES)]
    text = ""
    for number, page in enumerate(pages, first):
        top = head.format(title="THE OLD MILL" if number % 2 else "A. WRITER") if number > first else ""
        text += (f"{top}\n\n" if top else "") + "\n".join(page)
        text += "\n" + number_form.format(number=number) + break_form
    return text, texts


FORMS = {
    "bare": ("\n{number:>40}\n", "", "\f"),
    "dashes": ("\n{number:>30} -\n", "", "\f"),
    "page": ("Page {number}\n", "", "\f"),
    "page of pages": ("\nPage {number} of 40\n", "", "\f"),
    "head and number": ("\n{number:>40}\n", "        {title}", "\f"),
    "head only": ("", "        {title}", "\f"),
    "no form feed": ("{number}\n", "", ""),
    "no form feed, between blank lines": ("\n{number}\n\n", "", ""),
    "no form feed, with a head": ("\n{number}\n\n", "{title}", ""),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_pages_are_joined_and_their_numbers_and_heads_left_out(form):
    number, head, break_form = form
    text, texts = paged(number, head=head, break_form=break_form)
    assert read(f"CHAPTER I\n\n{text}\n\nCHAPTER II\n\n{LONG}\n") == [("CHAPTER I", texts), ("CHAPTER II", [LONG])]


def test_numbers_beside_the_heads_of_left_and_right_pages():
    lines = [f"{SHORT}\n\n{LONG}\n\n{SHORT}\n"] * 4
    heads = ["12 THE OLD MILL", "A STORM 13", "14 THE OLD MILL"]
    text = "\n".join(f"{page}\n{head}\n\n" for page, head in zip(lines, [*heads, ""], strict=True))
    assert read(f"CHAPTER I\n\n{text}\n\n\nCHAPTER II\n\n{LONG}") == [
        ("CHAPTER I", [SHORT, LONG, SHORT] * 4),
        ("CHAPTER II", [LONG]),
    ]


def test_a_title_in_ordinary_letters_at_the_top_of_a_page_begins_a_chapter():
    text = "\n\f".join(f"{title}\n\n{wrap(LONG)}" for title in ("Rain", "The Old Road", "To the Sea"))
    assert read(text) == [("Rain", [LONG]), ("The Old Road", [LONG]), ("To the Sea", [LONG])]


def test_a_heading_behind_a_form_feed_begins_a_chapter():
    text = "\n\f".join(f"CHAPTER {number}\n\n{wrap(LONG)}" for number in range(1, 4))
    assert read(text) == [(f"CHAPTER {number}", [LONG]) for number in range(1, 4)]


@pytest.mark.parametrize("title", ["{number}", "{number}.", "January {number}", "- {number} -"])
def test_titles_with_numbers_on_pages_of_their_own_are_no_page_numbers(title):
    titles = [title.format(number=number) for number in range(1, 5)]
    text = "\f".join(f"{title}\n\n{wrap(LONG)}\n\n{SHORT}\n" for title in titles)
    document = read_book(text.encode(), "b.txt", "b.txt")
    assert not [block.text for block in document.blocks if block.reason]


def test_dates_that_go_up_are_no_pages_without_form_feeds():
    text = "\n\n".join(f"May {number}\n\n" + "\n\n".join(map(wrap, paragraphs(6))) for number in range(3, 8))
    document = read_book(text.encode(), "b.txt", "b.txt")
    assert not [block.text for block in document.blocks if block.reason]


def test_what_is_left_out_of_pages_is_counted():
    text, _ = paged("\n{number:>40}\n", head="{title}")
    document = read_book(f"CHAPTER I\n\n{text}".encode(), "b.txt", "b.txt")
    assert {block.reason for block in document.blocks if block.reason} == {"page number", "running head"}


def test_titles_of_chapters_at_the_edges_of_pages_are_no_running_heads():
    """Each volume has its chapters 1 and 2, and a page ends before, behind or within each title."""
    texts = []
    for volume in ("I", "II", "III"):
        for number in (1, 2):
            title = f"VOLUME {volume}\n\n\fCHAPTER 1" if number == 1 else "\fCHAPTER 2"
            texts.append(f"{title}\n\f\n{wrap(LONG)}\n\n{wrap(LONG)}")
    found = read("\n\n".join(texts))
    assert [title for title, _ in found] == ["CHAPTER 1", "CHAPTER 2"] * 3
    cut = "".join(f"CHAPTER\n\f{number}\n\n{wrap(LONG)}\n\n\n" for number in (1, 2, 3))
    assert [title for title, _ in read(cut)] == ["CHAPTER 1", "CHAPTER 2", "CHAPTER 3"]
    name = f"CHAPTER 1. IN WHICH THE MILLER\n\fCOMES HOME\n\n{wrap(LONG)}\n\n\nCHAPTER 2. OUT\n\n{wrap(LONG)}"
    assert read(name)[0] == ("CHAPTER 1. IN WHICH THE MILLER COMES HOME", [LONG])


def test_the_title_of_a_chapter_is_left_out_where_it_is_a_running_head():
    text, texts = paged("\n{number:>40}\n", head="CHAPTER I")
    found = read(f"CHAPTER I\n\n{text}\n\nCHAPTER II\n\n{LONG}")
    assert found == [("CHAPTER I", texts), ("CHAPTER II", [LONG])]
