"""What a heading says: that a chapter or a part begins, that contents follow, or that nobody needs to hear it."""

from __future__ import annotations

import re
import unicodedata

from pipeline.books.numerals import NUMBER_WORDS, value_of

_ROMAN = r"[IVXLCDM]+"
_NUMBER = rf"(?:{_ROMAN}|\d{{1,4}}|(?:the\s+)?(?:{NUMBER_WORDS}))"
_DIVISIONS = {
    **dict.fromkeys(("volume", "vol.", "tome", "band", "tomo", "том"), 1),
    **dict.fromkeys(("book", "livre", "buch", "libro", "livro", "книга"), 2),
    **dict.fromkeys(("part", "partie", "teil", "parte", "часть"), 3),
    **dict.fromkeys(("act", "acte", "akt", "aufzug", "acto", "atto"), 4),
}
CHAPTER_RANK = 5
_CHAPTERS = (
    r"chapters?|chap\.?|ch\.|letter|canto|stave|section|scene|adventure|lecture|episode|chapitre|lettre|chant|scène|"
    r"kapitel|brief|gesang|auftritt|szene|cap[ií]tulo|capitolo|глава|hoofdstuk"
)
_WORDS = "|".join(re.escape(word) for word in _DIVISIONS) + "|" + _CHAPTERS
_LABEL = re.compile(rf"^(?P<word>{_WORDS})\s+{_NUMBER}(?![^\W_])\.?", re.I)
_ORDINAL_LABEL = re.compile(
    rf"^(?:\d{{1,3}}\.|{_ROMAN}\.|(?:the\s+)?{_NUMBER})\s+(?P<word>{_WORDS})(?![^\W_])\.?", re.I
)
_OF_PLAYS = re.compile(r"^(?:acte?|akt|aufzug|acto|atto|scene|scène|auftritt|szene|[幕场場])$", re.I)
_CHINESE_NUMBER = r"[〇零一二三四五六七八九十百千两\d０-９]+"
_CHINESE_LABEL = re.compile(
    rf"^(?:正文\s*)?(?:[第제]\s*{_CHINESE_NUMBER}\s*(?P<word>[章回节節折话話幕场場卷部集篇]|[장화절막부권편](?![^\W\d_]))|(?P<volume>[卷])\s*{_CHINESE_NUMBER}(?!\w))"
)
_CHINESE_RANKS = {"卷": 1, "部": 2, "集": 3, "篇": 3, "幕": 4, "권": 1, "부": 2, "편": 3, "막": 4}
_NUMBERED = re.compile(rf"^(?:{_ROMAN}|\d{{1,3}})[.:]\s+[\"'“‘«„]?[A-ZÀ-ÖØ-Þ]")
_LEADING_NUMBER = re.compile(rf"^(?:{_ROMAN}|\d{{1,3}})[.):]?\s+(?=\S)")
_BARE_NUMBER = re.compile(rf"^(?:{_ROMAN}|\d{{1,3}}|[一二三四五六七八九十]{{1,3}})[.、．]?$")
_ROMAN_LINE = re.compile(r"^(?=[IVXLC])(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})\.?$")
_NAMED = re.compile(
    r"^(?:prologue|epilogue|introduction|preface|foreword|afterword|conclusion|postscript|interlude|prelude|finale|"
    r"épilogue|préface|avant-propos|prolog|epilog|vorwort|nachwort|einleitung|vorrede|prólogo|epílogo|prefacio)"
    r"(?![^\W_])[.:]?",
    re.I,
)
_CHINESE_NAMED = re.compile(
    r"^(?:序章?|序言|前言|楔子|引子|引言|尾声|尾聲|后记|後記|终章|終章|番外)(?:[\s：:·一二三四五六七八九十\d].*)?$"
)
_UNREAD = re.compile(
    r"^(?:table of contents|list of illustrations|copyright(?: page| notice)|title ?page|half[- ]?title(?: ?page)?|"
    r"transcriber['’]?s?[' ]+notes?|about the (?:author|publisher)s?|also by .*|praise for .*|by the same author|"
    r"other books by .*|imprint|colophon|uncopyright|the full project gutenberg.* license|"
    r"version control|目录|目次|版权(?:页|信息)?|inhaltsverzeichnis|table des matières|indice)\W*$",
    re.I,
)
_UNREAD_AT_THE_EDGES = re.compile(
    r"^(?:contents|illustrations|copyright|footnotes|endnotes|dedication|index|bibliography|notes|acknowledge?ments?|cover|"
    r"advertisements?|inhalt|sommaire|impressum|widmung|errata)\W*$",
    re.I,
)
_NOTES = re.compile(
    r"^(?:foot|end)?notes(?: (?:to|on) .{1,60})?\W*$|^(?:fußnoten?|anmerkungen|notas(?: a pie de página)?|"
    r"notes de (?:bas de page|fin)|note a piè di pagina|注释|註釋|脚注|腳註|尾注|注解)\W*$",
    re.I,
)
_CONTENTS = re.compile(
    r"^(?:(?:table of )?contents|目录|目次|inhalt(?:sverzeichnis)?|table des matières|sommaire)\W*$", re.I
)
_FINIS = re.compile(
    r"^\W*(?:the\s+end|finis|fin|ende|fine|конец|[全剧]?(?:[书書文]完|终|終)|完|"
    r"end of (?:the )?(?:book|volume|vol\.|part|story|novel|tale|first|second|third)\b.{0,40})\W*$",
    re.I,
)
_TOLD = re.compile(
    r"[,;]?\s*(?:in which|wherein|dans lequel|dans laquelle|où|worin|in (?:dem|der|welchem|welcher)|"
    r"(?:en )?donde|en (?:el|la) que|(?:nel|nella) quale|no qual|na qual)\b",
    re.I,
)
"""What follows the number of a chapter whose title tells what happens in it."""
_MONTH = (
    r"(?:jan|jän|ene|gen|fe[bv]|fév|m[aä]r|a[pbv]r|ma[iyg]|ju[nli]|giu|lug|aug|ago|août|sep|set|o[ckt]t|out|nov|d[ei][cz]|déc)"
    r"[^\W\d_]{0,7}\.?"
)
_DATE = re.compile(
    rf"^(?:[^\W\d_]{{2,10}}[.,]?\s+)?(?:{_MONTH}\s+(?:the\s+)?\d{{1,2}}|(?:the\s+)?\d{{1,2}}(?:st|nd|rd|th|\.|º|er)?\s+"
    rf"(?:of\s+|de\s+)?{_MONTH})(?!\w*\s+[^\W\d_]+\s+[^\W\d_]+\s).{{0,25}}$",
    re.I,
)
_MAX_HEADING_CHARS = 90
_MAX_CONTENTS_CHARS = 300
_MAX_NAMED_CHARS = 40


