"""English abbreviations in words, and which full stops do not end a sentence.

Titles, initials, days and months, and words cut short. Streets and states are in `english_places`, Roman numerals in
`english_roman`.
"""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_numbers import roman_value

TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Messrs": "Messieurs", "Dr": "Doctor", "Drs": "Doctors",
    "Prof": "Professor", "Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant",
    "Sgt": "Sergeant", "Cpl": "Corporal", "Maj": "Major", "Rev": "Reverend", "Hon": "Honorable", "Sen": "Senator",
    "Rep": "Representative", "Gov": "Governor", "Pres": "President", "Mt": "Mount", "Ft": "Fort", "St": "Saint",
    "Sts": "Saints", "Fr": "Father", "Mme": "Madame", "Mlle": "Mademoiselle", "Adm": "Admiral", "Cmdr": "Commander",
    "Det": "Detective", "Insp": "Inspector", "Supt": "Superintendent", "Amb": "Ambassador", "Bro": "Brother",
    "Atty": "Attorney", "Sens": "Senators", "Reps": "Representatives",
    "Govs": "Governors", "Pvt": "Private", "Cdr": "Commander", "Mts": "Mounts", "Ald": "Alderman",
    "Cllr": "Councillor", "Cllrs": "Councillors", "Bp": "Bishop", "Abp": "Archbishop", "Msgr": "Monsignor",
    "Revd": "Reverend", "Lieut": "Lieutenant", "Brig": "Brigadier", "Comdr": "Commander", "Asst": "Assistant",
}  # fmt: skip
FIRST_NAMES = {
    "Wm": "William", "Chas": "Charles", "Geo": "George", "Thos": "Thomas", "Jas": "James", "Robt": "Robert",
    "Jno": "John", "Benj": "Benjamin", "Edw": "Edward", "Saml": "Samuel", "Danl": "Daniel", "Nathl": "Nathaniel",
    "Jos": "Joseph", "Alexr": "Alexander", "Richd": "Richard", "Fredk": "Frederick", "Margt": "Margaret",
    "Andw": "Andrew", "Patk": "Patrick", "Eliz": "Elizabeth",
}  # fmt: skip
_MAX_LONE_TITLE = 8
# Said in full wherever they stand; the full stop stays where a sentence may end there.
_WORDS = {
    "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "&c.": "et cetera", "vs.": "versus",
    "cf.": "compare", "approx.": "approximately", "dept.": "department", "Dept.": "Department",
    "est.": "estimated", "Est.": "Estimated",
    "Jr.": "Junior", "Sr.": "Senior", "Inc.": "Incorporated", "Ltd.": "Limited",
    "Corp.": "Corporation", "Co.": "Company", "Bros.": "Brothers", "Assn.": "Association", "Univ.": "University",
    "govt.": "government", "Govt.": "Government", "Esq.": "Esquire", "viz.": "namely", "misc.": "miscellaneous",
    "et al.": "et al", "a.k.a.": "also known as", "E.g.": "For example", "I.e.": "That is", "ca.": "circa",
    "a.m.": "AM", "p.m.": "PM", "A.M.": "AM", "P.M.": "PM", "ibid.": "ibidem", "Ibid.": "Ibidem",
    "p.a.": "per annum",
    "hrs.": "hours", "mins.": "minutes", "secs.": "seconds", "lbs.": "pounds", "Ph.D.": "PhD", "M.Sc.": "MSc",
    "B.Sc.": "BSc", "appt.": "appointment", "Intl.": "International", "Natl.": "National", "Mfg.": "Manufacturing",
    "Dist.": "District", "dist.": "district", "tel.": "telephone", "Tel.": "Telephone", "ext.": "extension",
    "incl.": "including", "excl.": "excluding", "resp.": "respectively", "w.r.t.":
    "with respect to", "R.S.V.P.": "RSVP", "N.B.": "NB", "q.v.": "which see", "Approx.": "Approximately",
    "e.s.t.": "EST", "p.s.t.": "PST", "c.s.t.": "CST",
    "per cent.": "per cent", "anon.": "anonymous", "pseud.": "pseudonym", "Anon.": "Anonymous",
}  # fmt: skip
_NEVER_LAST = frozenset("e.g. i.e. E.g. I.e. a.k.a. cf. vs. viz. approx. Approx. ca. w.r.t. incl. excl.".split())
_BEFORE_NUMBER = {
    "No": "Number", "NO": "Number", "no": "number", "Nos": "Numbers", "nos": "numbers", "p": "page",
    "pp": "pages", "Vol": "Volume",
    "vol": "volume", "Vols": "Volumes", "vols": "volumes", "Ch": "Chapter", "ch": "chapter", "Chap": "Chapter",
    "chap": "chapter", "Fig": "Figure", "fig": "figure", "Figs": "Figures", "figs": "figures", "Eqs": "Equations",
    "Sec": "Section", "sec": "section", "Eq": "Equation", "Art": "Article", "art": "article", "Ed": "Edition",
    "c": "circa", "ver": "version", "Apt": "Apartment", "apt": "apartment", "Rm": "Room",
    "Bldg": "Building", "Ste": "Suite", "Pt": "Part",
    "min": "minimum", "max": "maximum", "Bk": "Book", "bk": "book", "par": "paragraph", "Ex": "Example", "Op": "Opus",
    "op": "opus", "Ep": "Episode", "ep": "episode", "l": "line", "ll": "lines", "cap": "chapter", "pt": "part",
    "sect": "section", "Sect": "Section", "Hwy": "Highway", "Rte": "Route", "Rt": "Route", "P": "Page",
    "pg": "page", "Pg": "Page", "pgs": "pages", "Pgs": "Pages", "sc": "scene", "Sc": "Scene", "chs": "chapters",
    "Chs": "Chapters", "chaps": "chapters", "Chaps": "Chapters", "bks": "books", "vv": "verses", "App": "Appendix",
    "Mk": "Mark", "Pts": "Parts",
    "para": "paragraph", "paras": "paragraphs", "fn": "footnote",
    "fol": "folio", "fols": "folios", "Ser": "Series", "ser": "series",
}  # fmt: skip
_BEFORE_SMALL_ROMAN = "Sec|sec|Sect|sect|Vols?|vols?|pp?|Pp?|pgs?|Ch|ch|Chaps?|chaps?|Bk|bk|Act|Sc|sc|Pt|pt|fols?|cap"
_BEFORE_ROMAN = "Pts|Vol|vol|Vols|vols|Ch|ch|Chap|chap|Fig|fig|Sec|Sect|Pt|pt|Bk|bk|Op|Art|cap|Eq|Ep"
DAYS = {"Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Weds": "Wednesday",
        "Thu": "Thursday", "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday",
        "Sun": "Sunday"}  # fmt: skip
