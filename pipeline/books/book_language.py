"""The language of a book: what the config says, else what the book says, else what most of its text is.

A line alone says little of its language: `Monsieur Lawrence.` is a line of many an English novel. So a book is judged
as a whole, and its lines are of its language.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline.books.document import words_in
from pipeline.text.languages import (
    DETECTED_LANGUAGES,
    count_english_words,
    detect_language,
    is_mostly_han,
    language_code,
)

_PASSAGE_CHARS = 300
_MIN_SHARE = 0.8
_NOT_SAID = ("mul", "und", "zxx")
_HAN = ("zh", "ja")
_HAN_LETTER = re.compile("[\u3041-\u30fa\u3400-\u9fff]")
_MIN_WORDS = 4  # A name or two in Latin letters are words of a Chinese book.
_SURELY_ENGLISH = 0.3  # Of the words of English prose half are those that only English uses.
_MAX_EXAMPLE_CHARS = 60
_MIN_MARKED_WORDS = 6
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


@dataclass(frozen=True)
class BookLanguage:
    """What language a book is in.

    Attributes:
        code: ISO 639; None where it has several, and each row is judged by itself.
        notes: what somebody should know of it.
        problem: why somebody must look first; empty where nobody need.
    """

    code: str | None
    notes: list[str] = field(default_factory=list)
    problem: str = ""

    def of_row(self, text: str) -> str | None:
        """Return the language of a row: None, to be found by itself, where its script is not the book's."""
        if self.code in _HAN:
            is_foreign = not _HAN_LETTER.search(text) and len(text.split()) >= _MIN_WORDS
        else:
            is_foreign = self.code in DETECTED_LANGUAGES and is_mostly_han(text)
        return None if is_foreign else self.code


def find_book_language(declared: str, chosen: str | None, texts: Iterable[str], book_id: str) -> BookLanguage:
    """Say what language a book is in.

    Args:
        declared: by the book, a code or a name; may be empty.
        chosen: by the config: a code, or `auto` for row by row; None where it says nothing.
        texts: of the book's blocks, in order.
        book_id: as the config calls the book.
    """
    if chosen == "auto":
        return BookLanguage(None)
    said = language_code(chosen or declared)
    said = None if said in _NOT_SAID else said
    passages = [(detect_language(passage), passage) for passage in _passages(texts)]
    lengths = Counter[str]()
    for code, passage in passages:
        lengths[code] += len(passage)
    if not lengths:
        return BookLanguage(said)
    main, length = max(lengths.items(), key=lambda item: (item[1], item[0]))
    share = length / lengths.total()
    settle = f"audiobook.import.languages: {{{book_id}: CODE}} says which it is"
    if chosen is not None:
        is_other = said != main and share >= _MIN_SHARE and length >= _PASSAGE_CHARS
        is_sure = said in DETECTED_LANGUAGES or (main == "en" and _is_surely_english(passages))
        return BookLanguage(said, [_describe_choice(str(said), main, share, book_id)] if is_other and is_sure else [])
    if said is None:
        if share < _MIN_SHARE:
            found = ", ".join(f"{code} {count / lengths.total():.0%}" for code, count in lengths.most_common(3))
            return BookLanguage(None, [f"its text is in several languages ({found}): each row is judged by itself; "
                                       f"{settle}"])  # fmt: skip
        notes = [f"its language is not said; most of its text is {main}"]
    elif said in DETECTED_LANGUAGES and said != main and share >= _MIN_SHARE and length >= _PASSAGE_CHARS:
        return BookLanguage(
            said, [], f"it says that its language is {said}, and {share:.0%} of its text looks like {main}; {settle}"
        )
    else:
        notes = []
    code = said or main
    return BookLanguage(code, notes + _describe_others(code, passages))


def _is_surely_english(passages: list[tuple[str, str]]) -> bool:
    """Tell English from what only looks no more like another language: what nobody can tell is taken for English."""
    num_words, num_english = map(sum, zip(*(count_english_words(passage) for _, passage in passages), strict=True))
    return bool(num_english >= _SURELY_ENGLISH * num_words)


def _describe_choice(chosen: str, main: str, share: float, book_id: str) -> str:
    quotes = "; quotes are given to their speakers in English only" if chosen != "en" == main else ""
    return (
        f"the config says that its language is {chosen}, and {share:.0%} of its text looks like {main}: it is read as "
        f"{chosen}{quotes}; if that is wrong, correct audiobook.import.languages: {{{book_id}: {chosen}}}"
    )


def describe_marked(roots: Iterable[Any], declared: str) -> list[str]:
    """Name the passages of pages that are marked as another language than the book's; they are read in the book's.

    Args:
        roots: of the pages.
        declared: by the book, a code or a name; may be empty.
    """
    main = language_code(declared)
    found: dict[str, list[str]] = {}
    for element in (element for root in roots for element in root.iterdescendants() if main):
        code = language_code(str(element.get("lang") or element.get(_XML_LANG) or ""))
        if code in (None, main) or code in _NOT_SAID or element.tag == "body":
            continue
        text = " ".join("".join(element.itertext()).split())
        if words_in(text) >= _MIN_MARKED_WORDS:
            found.setdefault(str(code), []).append(text)
    return [
        f"{len(texts):,} passage(s) are marked as {code} in a book in {main}, and are read as {main}: "
        f"{texts[0][:_MAX_EXAMPLE_CHARS]}"
        for code, texts in found.items()
    ]


def _passages(texts: Iterable[str]) -> Iterable[str]:
    held = ""
    for text in texts:
        if re.search(r"\w", text):
            held += f" {text}"
        if len(held) >= _PASSAGE_CHARS:
            yield held.strip()
            held = ""
    if held:
        yield held.strip()


def _describe_others(code: str, passages: list[tuple[str, str]]) -> list[str]:
    """Name the passages that look like other languages; a short end of a book proves nothing."""
    if code not in DETECTED_LANGUAGES:
        return []
    notes = []
    others = Counter(found for found, passage in passages if found != code and len(passage) >= _PASSAGE_CHARS)
    for other, count in others.most_common():
        example = next(passage for found, passage in passages if found == other and len(passage) >= _PASSAGE_CHARS)
        shown = " ".join(example.split())[:_MAX_EXAMPLE_CHARS]
        notes.append(f"{count:,} passage(s) look like {other} in a book in {code}: {shown}")
    return notes