def _match_label(text: str) -> re.Match[str] | None:
    return _LABEL.match(text) or _ORDINAL_LABEL.match(text) or _CHINESE_LABEL.match(text)


def rank_of(text: str) -> int | None:
    """Return how high a numbered heading stands: 1 a volume, 2 a book, 3 a part, 4 an act, 5 a chapter; else None."""
    match = _match_label(text)
    if match is None:
        return None
    groups = match.groupdict()
    word = (groups.get("word") or groups.get("volume") or "").lower()
    return _CHINESE_RANKS.get(word) or _DIVISIONS.get(word, CHAPTER_RANK)


def level_of(text: str) -> int:
    """Return how high a heading stands where only its words say it, 1 is the highest."""
    rank = rank_of(text)
    if rank is not None:
        return rank
    if is_numbered_title(text):
        return CHAPTER_RANK + 1
    return CHAPTER_RANK + 2 if is_bare_number(text) else CHAPTER_RANK if is_named(text) else CHAPTER_RANK + 3


def is_finis(text: str) -> bool:
    """Return whether a line says that the book is at its end."""
    return bool(_FINIS.match(text))


def is_of_a_play(text: str) -> bool:
    """Return whether a heading is an act or a scene with its number."""
    match = _match_label(text)
    return bool(match and _OF_PLAYS.match(match.groupdict().get("word") or ""))


def label_of(text: str) -> str:
    """Return the letters and digits of `Chapter I` in `CHAPTER I. Of Mills`; empty where there is no label."""
    match = _match_label(text)
    return re.sub(r"[\W_]+", "", match[0]).casefold() if match else ""


def without_label(text: str) -> str:
    """Return what follows `CHAPTER I.` or `IV.` in a title; all of it where neither is there."""
    match = _match_label(text) or _LEADING_NUMBER.match(text)
    return text[match.end() :] if match else text


def starts_chapter(text: str) -> bool:
    """Return whether a heading is numbered as a chapter or has the name of one (`Prologue`)."""
    return bool(_match_label(text)) or is_named(text)


def is_named(text: str) -> bool:
    """Return whether it is the name of what stands before, between or after chapters: `Prologue`."""
    return len(text) < _MAX_NAMED_CHARS and bool(_NAMED.match(text) or _CHINESE_NAMED.match(text))


def is_numbered_title(text: str) -> bool:
    """Return whether a heading is a number and a name: `3. How Dorothy Saved the Scarecrow`."""
    return bool(_NUMBERED.match(text))


def is_bare_number(text: str) -> bool:
    """Return whether a heading is a number and nothing else."""
    return bool(_BARE_NUMBER.match(text))