MONTH_NAMES = {"Jan": "January", "Feb": "February", "Mar": "March", "Apr": "April", "Jun": "June", "Jul": "July",
               "Aug": "August", "Sep": "September", "Sept": "September", "Oct": "October", "Nov": "November",
               "Dec": "December"}  # fmt: skip
_STARTERS = (
    "He|She|It|They|We|I|You|The|A|An|This|That|These|Those|But|And|Or|So|In|On|At|If|When|Then|There|What|Who|Why|How"
    "|My|His|Her|Its|Our|Their|As|For|After|Before|While|With|Not|No|Yes|Is|Are|Do|Did|Can|Will"
)
_AFTER_A_FULL_STOP = "He|She|It|They|We|You|The|But|And|Then|There|This|That|These|Those|What|When|If|A|An"
ENDS = rf"(?=[\"'”’)\]]*(?:\s*$|\s*\n|\s+[\"'“‘(]?(?:{_STARTERS})\b))"
"""Matches where a sentence seems to end behind an abbreviation."""
ENDS_PATTERN = re.compile(ENDS)


def alternatives(words: dict[str, str]) -> str:
    """Return a pattern of all keys, the longest first."""
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


_DAY = alternatives(DAYS)
_MONTH = alternatives(MONTH_NAMES)
_TITLE_PATTERN = re.compile(
    rf"(?<![\w.])({alternatives(TITLES)})\.\s*(?=[A-Z“\"]|and [A-Z]|& |van |von |de "
    rf"|O['’])(?!(?:{_AFTER_A_FULL_STOP}) )"
    r"|(?<![\w.])(Mr|Mrs|Ms|Messrs)(?:\.|(?=\s(?:[A-Z]|(?:&|and) M(?:rs|s)\b)))"
    r"|(?<![\w.-])(Dr|St|Prof|Capt|Sgt|Lt|(?<=Lt )Col|Cpl|Maj|Gen(?! (?:Alpha|Beta|[XZ]))|Sen|Gov|Rev|Revd|Insp|Supt"
    r"|Cllr)(?=\s[A-Z][a-z])"
    r"|(?<=[Tt]he )(Dr|Rev|Capt|Lt|Col|Gen|Sgt|Prof|Gov|Sen)\.(?=,? [a-z])"
)
_YEAR_NEXT = re.compile(r",? (?:in |c\. ?|circa )?1\d{3}\b|,? (?:in )?20\d\d\b")
_EXPECTED_NEXT = re.compile(r"\s*[,;:)]|\s*$|\s+(?:of|by|at|for|from|and|in|is|are|was|were|has|had)\b|\s+[A-Z]")
_FULL_DAY = r"\b((?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?)"
_FULL_MONTH = (
    r"\b(January|February|March|April|May|June|July|August|September|October|November|December|Spring|Summer|Autumn"
    r"|Fall|Winter)"
)
_FULL_RANGE_PATTERN = re.compile(
    rf"{_FULL_DAY}\s?[-–—]\s?{_FULL_DAY}\b|{_FULL_MONTH}[-–—]{_FULL_MONTH}\b|\b({_MONTH})\.?[-–—]{_FULL_MONTH}\b"
    rf"|{_FULL_MONTH}[-–—]({_MONTH})\b"
)
_SISTER_PATTERN = re.compile(
    r"(?<![\w.])Sr\.? (?=[A-Z][a-z]+)(?!(?:Vice|Executive|Manager|Director|Engineer|Developer|Analyst|Software"
    r"|Product|Project|Editor|Adviser|Advisor|Consultant|Associate|Partner|Officer|Fellow|Counsel|Accountant|Data"
    r"|Design|Research"
    rf"|Account|Sales|Marketing|High|Citizens?|Staff|Lecturer|{_STARTERS})\b)"
)
_NAME_BEFORE = re.compile(r"(?<![.!?:;\"“(] )(?<!^)\b[A-Z](?:[\w'’]+|\.),? $")
_DAY_RANGE_PATTERN = re.compile(
    rf"\b({_DAY})\b\.?(\s?[-–—/&]\s?|,? (?:and|or|to|through|thru) )({_DAY})\b(?:\.(?!\s*$))?"
)
_WORD_PATTERN = re.compile(rf"(?<![\w.])({alternatives(_WORDS)})(?!\w)({ENDS})?")
_NUMBERED_PATTERN = re.compile(
    rf"(?<![\w.])(?<!\d )(?:({alternatives(_BEFORE_NUMBER)})\.\s?(?=\d|#\d|\(\d|(?<!P\.)(?<!P\. )(?!I\b)"
    rf"[IVXLC]+[a-f]?\b)"
    rf"|({_BEFORE_ROMAN})\.\s?(?=I[.,;:)]|I$|I (?:&|and|to) [IVX]+\b)|(Apt|Ste|Rm|Bldg"
    r"|(?<=[a-z] )No)\s(?=\d))"
)
_SMALL_ROMAN_PATTERN = re.compile(
    rf"(?<![\w.])((?:{_BEFORE_SMALL_ROMAN})\.\s?)([ivxlc]+(?:(?:\s?[-–—]\s?|, | and | & | to )[ivxlc]{{2,}}(?!\w))*)"
    r"(?=[.,;:)\s]|$)"
)
_FIRST_NAME_PATTERN = re.compile(
    rf"(?<![\w.])(?:({alternatives(FIRST_NAMES)})\.|(Wm|Chas|Thos|Robt|Jno|Saml|Danl|Richd))(?=\s[A-Z])"
)
_MONTH_RANGE_PATTERN = re.compile(rf"\b({_MONTH})\.?(\s?[-–—/]\s?)({_MONTH})\b(?:\.(?!\s*$))?")
_RIGHT_PATTERN = re.compile(r"(?<![\w.])Rt\.? (?=Hon\b|Rev\b|Honou?rable|Reverend)")
_BARE_WORDS = {"eg": "for example", "ie": "that is", "etc": "et cetera", "vs": "versus", "Ltd": "Limited",
               "Inc": "Incorporated", "approx": "approximately", "Jr": "Junior", "WWII": "World War Two",
               "WWI": "World War One", "WW2": "World War Two", "WW1": "World War One"}  # fmt: skip
