"""Words that are on the page and not in the story: marks, page numbers, pictures, emphasis, capitals, licenses."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import regex

from pipeline.books.document import MARK_CLOSE, MARK_OPEN, Block, words_in
from pipeline.books.headings import is_finis, is_notes_title, starts_chapter, without_label
from pipeline.errors import ManifestError

_LICENSE_START = re.compile(
    r"\*{3}\s*START OF (?:THE|THIS) PROJECT GUTENBERG[^\n*]*+(?P<end>\*{3})?|^.*\*END\*?THE SMALL PRINT(?P<whole>).*$",
    re.I,
)
_LICENSE_END = re.compile(
    r"^\W*(?:\*{3}\s*END OF (?:THE|THIS) PROJECT GUTENBERG|End of (?:the )?Project Gutenberg|"
    r"\*{3}\s*START: FULL LICENSE)",
    re.I,
)
_OFFER = re.compile(
    r"[$£]\s?\d|\b(?:12mo|8vo|16mo|crown|cloth|gilt|postpaid|postage|illustrated|per volume|price|net|booksellers?|"
    r"publishers?|by the author of|\d+ cents)\b",
    re.I,
)
_MIN_OFFERS, _WORDS_PER_OFFER, _MAX_OFFERED_SHARE = 5, 120, 0.1
# A bracket that is never closed takes no more than so much along.
_IN_BRACKETS = r"(?:[^\[\]]|\[[^\[\]]{0,1000}\]){0,4000}+\]"
PICTURE = re.compile(rf"\[\s*(?:Illustration|Image|Picture|Frontispiece)\b{_IN_BRACKETS}", re.I)
FOOTNOTE_TEXT = re.compile(rf"\[\s*Footnote\b{_IN_BRACKETS}", re.I)
_FOOTNOTE_MARK = re.compile(
    r"(?<=\S)\s?\[(?:\d{1,3}|(?:[A-Z]|[a-m])(?=\](?!\w))|\*{1,3}|[†‡§])\]|"
    # After less it is a power: x², 10⁶, km².
    r"(?:(?<=[^\W\d_¹²³⁰-⁹₀-₉]{3})|(?<=\d{4})|(?<=[.,;:!?\"'’”‘“»›«‹…—。，！？；：」』]))[¹²³⁰-⁹]++(?![⁄/])"
)
_NOTE = re.compile(
    r"(\[(?:\d{1,3}|[A-Za-z]|\*{1,3}|[†‡§])\]|\*{1,3}(?=\s)|[†‡]|[¹²³⁰-⁹]{1,3}|\(\d{1,3}\)|\{\d{1,3}\})\s*(?=\S)"
)
_NEAR_NOTE = 12
_PAGE = re.compile(r"\[(?:Pg|Page|p\.)\s*[\divxlc]+\]|(?<!^)\{\d{1,4}\}|^\{\d{1,4}\}(?=\s*$)", re.I)
_PAGE_AT_START = re.compile(r"\{\d{1,4}\}\s*")
_EMPHASIS = re.compile(r"(?<!\w)_(?=\S)([^_\n]{1,300}?)(?<=\S)_(?!\w)", re.S)
EDITORIAL = re.compile(rf"\[\s*Transcriber(?:'|’)?s?\b{_IN_BRACKETS}", re.I)
_VOICE = re.compile(r"<\s*+(/?)voice\s*+(?::\s*+([^<>\n]{1,80}+)?)?\s*+>", re.I)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_CAPITALS = r"[A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĪĮİŁŃŇŌŐŒŘŚŞŠŤŪŮŰŸŹŻŽ]+"
_CAPITALS_WORD = rf"(?<!\w){_CAPITALS}(?:['’-]{_CAPITALS})*(?!\w)"
_CAPITALS_RUN = re.compile(rf"{_CAPITALS_WORD}(?:[\s,—-]+{_CAPITALS_WORD})*")
_ROMAN = re.compile(r"M{0,4}(?:CM|CD|D?C{0,4})(?:XC|XL|L?X{0,4})(?:IX|IV|V?I{0,4})")
_MIN_RUN = 3
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f]")
_MANY_ACCENTS = regex.compile(r"(\p{M}{30})\p{M}++")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_BARE_NUMBER = re.compile(r"[-–—\s]*\d+[-–—.\s]*$")
_ENDS_SENTENCE = re.compile(r"[.!?…。！？][\"'”’」』)）]*$")
_MAX_PAGE_STEP, _FIRST_YEAR = 3, 1_000
_SPACES = re.compile(r"[^\S\n]+")


def find_license(lines: Sequence[str]) -> tuple[int, int]:
    """Return where the book begins and ends between Project Gutenberg's marks: all of it where there are none."""
    marks = ((number, match) for number, line in enumerate(lines[:600]) if (match := _LICENSE_START.search(line)))
    number, mark = next(marks, (-1, None))
    start = number + 1
    if mark and mark["end"] is None and mark["whole"] is None:  # The title takes more than one line.
        closed = (
            later + 1 for later in range(start, min(start + 3, len(lines))) if lines[later].rstrip()[-3:] == "***"
        )
        start = next(closed, start)
    end = next((number for number in range(start, len(lines)) if _LICENSE_END.search(lines[number])), len(lines))
    return start, end


