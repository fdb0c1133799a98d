"""English abbreviations and Roman numerals in words, and which full stops do not end a sentence."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_numbers import cardinal, ordinal, roman_value

_TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Messrs": "Messieurs", "Dr": "Doctor", "Drs": "Doctors",
    "Prof": "Professor", "Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant",
    "Sgt": "Sergeant", "Cpl": "Corporal", "Maj": "Major", "Rev": "Reverend", "Hon": "Honorable", "Sen": "Senator",
    "Rep": "Representative", "Gov": "Governor", "Pres": "President", "Mt": "Mount", "Ft": "Fort", "St": "Saint",
}  # fmt: skip
# Said in full wherever they stand; the full stop stays where a sentence may end there.
_WORDS = {
    "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "&c.": "et cetera", "vs.": "versus",
    "cf.": "compare", "approx.": "approximately", "dept.": "department", "Dept.": "Department",
    "est.": "established", "Jr.": "Junior", "Sr.": "Senior", "Inc.": "Incorporated", "Ltd.": "Limited",
    "Corp.": "Corporation", "Co.": "Company", "Bros.": "Brothers", "Assn.": "Association", "Univ.": "University",
    "govt.": "government", "Govt.": "Government", "Esq.": "Esquire", "viz.": "namely", "misc.": "miscellaneous",
    "et al.": "et al", "a.k.a.": "also known as", "E.g.": "For example", "I.e.": "That is", "ca.": "circa",
    "a.m.": "AM", "p.m.": "PM", "A.M.": "AM", "P.M.": "PM",
    "hrs.": "hours", "mins.": "minutes", "secs.": "seconds", "lbs.": "pounds", "Ph.D.": "PhD",
}  # fmt: skip
_BEFORE_NUMBER = {
    "No": "Number", "no": "number", "Nos": "Numbers", "nos": "numbers", "p": "page", "pp": "pages", "Vol": "Volume",
    "vol": "volume", "Ch": "Chapter", "ch": "chapter", "Fig": "Figure", "fig": "figure", "Figs": "Figures",
    "Sec": "Section", "sec": "section", "Eq": "Equation", "Art": "Article", "art": "article", "Ed": "Edition",
    "c": "circa", "ver": "version", "Apt": "Apartment", "apt": "apartment", "Rm": "Room", "Ste": "Suite", "Pt": "Part",
    "min": "minimum", "max": "maximum",
}  # fmt: skip
_AFTER_NAME = {"St": "Street", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Dr": "Drive", "Ln": "Lane",
               "Hwy": "Highway", "Pkwy": "Parkway", "Sq": "Square", "Ct": "Court", "Pl": "Place"}  # fmt: skip
_DAYS = {"Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
         "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday"}  # fmt: skip
_MONTHS = {"Jan": "January", "Feb": "February", "Mar": "March", "Apr": "April", "Jun": "June", "Jul": "July",
           "Aug": "August", "Sep": "September", "Sept": "September", "Oct": "October", "Nov": "November",
           "Dec": "December"}  # fmt: skip
_STARTERS = (
    "He|She|It|They|We|I|You|The|A|An|This|That|These|Those|But|And|Or|So|In|On|At|If|When|Then|There|What|Who|Why|How"
    "|My|His|Her|Its|Our|Their|As|For|After|Before|While|With|Not|No|Yes|Is|Are|Do|Did|Can|Will"
)
_ENDS = rf"(?=[\"'”’)\]]*(?:\s*$|\s*\n|\s+[\"'“‘(]?(?:{_STARTERS})\b))"


def _alternatives(words: dict[str, str]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


_TITLE_PATTERN = re.compile(
    rf"(?<![\w.])({_alternatives(_TITLES)})\.\s+(?=[A-Z“\"]|and [A-Z]|& )"
    r"|(?<![\w.])(Mr|Mrs|Ms|Messrs)(?:\.|(?=\s[A-Z]))|(?<![\w.])(Dr|St)(?=\s[A-Z][a-z])"
)
_STREET_PATTERN = re.compile(
    r"(\b(?:\d+ (?:[NSEW]\.? )?|(?:on|of|at|down|along|off|from|to|near|and|in) )"
    r"(?:(?:(?:St\. )?[A-Z][\w'’]+|\d+(?:st|nd|rd|th)) "
    rf"){{1,3}}|\b\d+(?:st|nd|rd|th) )({_alternatives(_AFTER_NAME)})\b(?:\.{_ENDS}|\.(?=\s*,)|\.|(?=[\s,]))"
)
# "Baker St., London": before a comma, a small letter or the end it is no saint.
_PLAIN_STREET_PATTERN = re.compile(r"(\b[A-Z][a-z]+ )(St|Ave|Blvd|Rd|Ln|Hwy)\.(?=,|\s[a-z]|(\s*$))")
_DAY_RANGE_PATTERN = re.compile(rf"\b({_alternatives(_DAYS)})\.?\s?[-–—]\s?({_alternatives(_DAYS)})\b(?:\.(?!\s*$))?")
_WORD_PATTERN = re.compile(rf"(?<![\w.])({_alternatives(_WORDS)})(?!\w)({_ENDS})?")
_NUMBERED_PATTERN = re.compile(rf"(?<![\w.])(?<!\d )({_alternatives(_BEFORE_NUMBER)})\.\s?(?=\d|[IVXLC]+\b)")
_CALENDAR_PATTERN = re.compile(
    rf"(?<![\w.])(?:({_alternatives(_DAYS)})\.?(?=,? (?:\d|[A-Z][a-z]{{2}}))|({_alternatives(_MONTHS)})\.(?=\s))"
)
_INITIALS_PATTERN = re.compile(
    rf"(?<![\w.])((?:[A-Z]\.){{2,}})(?:(?=['’]s)|({_ENDS})|)|(?<![\w.])((?:[A-Z]\.\s){{2,}})(?=[A-Z][a-z])"
)
_ABBREVIATIONS = frozenset(
    word.rstrip(".").lower() for table in (_TITLES, _WORDS, _AFTER_NAME, _DAYS, _MONTHS) for word in table
) - {"sun", "sat", "mar", "co", "art", "ca"}
_HAS_DOT = re.compile(r"[A-Za-z]\.|\b(?:Mr|Mrs|Ms|Dr|St|Mon|Tue|Wed|Thu|Fri|Sat|Sun|Ave|Blvd|Rd)\b")

_HEADINGS = (
    "Chapter|Part|Book|Volume|Act|Scene|Section|Article|Phase|Type|Class|Appendix|Figure|Table|Canto|Episode|Stage"
    "|Title|Level|Grade|Lesson|Unit|War|Bowl|Step|Number|Numbers|Verse|Psalm|Exhibit|Category|Mark|Apollo|Series|Plate"
)
_MONARCHS = (
    "Louis|Henry|Charles|George|Edward|James|William|Richard|John|Paul|Pius|Benedict|Elizabeth|Mary|Catherine|Francis"
    "|Philip|Alexander|Nicholas|Peter|Frederick|Leo|Innocent|Gregory|Clement|Urban|Ramesses|Rameses|Ptolemy|Napoleon"
    "|Otto|Ivan|Alfonso|Ferdinand|Harald|Christian|Gustav|Carlos|Wilhelm|Friedrich|Mehmed|Selim|Murad|Darius|Xerxes"
    "|Cleopatra|Malcolm|Robert|Stephen|Haakon|Olav|Sixtus|Boniface|Celestine|Julius|Adrian|Martin|Victor|Leopold|Albert"
    "|Juan|Joseph|Pedro|Maximilian|Ludwig|Rudolf|Felipe|Umberto|Edgar|Harold|David|Baldwin|Theodosius|Constantine|Anne"
)
_ROYAL = "King|Queen|Pope|Emperor|Empress|Tsar|Czar|Kaiser|Sultan|Prince|Pharaoh|Saint"
_HEADING_PATTERN = re.compile(rf"\b((?i:{_HEADINGS})) ([IVX]|[IVXLC]{(2,)})\b(?!['’]|\.[A-Z])")
_MONARCH_PATTERN = re.compile(
    rf"\b((?:{_ROYAL}) (?:[A-Z][a-z]+ ){{0,2}}[A-Z][a-z]+) ([IVX]+)\b(?!['’](?!s))"
    rf"|\b({_MONARCHS}) ([IVX]{{2,}}|V(?!\.))\b"
)
_NAME_PATTERN = re.compile(r"\b([A-Z][a-z]{2,}) ([IVX]{2,})\b")
_LIST_PATTERN = re.compile(r"(?m)^([IVXL]+)(?=\.\s)")
_HAS_ROMAN = re.compile(r"\b[IVXLC]+\b")


def is_abbreviation(word: str, following: str) -> bool:
    """Tell whether a full stop after `word` belongs to the word: Mr, e.g, U.S, an initial, No before a number."""
    lower = word.lower()
    if lower in ("no", "nos", "fig", "vol", "p", "pp"):
        return following.isdecimal()
    return lower in _ABBREVIATIONS or "." in word or (len(word) == 1 and word.isupper() and word != "I")


def _say_title(match: Match[str]) -> str:
    return f"{_TITLES[match[1]]} " if match[1] else _TITLES[match[2] or match[3]]


def _say_street(match: Match[str]) -> str:
    ends = match[0].endswith(".") and re.match(_ENDS, match.string[match.end() :])
    return match[1] + _AFTER_NAME[match[2]] + ("." if ends else "")


def _say_word(match: Match[str]) -> str:
    return _WORDS[match[1]] + ("." if match[2] is not None and match[1] not in ("e.g.", "i.e.") else "")


def _say_calendar(match: Match[str]) -> str:
    return _DAYS[match[1]] if match[1] else _MONTHS[match[2]]


def _say_initials(match: Match[str]) -> str:
    if match[3]:
        return match[3].replace(".", "")
    return match[1].replace(".", "") + ("." if match[2] is not None else "")


def expand_abbreviations(text: str) -> str:
    """Write `Dr. Who, e.g.` as "Doctor Who, for example"; acronyms without stops are left alone."""
    if "&c." in text:
        text = text.replace("&c.", "et cetera.")
    if not _HAS_DOT.search(text):
        return text
    text = _WORD_PATTERN.sub(_say_word, text)
    text = _STREET_PATTERN.sub(_say_street, text)
    text = _PLAIN_STREET_PATTERN.sub(lambda m: m[1] + _AFTER_NAME[m[2]] + ("." if m[3] is not None else ""), text)
    text = _DAY_RANGE_PATTERN.sub(lambda m: f"{_DAYS[m[1]]} to {_DAYS[m[2]]}", text)
    text = _TITLE_PATTERN.sub(_say_title, text)
    text = _NUMBERED_PATTERN.sub(lambda match: f"{_BEFORE_NUMBER[match[1]]} ", text)
    text = _CALENDAR_PATTERN.sub(_say_calendar, text)
    return _INITIALS_PATTERN.sub(_say_initials, text)


def _say_heading(match: Match[str]) -> str:
    value = roman_value(match[2])
    return match[0] if value is None else f"{match[1]} {cardinal(str(value))}"


def _say_monarch(match: Match[str]) -> str:
    name, numeral = (match[1], match[2]) if match[1] else (match[3], match[4])
    value = roman_value(numeral)
    return match[0] if value is None else f"{name} the {ordinal(value)}"


def _say_list_number(match: Match[str]) -> str:
    value = roman_value(match[1])
    return match[0] if value is None else cardinal(str(value)).capitalize()


def expand_roman_numerals(text: str) -> str:
    """Write `Chapter IV` as "Chapter four" and `Louis XIV` as "Louis the fourteenth"."""
    if not _HAS_ROMAN.search(text):
        return text
    text = _HEADING_PATTERN.sub(_say_heading, text)
    text = _MONARCH_PATTERN.sub(_say_monarch, text)
    text = _NAME_PATTERN.sub(_say_heading, text)
    return _LIST_PATTERN.sub(_say_list_number, text)
