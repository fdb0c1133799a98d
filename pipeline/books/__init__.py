"""Books in: EPUB, text, Markdown and HTML become manifest rows with voices."""

from pipeline.books.casting import Cast, Character, load_casting, read_casts
from pipeline.books.catalogue import ReadBook, import_books, list_books, read_book, read_catalogue

__all__ = [
    "Cast",
    "Character",
    "ReadBook",
    "import_books",
    "list_books",
    "load_casting",
    "read_book",
    "read_casts",
    "read_catalogue",
]