def leave_advertisements_out(blocks: list[Block]) -> list[Block]:
    """Mark what a publisher says of other books behind `The End`; another text there, or a chapter, is read."""
    num_words = sum(words_in(block.text) for block in blocks if not block.reason)
    ends = (number for number in range(len(blocks) - 1, -1, -1) if is_finis(blocks[number].text))
    start = next(ends, len(blocks)) + 1
    texts = [block.text for block in blocks[start:] if not block.reason]
    if any(starts_chapter(block.text) for block in blocks[start:] if block.kind == "heading"):
        return blocks
    offers = sum(len(_OFFER.findall(text)) for text in texts)
    length = sum(map(words_in, texts))
    if offers < _MIN_OFFERS or length > _MAX_OFFERED_SHARE * num_words or offers * _WORDS_PER_OFFER < length:
        return blocks
    return [block if number < start else block.left_out("front or back matter") for number, block in enumerate(blocks)]


def leave_license_out(blocks: list[Block]) -> list[Block]:
    """Mark what stands around the book of a format whose lines are gone."""
    start, end = find_license([block.text for block in blocks])
    return [
        block if start <= number < end else block.left_out("license") for number, block in enumerate(blocks)
    ]  # fmt: skip


def leave_notes_out(blocks: list[Block]) -> list[Block]:
    """Mark the paragraphs of footnotes that nothing but their mark says to be some: `[1] ...`, `* ...`, `(1) ...`.

    Such a mark stands in the text before. Those of one sort are taken out already; a star, a dagger or a number in
    round brackets goes here. `{1}` is the number of a page, unless a paragraph of its chapter begins with it again.
    """
    result: list[Block] = []
    marks: set[str] = set()
    braced: dict[str, int] = {}
    for block in blocks:
        if block.reason == "footnote mark":
            marks.add(block.text.strip())
        elif block.reason == "page number":
            braced[block.text.strip()] = len(result)
        elif block.kind == "heading" and not is_notes_title(block.text):
            braced.clear()
        note = _NOTE.match(block.text) if block.kind in ("paragraph", "item") and not block.reason else None
        if note is not None and note[1] in braced:
            result[braced[note[1]]] = replace(result[braced[note[1]]], reason="footnote mark")
            block = block.left_out("footnote")
        elif note is not None and (note[1] in marks or _take_mark(result, note[1])):
            block = block.left_out("footnote")
        elif not block.reason and (page := _PAGE_AT_START.match(block.text)):
            braced[page[0].strip()] = len(result)
            result.append(Block("paragraph", page[0].strip(), reason="page number"))
            block = replace(block, text=block.text[page.end() :])
        result.append(block)
    return result