def is_roman_number(text: str) -> bool:
    """Return whether a line is a Roman number and nothing else."""
    return bool(_ROMAN_LINE.match(text))


def fold_title(text: str) -> str:
    """Return the letters and digits of a title, by which two of them are compared."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


def division_of(text: str) -> str:
    """Return the word of a numbered heading: `chapter`, `节`; empty where it has none."""
    match = _match_label(text)
    groups = match.groupdict() if match else {}
    return str(groups.get("word") or groups.get("volume") or "").lower().rstrip(".").replace("chapters", "chapter")


def number_of(text: str) -> int | None:
    """Return the number of `CHAPTER IV. Of Mills`, `第十二回` or `IV.`; None where it has none that is known."""
    match = _match_label(text)
    if match is None:
        return value_of(text.strip(" .、．")) if is_bare_number(text) else None
    division = match.groupdict().get("word") or match.groupdict().get("volume") or ""
    return value_of(match[0].replace(division, " ", 1).strip(" .第제"))


def is_bare_label(text: str) -> bool:
    """Return whether it has a number and no name, so that the next line may be its name."""
    match = _match_label(text)
    return bool(match and not text[match.end() :].strip(" .:—-")) or is_bare_number(text)


def is_part_label(text: str) -> bool:
    """Return whether it stands above chapters: a book, a part, a volume, an act."""
    rank = rank_of(text)
    return rank is not None and rank < CHAPTER_RANK


def is_unread_title(text: str) -> bool:
    """Return whether what follows is front or back matter, wherever in a book it stands: a copyright notice."""
    return bool(_UNREAD.match(text.strip()))


def is_unread_at_the_edges(text: str) -> bool:
    """Return whether what follows is front or back matter at a book's begin or end; elsewhere `Notes` is a chapter."""
    return is_unread_title(text) or bool(_UNREAD_AT_THE_EDGES.match(text.strip()))


def is_notes_title(text: str) -> bool:
    """Return whether notes may follow."""
    return bool(_NOTES.match(_LEADING_NUMBER.sub("", text.strip())))


def is_contents_title(text: str) -> bool:
    """Return whether a table of contents follows."""
    return bool(_CONTENTS.match(text.strip()))


def is_heading_line(line: str) -> bool:
    """Return whether a line of plain text is a heading by its words alone."""
    if len(line) > _MAX_HEADING_CHARS:
        return False
    match = _match_label(line)
    if match:
        # "Part one of the story was over" is a sentence; a heading goes on with a mark, a capital or nothing.
        rest = line[match.end() :].lstrip()
        if match.re is _CHINESE_LABEL:
            return not rest.endswith(("。", "！", "？", "，", "”", "；", "."))
        return not rest or bool(_TOLD.match(rest)) or not (rest[0].islower() or rest[0] in ",;")
    return is_unread_at_the_edges(line) or is_contents_title(line) or (is_named(line) and not line.endswith(","))


def is_chinese_heading(line: str) -> bool:
    """Return whether a line is a numbered heading of a Chinese book, which needs no blank line after it."""
    return bool(_CHINESE_LABEL.match(line)) and is_heading_line(line)


def is_title_line(line: str) -> bool:
    """Return whether a line with room around it is a heading: capitals only, a number alone, or a number and a name."""
    if is_finis(line) or len(line) > _MAX_HEADING_CHARS or not re.search(r"\w", line):
        return False
    if is_numbered_title(line) and line[-1] not in ".,;:":
        return True
    return is_bare_number(line) or (line.isupper() and line[-1] not in ",;" and len(line) > 2)


def looks_like_title(line: str) -> bool:
    """Return whether the longer words of a line have capitals and no mark ends it."""
    words = re.findall(r"[^\W\d_]{4,}", line) or re.findall(r"^[^\W\d_]+|[^\W\d_]{3}\W*$", line)
    return len(line) > 2 and bool(words) and all(word[0].isupper() for word in words) and line[-1] not in ".,;:'\"’”"


def is_date(line: str) -> bool:
    """Return whether a line is the date of a diary's entry: `3 May.`, `Monday, January 3rd, 1884.`."""
    return bool(_DATE.match(line)) and line[-1] not in ",;:!?"


def may_be_title(line: str) -> bool:
    """Return whether a line that stands out begins as a title and no mark ends it; few have more capitals in French."""
    return line[:1].isupper() and (line[-1].isalnum() or line[-1] in "!?")


def is_contents_line(line: str) -> bool:
    """Return whether a line could stand in a table of contents."""
    line = line.strip()
    return len(line) <= _MAX_CONTENTS_CHARS and bool(
        _match_label(line) or re.search(r"(?:\.\s?){4,}\s*[\divxlc]+$|\S\s{4,}\d{1,4}$", line)
    )