_BARE_HINTS = (" eg", "(eg", " ie", "(ie", "etc", "vs", "Ltd", "WW", "approx", "Inc", "Jr")
_BARE_PATTERN = re.compile(
    r"(?<![\w.'’&/-])(?:(eg|ie)(?=[,:]? [a-z\d(])|(?<!slash )(etc|vs|Ltd)(?![\w.'’/-])"
    r"|(WW(?:II|I|1|2))(?![\w/-])|(approx)(?= \d)"
    r"|(?<=[a-z] )(Inc|Jr)(?![\w./-])|(?<=[a-z], )(Inc|Jr)(?![\w./-]))"
)
# Whether "Sun" or "Mon" is a day is known only from a date or a word like "on" beside it.
_CALENDAR_PATTERN = re.compile(
    rf"(?<![\w.'’-])(?:({_DAY})\.?(?=,? (?:\d|(?:{_MONTH}|January|February|March|April|May|June|July|August"
    rf"|September|October"
    rf"|November|December)\b))|(?<=\b[Oo]n )({_DAY})\b(?:\.(?!\s*$|\s+[A-Z])|(?![\w.]))|(?:(?<=next )|(?<=last )"
    rf"|(?<=this )"
    rf"|(?<=every )|(?<=until )|(?<=[Oo]n ))({_DAY})\.|(Tues?|Thu(?:rs?)?|Fri|Weds)\.(?=,?\s)"
    rf"|({_DAY})\.(?=, (?:{_DAY}|[A-Z][a-z]+day)\b)"
    rf"|(?:(?<=\b[Ii]n )|(?<=\b[Oo]f )|(?<=ince )|(?<=\bby )|(?<=ntil )|(?<=rom )|(?<=\bto )|(?<=ate )|(?<=arly )"
    rf"|(?<=ast )|(?<=ext ))({_MONTH})\.|(Feb|Apr|Aug|Sept?|Oct|Nov|Dec)\.(?=,?\s|$))"
)
_INITIALS_PATTERN = re.compile(
    rf"(?<![\w.])((?:[A-Z]\.){{2,}})(?:(?=['’]s)|({ENDS})|)|(?<![\w.])((?:[A-Z]\.\s){{2,}})(?=[A-Z][a-z])"
)
_ABBREVIATIONS = frozenset(
    word.rstrip(".").lower()
    for table in (TITLES, FIRST_NAMES, _WORDS, ("Ave", "Blvd", "Rd", "Ln", "Pkwy", "Sq", "Ct", "Pl"), DAYS, MONTH_NAMES)
    for word in table
) - {"sun", "sat", "mar", "co", "art", "ca", "mon", "wed", "amb", "bro", "det", "fr", "dist", "tel", "pl"}
_BEFORE_DOT = re.compile(r"(?<![A-Za-z])([A-Za-z]{1,12})\.")
_WITHOUT_DOT = re.compile(
    r"\bNo \d|"
    rf"\b(?:M(?:rs?|s)|Dr|St|Prof|Capt|Sgt|Lt|Col|Cpl|Maj|Gen|Sen|Gov|Rev|Revd|Insp|Supt|Cllr|{_DAY}|{_MONTH}|Wm|Chas"
    r"|Thos|Robt|Jno|Saml|Danl|Richd)\b|\b(?:Apt|Ste|Rm|Bldg) \d"
)
# The last letters of everything with a full stop: "g" of "e.g.", any initial.
_DOTTED = frozenset(
    word.rstrip(".").rpartition(".")[2].rpartition(" ")[2]
    for table in (TITLES, FIRST_NAMES, _WORDS, _BEFORE_NUMBER, DAYS, MONTH_NAMES)
    for word in table
)