def _take_mark(blocks: list[Block], mark: str) -> bool:
    """Take a star, dagger or number in brackets from behind the word of the last blocks where it stands, if there."""
    # "Section 3(1)" is no mark.
    word = "(?:(?<=[^\\W\\d_]{3})|(?<=[.,;:!?\"'’”»«]))" if mark[0] == "(" else "(?<=[\\w.,;:!?\"'’”»«])"
    behind = re.compile(rf"{word}{re.escape(mark)}(?![\w*])")
    for place in range(len(blocks) - 1, max(-1, len(blocks) - 1 - _NEAR_NOTE), -1):
        block = blocks[place]
        if not block.reason and mark[0] not in "[{" and behind.search(block.text):
            blocks[place] = replace(block, text=behind.sub("", block.text, count=1))
            blocks.insert(place + 1, Block("paragraph", mark, reason="footnote mark"))
            return True
    return False


def clean_text(text: str, unread: list[Block], *, keep_underscores: bool = False) -> str:
    """Take out what is not read: pictures, footnotes and their marks, page numbers, the signs of emphasis.

    Args:
        text: of one block; lines are kept.
        unread: collects everything that goes.
        keep_underscores: the format has signs of its own for emphasis.
    """
    # Sorting the accents of one letter takes the square of their number.
    text = unicodedata.normalize("NFC", _MANY_ACCENTS.sub(r"\1", _CONTROLS.sub("", text)))
    for reason, pattern in (
        ("illustration", PICTURE),
        ("footnote", FOOTNOTE_TEXT),
        ("editor's note", EDITORIAL),
        ("page number", _PAGE),
        ("footnote mark", _FOOTNOTE_MARK),
    ):
        unread += [Block("paragraph", match[0], reason=reason) for match in pattern.finditer(text)]
        text = pattern.sub("", text)
    if not keep_underscores:
        text = _EMPHASIS.sub(r"\1", text)
    text = text.replace("\u00ad", "").replace("\u200b", "").replace("\ufeff", "")
    text = re.sub(r"-{2,}", "—", text)
    return "\n".join(_SPACES.sub(" ", line).strip() for line in text.split("\n")).strip()


def keep_lone_numbers(blocks: list[Block]) -> list[Block]:
    """Read lines taken for page numbers that are none: alone (`1914`), between signs, or those of chapters.

    Chapters count from 1, and none begins within a sentence; pages do.
    """
    numbers = [
        (place, int(re.sub(r"\D", "", block.text)))
        for place, block in enumerate(blocks)
        if block.reason == "page number" and _BARE_NUMBER.match(block.text)
    ]
    runs: list[list[tuple[int, int]]] = []
    for place, number in numbers:
        if runs and 0 < number - runs[-1][-1][1] <= _MAX_PAGE_STEP:
            runs[-1].append((place, number))
        else:
            runs.append([(place, number)])
    kept = {
        place
        for run in runs
        if len(run) < 2 or run[0][1] >= _FIRST_YEAR or _are_chapters(blocks, run)
        for place, _ in run
    }
    return [
        replace(block, reason="")
        if number in kept or (block.reason == "page number" and re.search("[*#=~]", block.text))
        else block
        for number, block in enumerate(blocks)
    ]


def _are_chapters(blocks: Sequence[Block], run: Sequence[tuple[int, int]]) -> bool:
    if run[0][1] > 2 or run[-1][1] - run[0][1] >= len(run):  # The first may be a heading already.
        return False
    for place, _ in run:
        before = (blocks[at] for at in range(place - 1, -1, -1))
        last = next((block.text for block in before if block.text and not block.reason), "")
        if last and not _ENDS_SENTENCE.search(last):
            return False
    return True


