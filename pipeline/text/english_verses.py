"""Places in the Bible in English words: `1 Cor. 13:4-7`, `Matt. vi. 9`, `Ps. 23`; before other abbreviations.

`Ex.`, `Num.`, `Col.` and `Rev.` mean other things, too: alone with a chapter they are books only where the text names
the Bible.
"""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_numbers import cardinal, roman_value

_BOOKS = {
    "Gen": "Genesis", "Exod": "Exodus", "Ex": "Exodus", "Lev": "Leviticus", "Num": "Numbers", "Deut": "Deuteronomy",
    "Josh": "Joshua", "Judg": "Judges", "Neh": "Nehemiah", "Pss": "Psalms", "Ps": "Psalm", "Prov": "Proverbs",
    "Eccl": "Ecclesiastes", "Eccles": "Ecclesiastes", "Isa": "Isaiah", "Jer": "Jeremiah", "Lam": "Lamentations",
    "Ezek": "Ezekiel", "Dan": "Daniel", "Hos": "Hosea", "Mic": "Micah", "Hab": "Habakkuk", "Zeph": "Zephaniah",
    "Hag": "Haggai", "Zech": "Zechariah", "Mal": "Malachi", "Matt": "Matthew", "Rom": "Romans", "Gal": "Galatians",
    "Eph": "Ephesians", "Phil": "Philippians", "Col": "Colossians", "Heb": "Hebrews", "Jas": "James",
    "Rev": "Revelation",
}  # fmt: skip
_NUMBERED = {
    "Sam": "Samuel", "Kgs": "Kings", "Chron": "Chronicles", "Chr": "Chronicles", "Cor": "Corinthians",
    "Thess": "Thessalonians", "Tim": "Timothy", "Pet": "Peter", "Macc": "Maccabees", "Jn": "John",
}  # fmt: skip
_GOSPELS = {"Mt": "Matthew", "Mk": "Mark", "Lk": "Luke", "Jn": "John", "Is": "Isaiah"}
# "Is 4:30 too late?" asks for a time.
_ONLY_WITH_VERSE = (
    r"Mt|Mk|Lk|Is(?= (?:[1-6]?[1-9]:\d(?!\d)|(?:1[3-9]|[2-6]\d):\d)(?! ?[apAP]\.?[mM])(?![^.?!]{0,200}\?))"
)
_FULL_NUMBERED = "Samuel|Kings|Chronicles|Corinthians|Thessalonians|Timothy|Peter|John|Maccabees"
_FULL = (
    "Genesis|Exodus|Leviticus|Numbers|Deuteronomy|Joshua|Judges|Ruth|Ezra|Nehemiah|Esther|Job|Psalms?|Proverbs"
    "|Ecclesiastes|Song(?: of (?:Songs|Solomon))?"
    "|Isaiah|Jeremiah|Lamentations|Ezekiel|Daniel|Hosea|Joel|Amos|Obadiah|Jonah|Micah|Nahum|Habakkuk"
    "|Zephaniah|Haggai|Zechariah|Malachi|Matthew|Mark|Luke|Acts|Romans|Galatians|Ephesians|Philippians|Colossians"
    "|Titus|Philemon|Hebrews|James|Jude|Revelation|Sirach|Wisdom|Tobit|Judith|Baruch|Quran|Qur'an|Surah|Koran"
)
_ORDINALS = {"1": "First ", "2": "Second ", "3": "Third ", "I": "First ", "II": "Second ", "III": "Third "}
_WHICH = (
    r"(?:(?<![\w.,:-])(?P<which>[123]|I{1,3})(?:st|nd|rd)? (?=(?:" + "|".join((*_NUMBERED, _FULL_NUMBERED)) + r")\b))?"
)
_BOOK = rf"{_WHICH}\b(?P<book>{'|'.join((*_BOOKS, *_NUMBERED, _FULL_NUMBERED, _FULL, _ONLY_WITH_VERSE))})\b\.?,? "
_UNTIL = r"(?:\s?[-–—]\s?(?P<until>\d{1,3}(?::\d{1,3})?)(?![:\d]))?"
_REST = r"(?P<rest>(?:,\s?\d{1,3}(?:[-–]\d{1,3})?(?![:\d]|\.\d| [A-Z]))*)"
_VERSE = re.compile(
    rf"{_BOOK}(?:(?P<chapter>\d{{1,3}}):"
    rf"|(?P<roman>(?![cl]\b)[ivxlc]{{1,8}})[.:] ?)(?P<verse>\d{{1,3}})(?![:\d])(?P<part>[a-c](?!\w))?{_UNTIL}{_REST}"
    r"(?P<more>(?:[,;] \d{1,3}:\d{1,3}(?:[-–]\d{1,3})?(?![:\d]| ?[apAP]\.?[mM]\b))*)"
    r"(?:ff?(?!\w)(?:\.(?=[,;:)]| [a-z]))?(?P<on>))?"
)
_UNSURE = ("Ex", "Num", "Col", "Rev", "Dan", "Mic", "Mal", "Hag", "Hab")
_CLEAR = "|".join(book for book in _BOOKS if book not in _UNSURE)
_OF_PEOPLE = (
    r"(?:(?<![^(\[“\"])|(?<=[;,.:—–] )|(?<=\bin )|(?<=\bof )|(?<=\bto )|(?<=\band )|(?<=[Ss]ee )|(?<=[Cc]f\. )"
    r"|(?<=[Ff]rom )|(?<=[Rr]ead )|(?<=[Ii]n ))"
)
_NOT_NAMES = "|".join(
    (*_NUMBERED, "Samuel", "Kings", "Chronicles", "Corinthians", "Thessalonians", "Timothy", "Maccabees")
)
_CHAPTER = re.compile(
    rf"(?:(?<![\w.,:-])(?P<which>[123]|I{{1,3}}) (?P<book>{_NOT_NAMES})\b\.?|{_OF_PEOPLE}(?P<of>[123]"
    rf"|I{{2,3}}) (?P<person>Peter|John)|\b(?P<clear>{_CLEAR})\."
    rf"|\b(?P<psalm>Pss?)(?=\s\d)) (?P<chapter>\d{{1,3}})(?![\d:%]|[.,]\d)"
    r"(?:\s?[-–—]\s?(?P<until>\d{1,3})(?![:\d]))?(?!\s(?:years|people|Queens|Aces|dollars))"
)
_ROMAN_CHAPTER = re.compile(
    rf"(?:\b(?P<clear>{_CLEAR})\.|(?<![\w.,:-])(?P<which>[123]|I{{1,3}}) (?P<book>{'|'.join(_NUMBERED)})\b\.?)"
    r" (?P<roman>[xvi][ivxlc]{0,7}|l[ivx]{1,7}|c[ivxl]{1,7})(?![\w'’:]|[.:] ?\d)"
)
_UNSURE_CHAPTER = re.compile(
    rf"\b(?P<clear>{'|'.join(_UNSURE)})\. (?P<chapter>\d{{1,3}})(?![\d:%]|[.,]\d)(?:[-–](?P<until>\d{{1,3}})(?![:\d]))?"
)
_BIBLE = re.compile(
    r"\b(?:Bible|[Bb]iblical|[Ss]criptures?|Testament|Gospels?|Moses|Lord|Jesus|Christ|Genesis|Exodus|Deuteronomy"
    r"|Psalms?|Leviticus|Isaiah|Corinthians|Romans|[Cc]ommandments?|Pharaoh|Israelites|[Aa]postles?|Paul|manna"
    r"|[Tt]abernacle)\b"
)
_DIGIT = re.compile(r"\d")