def is_abbreviation(word: str, following: str) -> bool:
    """Tell whether a full stop after `word` belongs to the word: Mr, e.g, U.S, an initial, No before a number."""
    lower = word.lower()
    if lower in ("no", "nos", "fig", "vol", "p", "pp"):
        return following.isdecimal()
    return lower in _ABBREVIATIONS or "." in word or (len(word) == 1 and word.isupper() and word != "I")


def _say_title(match: Match[str]) -> str:
    return f"{TITLES[match[1]]} " if match[1] else TITLES[match[2] or match[3] or match[4]]


def _say_word(match: Match[str]) -> str:
    if match[1] in ("est.", "Est."):
        return _say_est(match)
    return _WORDS[match[1]] + ("." if match[2] is not None and not _goes_on(match) else "")


def _goes_on(match: Match[str]) -> bool:
    """Tell `a.k.a. "The Boss"`, which ends no sentence, whatever begins behind it."""
    return match[1] in _NEVER_LAST and (match[1][1:] in (".g.", ".e.") or match.end() < len(match.string.rstrip()))


def _say_full_range(match: Match[str]) -> str:
    return " to ".join(MONTH_NAMES.get(name, name) for name in match.groups() if name)


def _say_sister(match: Match[str]) -> str:
    """Tell `Sr. Mary` from the `Sr.` behind a name."""
    name = _NAME_BEFORE.search(match.string[max(0, match.start() - 40) : match.start()])
    return match[0] if name else "Sister "