def hide_voice_marks(text: str, place: str) -> str:
    """Turn `<voice:NAME>` and `</voice>` into characters that no format knows.

    Raises:
        ManifestError: a mark without a name, or one that is still open where its paragraph ends.
    """
    _refuse_open_marks(text, place)

    def hide(match: re.Match[str]) -> str:
        if not match[1] and not match[2]:
            line = text.count("\n", 0, match.start()) + 1
            raise ManifestError(
                f"{place}:{line}: {match[0]} names no voice; write <voice:NAME>, and </voice> to end it"
            )
        return f"{MARK_OPEN}{(match[2] or '').strip()}{MARK_CLOSE}"

    return _VOICE.sub(hide, text.replace(MARK_OPEN, "").replace(MARK_CLOSE, ""))


def _refuse_open_marks(text: str, place: str) -> None:
    opened: re.Match[str] | None = None
    for match in [*_VOICE.finditer(text), None]:
        end = match.start() if match else len(text)
        if opened and (match is None or _BLANK_LINE.search(text, opened.end(), end)):
            line = text.count("\n", 0, opened.start()) + 1
            raise ManifestError(
                f"{place}:{line}: {opened[0]:.90} is not closed before its paragraph ends; write </voice> behind the "
                "last word that this voice reads, in each paragraph"
            )
        opened = match if match and not match[1] and match[2] else None


def drop_voice_marks(text: str) -> str:
    """Return the text without marks."""
    return re.sub(f"{MARK_OPEN}[^{MARK_CLOSE}]*{MARK_CLOSE}", "", text)


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Count the words of a book as they are written; of those wholly in capitals only the ones among other words."""
    words: Counter[str] = Counter()
    for text in texts:
        words.update(word for word in _WORD.findall(text) if len(word) == 1 or not word.isupper())
        if not without_label(text).isupper():
            words.update(match[0] for match in _CAPITALS_RUN.finditer(text) if len(match[0]) > 1 and match[0].isalpha())
    return words


def lower_capitals(text: str, words: Mapping[str, int]) -> str:
    """Write words in capitals as words, so that they are not spelled out letter by letter.

    A word that the book also writes small becomes small, one that it writes with a capital becomes that; of the rest,
    those among others in capitals become small, and words of five letters or more keep a first capital, as names do.
    What is left may be an acronym and stays: BBC. Roman numerals stay. Of a title in capitals only those words
    stay that the book writes so among others, or that have no vowel.

    Args:
        text: of one block.
        words: how often the book writes each word, from `count_words`.
    """
    title = without_label(text)
    num_words = len(_WORD.findall(title))
    is_title = title.isupper() and (num_words > 1 or title != text)

    def write_small(word: str, in_run: bool, starts: bool) -> str:
        if _ROMAN.fullmatch(word) and not words.get(word.lower()):
            return word
        small, capital = word.lower(), word[0] + word[1:].lower()
        if words.get(small, 0) or words.get(capital, 0):
            return capital if starts or words.get(capital, 0) > 3 * words.get(small, 0) else small
        if is_title and (words.get(word) or not re.search("[AEIOUYÀ-ÖØ-Ý]", word)):
            return word
        if in_run and not (is_title and num_words < _MIN_RUN):
            return capital if starts else small
        if is_title or len(word) >= 5:
            return capital  # A name, as likely as not.
        return word

    def write_run(match: re.Match[str]) -> str:
        found = _WORD.findall(match[0])
        num_capitals = sum(len(word) > 1 and word.isupper() for word in found)
        if not num_capitals:
            return match[0]
        in_run = is_title or (num_capitals >= _MIN_RUN and num_capitals >= len(found) / 2)
        start = match.start()
        while start and text[start - 1] in " \n'\"‘“(—[":
            start -= 1
        at_start = not start or text[start - 1] in ".!?…"
        position = 0

        def write(word: re.Match[str]) -> str:
            nonlocal position
            position += 1
            starts = at_start and position == 1
            if len(word[0]) > 1 and word[0].isupper():
                return write_small(word[0], in_run, starts)
            # "A" among words in capitals is the article; "I" is always I.
            return "a" if word[0] == "A" and in_run and not starts else word[0]

        return _WORD.sub(write, match[0])

    return _CAPITALS_RUN.sub(write_run, text)
