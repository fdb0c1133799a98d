"""What a page of the web has around a text, passages in another language, and numbers of Markdown that do not count."""

import pytest

from pipeline.books.catalogue import read_book
from pipeline.books.chapters import split_into_chapters
from pipeline.books.document import words_of

TALE = "<h2>In</h2><p>The cat sat down.</p><h2>Out</h2><p>It ran.</p>" + "<p>Nobody on the quay saw it go.</p>" * 3
LINKS = '<a href="/">Home</a> <a href="/b">Buy the book</a>'


def read(text, name="a.html"):
    document = read_book(text.encode(), name, name)
    assert document.num_words == words_of(document.blocks)
    split = split_into_chapters(document)
    return document, [block.text for chapter in split.chapters for block in chapter.blocks]


@pytest.mark.parametrize("page", [
    f"{TALE}<footer>Copyright A Site, all rights reserved</footer>",
    f"{TALE}<aside>{LINKS}</aside>",
    f"<header>A Site</header><main><article>{TALE}</article></main><aside>Buy now.</aside><footer>A Site</footer>",
    f"<article>{TALE}<footer>{LINKS}</footer></article>",
])  # fmt: skip
def test_what_a_site_puts_around_a_text_is_left_out_with_its_reason(page):
    document, texts = read(f"<html><body>{page}</body></html>")
    assert texts == read(f"<html><body>{TALE}</body></html>")[1]
    assert {block.reason for block in document.blocks if block.reason} == {"page furniture"}


@pytest.mark.parametrize("part", [
    "<aside><p>Dear Tom, come at once.</p></aside>",
    "<footer>Yours, Mary</footer>",
    "<section><aside>A box of the story.</aside></section>",
    '<blockquote><p>Come.</p><footer>Mary</footer></blockquote>',
])  # fmt: skip
def test_an_aside_and_a_footer_of_a_story_are_read(part):
    for page in (f"{TALE}{part}", f"<main>{TALE}{part}</main>"):
        document, _ = read(f"<html><body>{page}</body></html>")
        assert not [block for block in document.blocks if block.reason]


def test_passages_in_another_language_are_noted():
    passage = '<p lang="fr">Il ne savait pas pourquoi il pleuvait.</p>'
    page = f'<html lang="en"><body><p>He said <i lang="fr">oui</i>.</p>{passage}'
    document, _ = read(page)
    assert document.notes == [
        "1 passage(s) are marked as fr in a book in en, and are read as en: Il ne savait pas pourquoi il pleuvait."
    ]


def test_numbers_of_markdown_that_count_nothing_are_text():
    text = "# One\n\n2020. It was a year.\n\n1984.\n\nThen:\n\n1. Fill it.\n2. Boil it.\n"
    text += "\n# Two\n\n7. *Go* on\n\n   Indeed.\n"
    _, texts = read(text, "a.md")
    assert texts[:6] == ["One", "2020. It was a year.", "1984.", "Then:", "Fill it.", "Boil it."]
    assert texts[6:] == ["Two", "7. Go on", "Indeed."]
