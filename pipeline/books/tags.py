"""What the files of a book say of it to players: tags of chapters and of the book, marks, and the folder it lies in."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.books.importing import CONTENTS
from pipeline.config.printable import without_controls
from pipeline.storage import Storage

_MAX_NARRATORS = 5
_MAX_FOLDER_CHARS = 100
_NOT_IN_FOLDERS = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]+')


@dataclass
class BookTags:
    """A book as players know it.

    Attributes:
        title: of the book.
        author: of it.
        language: a code; empty where nobody knows it.
        edition: `date`, `publisher`, `description`, `series`, `series_number`, as far as the book says them.
        parts: the titles above each chapter, by its number.
        path: the book's file in its catalogue; empty where nobody says it.
        speakers: how many sentences each reads, so far.
    """

    title: str = ""
    author: str = ""
    language: str = ""
    edition: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[int, Sequence[str]] = field(default_factory=dict)
    path: str = ""
    speakers: Counter[str] = field(default_factory=Counter)

    def of_chapter(self, number: int, title: str, speakers: Iterable[str]) -> dict[str, str]:
        """Return the tags of a chapter's file."""
        return self._tags(title or f"Chapter {number}", speakers, track=str(number))

    def of_book(self) -> dict[str, str]:
        """Return the tags of the book's file."""
        return self._tags(self.title, self.speakers, genre="Audiobook")

    def _tags(self, title: str, speakers: Iterable[str], **more: str) -> dict[str, str]:
        edition = self.edition
        series, number = edition.get("series", ""), edition.get("series_number", "")
        counted = Counter(speakers) if not isinstance(speakers, Counter) else speakers
        names = [name for name, _ in counted.most_common(_MAX_NARRATORS)]
        tags = {
            "title": title,
            "artist": self.author,
            "album_artist": self.author,
            "album": self.title,
            "composer": ", ".join(names),  # Where players look for who reads.
            "date": edition.get("date", ""),
            "publisher": edition.get("publisher", ""),
            "description": edition.get("description", ""),
            "comment": edition.get("description", ""),
            "language": self.language,
            "series": series,
            "series-part": number,
            "grouping": f"{series}, {number}" if series and number else series,
            **more,
        }
        return {name: without_controls(value) for name, value in tags.items() if value}

    def folder(self) -> str:
        """Return `Author/Series/Title`, or less where the book says less."""
        names = [self.author or "Unknown", self.edition.get("series", ""), self.title or "Untitled"]
        return "/".join(name for name in map(_folder_name, names) if name)


def _folder_name(text: str) -> str:
    name = " ".join(_NOT_IN_FOLDERS.sub(" ", without_controls(text)).split())[:_MAX_FOLDER_CHARS]
    return name.strip(" .").lstrip("_-")


def read_tags(contents: Storage | None, book_id: str) -> BookTags:
    """Return what an import found out about a book; little without its contents."""
    if contents is None:
        return BookTags()
    try:
        report: dict[str, Any] = json.loads(contents.get(f"{CONTENTS}{book_id}.json"))["report"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return BookTags()
    parts = zip(report.get("chapter_numbers", ()), report.get("chapter_parts", ()), strict=False)
    return BookTags(
        language=str(report.get("language") or ""),
        edition=dict(report.get("edition") or {}),
        parts=dict(parts),
        path=str(report.get("path") or ""),
    )


def mark_titles(chapters: Sequence[tuple[int, str]], parts: Mapping[int, Sequence[str]]) -> list[str]:
    """Return the titles of a book's marks: with their parts where two chapters would have the same.

    Args:
        chapters: number and title of each.
        parts: the titles above each, by its number.
    """
    counts = Counter(title for _, title in chapters)
    titles = []
    for number, title in chapters:
        above = parts.get(number, ()) if counts[title] > 1 else ()
        titles.append(without_controls(": ".join([*above, title or f"Chapter {number}"])))
    return titles
