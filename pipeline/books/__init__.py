"""Books in: EPUB, text, Markdown and HTML become manifest rows with voices."""

from pipeline.books.casting import Cast, Character, load_casting
from pipeline.books.catalogue import import_books, list_books, read_book

__all__ = ["Cast", "Character", "import_books", "list_books", "load_casting", "read_book"]