def _say_est(match: Match[str]) -> str:
    """Tell `est. 1911`, `est. costs` and, of what somebody expected, `beat est. of 3 cents`."""
    written, start = match[1], match.start()
    if match.string[max(0, start - 1) : start] in ("'", "’"):
        return match[0]  # French.
    if _YEAR_NEXT.match(match.string, match.end()):
        return "established" if written == "est." else "Established"
    if written == "est." and _EXPECTED_NEXT.match(match.string, match.end()):
        is_one = re.search(
            r"(?i)\b(?:an?|the|this|that|one|its|his|her|our|their) $", match.string[max(0, start - 6) : start]
        )
        return ("estimate" if is_one else "estimates") + ("." if match[2] is not None else "")
    return _WORDS[written]


def _say_calendar(match: Match[str]) -> str:
    name = next(group for group in match.groups() if group)
    ends = match[0].endswith(".") and ENDS_PATTERN.match(match.string, match.end())
    return (DAYS.get(name) or MONTH_NAMES[name]) + ("." if ends else "")


def _say_days(match: Match[str]) -> str:
    mark = match[2].strip()
    between = " and " if mark == "&" else " or " if mark == "/" else " to " if mark in "-–—" else match[2]
    return f"{DAYS[match[1]]}{between}{DAYS[match[3]]}"


def _say_months(match: Match[str]) -> str:
    if not match[0].rstrip(".").replace(match[1], "", 1).startswith(".") and not match.string[match.end() :].strip():
        return match[0]  # "Mar-May" alone: a name?
    return f"{MONTH_NAMES[match[1]]} to {MONTH_NAMES[match[3]]}"


def _say_initials(match: Match[str]) -> str:
    if match[3]:
        return match[3].replace(".", "")
    return match[1].replace(".", "") + ("." if match[2] is not None else "")


def _say_small_roman(match: Match[str]) -> str:
    # "p. i" of a preface, but no word that looks like a numeral: "vol. mix".
    return match[1] + re.sub(r"\b[ivxlc]+\b", lambda m: str(roman_value(m[0].upper()) or m[0]), match[2])


def _say_bare(match: Match[str]) -> str:
    return _BARE_WORDS[next(group for group in match.groups() if group)]


def expand_abbreviations(text: str) -> str:
    """Write `Dr. Who, e.g.` as "Doctor Who, for example"; acronyms without stops are left alone.

    Places (`expand_places`) come first: what is a street there would be a saint here.
    """
    if len(text) <= _MAX_LONE_TITLE and text[-1:] == "." and text[:-1] in TITLES:
        return TITLES[text[:-1]]
    if "&c." in text:
        text = text.replace("&c.", "et cetera.")
    if any(word in text for word in _BARE_HINTS):
        text = _BARE_PATTERN.sub(_say_bare, text)
    if "-" in text or "–" in text or "—" in text:
        text = _FULL_RANGE_PATTERN.sub(_say_full_range, text)
    has_dotted = any(len(word) == 1 or word in _DOTTED for word in _BEFORE_DOT.findall(text))
    if not has_dotted and not _WITHOUT_DOT.search(text):
        return text
    text = _SMALL_ROMAN_PATTERN.sub(_say_small_roman, text)
    text = _FIRST_NAME_PATTERN.sub(lambda match: FIRST_NAMES[match[1] or match[2]], text)
    text = _RIGHT_PATTERN.sub("Right ", text)
    if "Sr" in text:
        text = _SISTER_PATTERN.sub(_say_sister, text)
    text = _WORD_PATTERN.sub(_say_word, text)
    text = _MONTH_RANGE_PATTERN.sub(_say_months, text)
    text = _DAY_RANGE_PATTERN.sub(_say_days, text)
    text = _TITLE_PATTERN.sub(_say_title, text)
    text = _NUMBERED_PATTERN.sub(lambda match: f"{_BEFORE_NUMBER[match[1] or match[2] or match[3]]} ", text)
    text = _CALENDAR_PATTERN.sub(_say_calendar, text)
    return _INITIALS_PATTERN.sub(_say_initials, text)