def expand_verses(text: str) -> str:
    """Write `1 Cor. 13:4-7` as "First Corinthians thirteen, four to seven", `Ps. 23` as "Psalm twenty-three"."""
    text = _ROMAN_CHAPTER.sub(_say_roman_chapter, text)
    if not _DIGIT.search(text):
        return text
    spoken = _CHAPTER.sub(_say_chapter, _VERSE.sub(_say_verse, text))
    if ". " in spoken and _UNSURE_CHAPTER.search(spoken) and (spoken != text or _BIBLE.search(text)):
        spoken = _UNSURE_CHAPTER.sub(_say_chapter, spoken)
    return spoken


def _name(which: str | None, book: str) -> str:
    return _ORDINALS.get(which or "", "") + (_BOOKS.get(book) or _GOSPELS.get(book) or _NUMBERED.get(book, book))


def _say_verse(match: Match[str]) -> str:
    number = match["chapter"] or str(roman_value(match["roman"].upper()) or "")
    if not number:
        return match[0]
    chapter, verse = cardinal(number), cardinal(match["verse"])
    # "twenty three" is heard as one number, and "thirteen four to seven" as none.
    is_one = number.endswith("0") and len(number) == 2 and len(match["verse"]) == 1
    mark = "," if len(number) > 2 or len(match["verse"]) > 2 or is_one or match["until"] else ""
    words = f"{_name(match['which'], match['book'])} {chapter}{mark} {verse}"
    if match["part"]:
        words += f" {match['part']}"
    if match["until"]:
        words += f" to {' '.join(cardinal(part) for part in match['until'].split(':'))}"
    for number, low, high in re.findall(r"(\d+):(\d+)(?:[-–](\d+))?", match["more"]):
        words += f"; {cardinal(number)}, {cardinal(low)}" + (f" to {cardinal(high)}" if high else "")
    rest = re.sub(r",\s?", ", ", re.sub(r"[-–]", " to ", match["rest"] or ""))
    words += re.sub(r"\d+", lambda number: cardinal(number[0]), rest)
    return words + " and following" * (match["on"] is not None)


def _say_roman_chapter(match: Match[str]) -> str:
    number = roman_value(match["roman"].upper())
    return f"{_name(match['which'], match['clear'] or match['book'])} {cardinal(str(number))}" if number else match[0]


def _say_chapter(match: Match[str]) -> str:
    found = match.groupdict()
    book = found.get("book") or found.get("person") or found.get("clear") or found["psalm"]
    until = f" to {cardinal(match['until'])}" if match["until"] else ""
    return f"{_name(found.get('which') or found.get('of'), book)} {cardinal(match['chapter'])}{until}"
