"""What a heading says: that a chapter begins, that a table of contents follows, or that nobody needs to hear it."""

from __future__ import annotations

import re

_NUMBER = (
    r"(?:[IVXLCDM]+|\d{1,3}|(?:the\s+)?(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|"
    r"fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|first|second|third|fourth|fifth|"
    r"sixth|seventh|eighth|ninth|tenth|last)(?:-\w+)?)"
)
_LABEL = re.compile(rf"^(chapter|chap\.?|book|part|letter|canto|stave|volume|section|act|scene)\s+{_NUMBER}\b\.?", re.I)
_NUMBERED = re.compile(r"^(?:[IVXLC]+|\d{1,3})[.:]\s+[\"'“‘]?[A-Z]")
_BARE_NUMBER = re.compile(r"^(?:[IVXLC]+|\d{1,3})\.?$")
_NAMED = re.compile(
    r"^(?:prologue|epilogue|introduction|preface|foreword|afterword|conclusion|postscript|interlude)\b[.:]?", re.I
)
_UNREAD = re.compile(
    r"^(?:(?:table of )?contents|(?:list of )?illustrations|copyright(?: page| notice)?|title page|half[- ]title|"
    r"dedication|index|bibliography|(?:end)?notes|footnotes|transcriber['’]?s?[' ]+notes?|"
    r"about the (?:author|publisher)|"
    r"acknowledge?ments?|colophon|cover|also by .*|praise for .*|by the same author|advertisements?|imprint|"
    r"the full project gutenberg.* license)\W*$",
    re.I,
)
_FINIS = re.compile(r"^(?:the\s+end|finis|fin)\W*$", re.I)
_MAX_HEADING_CHARS = 90
_MAX_CONTENTS_CHARS = 300


def starts_chapter(text: str) -> bool:
    """Return whether a heading is numbered as a chapter or has the name of one (`Prologue`)."""
    return bool(_LABEL.match(text) or (_NAMED.match(text) and len(text) < 40))


def has_chapter_label(text: str) -> bool:
    """Return whether a heading says that it is one of a chapter: `Chapter I`, `Part Two`."""
    return bool(_LABEL.match(text))


def is_numbered_title(text: str) -> bool:
    """Return whether a heading is a number and a name: `3. How Dorothy Saved the Scarecrow`."""
    return bool(_NUMBERED.match(text))


def is_bare_label(text: str) -> bool:
    """Return whether it has a number and no name, so that the next line may be its name."""
    match = _LABEL.match(text)
    return bool(match and not text[match.end() :].strip(" .:—-")) or bool(_BARE_NUMBER.match(text))


def is_part_label(text: str) -> bool:
    """Return whether it stands above chapters: a book, a part, a volume."""
    match = _LABEL.match(text)
    return bool(match and match[1].lower() in ("book", "part", "volume"))


def is_unread_title(text: str) -> bool:
    """Return whether what follows is front or back matter: contents, copyright, index, notes."""
    return bool(_UNREAD.match(text.strip()))


def is_contents_title(text: str) -> bool:
    """Return whether a table of contents follows."""
    return bool(re.match(r"^(?:table of )?contents\W*$", text.strip(), re.I))


def is_heading_line(line: str) -> bool:
    """Return whether a line of plain text is a heading by its words alone."""
    if len(line) > _MAX_HEADING_CHARS:
        return False
    match = _LABEL.match(line)
    if match:
        # "Part one of the story was over" is a sentence; a heading goes on with a mark, a capital or nothing.
        rest = line[match.end() :].lstrip()
        return not rest or not rest[0].islower()
    return is_unread_title(line) or (bool(_NAMED.match(line)) and len(line) < 40 and not line.endswith(","))


def is_title_line(line: str) -> bool:
    """Return whether a line with room around it is a heading: capitals only, a number alone, or a number and a name."""
    if _FINIS.match(line) or len(line) > _MAX_HEADING_CHARS or not re.search(r"\w", line):
        return False
    if is_numbered_title(line) and line[-1] not in ".,;:":
        return True
    return bool(_BARE_NUMBER.match(line)) or (line.isupper() and line[-1] not in ",;" and len(line) > 2)


def is_contents_line(line: str) -> bool:
    """Return whether a line could stand in a table of contents."""
    line = line.strip()
    return len(line) <= _MAX_CONTENTS_CHARS and bool(
        _LABEL.match(line) or re.search(r"(?:\.\s?){4,}\s*[\divxlc]+$|\S\s{4,}\d{1,4}$", line)
    )
