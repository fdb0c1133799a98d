"""Feet and inches that are written with marks, which may be quotes, too: `5'10"`, `a 12' board`, `a 27" screen`."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_numbers import cardinal, fraction
from pipeline.text.english_patterns import NO_NOUN, after, before

_OPEN_QUOTE = re.compile(r"(?<!\d)[\"”“]|[“]")
_OPEN_SINGLE = re.compile(r"(?<![\w'’])(?:['‘](?!\d0s|(?:em|til|tis|twas|cause)\b)|`)(?=\S|$)[^'’`\n]*$")
_GAME = re.compile(
    r"(?i)\b(?:goals?|scor\w+|minutes?|penalty|header|kick-?off|substitut\w+|equali[sz]\w+|half[- ]time|booked"
    r"|sent off|red card|yellow card|min)\b"
)
_A_BEFORE = re.compile(r"\b(?:[Aa]n?|[Ee]very|[Ee]ach|another) $")


def _is_quoted(match: Match[str], mark: str) -> bool:
    """Tell whether a quote is open there that the mark could close."""
    near = before(match, 400)
    if mark in "'’":
        return bool(_OPEN_SINGLE.search(re.sub(r"(?<=\w)['’](?=\w)", "", near)))
    marks = _OPEN_QUOTE.findall(near)
    return bool(marks.count('"') % 2) if mark == '"' else marks.count("“") > marks.count("”")


def _noun(match: Match[str]) -> str:
    """Return the noun behind a length that belongs to it."""
    found = re.match(r"[ -]([a-z]{3,})", after(match))
    return found[1] if found and found[1] not in NO_NOUN and found[1] not in _SIZES else ""


_SIZES = frozenset("wide long deep tall high thick away apart square above below across behind".split())


def _say_inches(match: Match[str]) -> str:
    """Read the mark of `a 12" record` as inches: no quote is open there that it could close."""
    if _is_quoted(match, match["mark"]):
        return match[0]
    number, noun = match["number"], _noun(match)
    words = cardinal(number) if "/" not in number else number + " "
    if "/" in number:
        return f"{number} in." if not noun else f"{number}-inch"
    return f"{words} {'inch' if noun or number == '1' else 'inches'}"


def _say_feet_and_inches(match: Match[str]) -> str:
    part = f" and {fraction(*match['part'].split('/'))}".replace("one half", "a half") if match["part"] else ""
    feet, inches = cardinal(match["feet"]), cardinal(match["inches"]) + part
    if int(match["inches"]) > 11 and not part:  # Of music and films.
        return f"{feet} minute{'' if match['feet'] == '1' else 's'} {inches} seconds"
    if _A_BEFORE.search(before(match, 8)) and re.match(r"[ -][a-z]", after(match)):
        return f"{feet} foot {inches}"
    return (
        f"{feet} {'foot' if match['feet'] == '1' else 'feet'} {inches}"
        f" {'inch' if match['inches'] == '1' and not part else 'inches'}"
    )


def _say_bare_inches(match: Match[str]) -> str:
    return match[0] if _is_quoted(match, match["mark"]) else _say_feet_and_inches(match)


def _say_area(match: Match[str]) -> str:
    sides = " by ".join(cardinal(side) for side in re.findall(r"\d+(?:\.\d+)?", match[0]))
    return f"{sides} {'foot' if _noun(match) else 'feet'}"


def _say_lone_feet(match: Match[str]) -> str:
    """Read `a 12' board` and `it is 6'.` as feet, where no quote is open; `(67')` of a game are its minutes."""
    if _is_quoted(match, match["mark"]) or re.search(r"(?:[°$£€]|deg\.?\]?)\s?$", before(match, 6)):
        return match[0]
    number = cardinal(match["number"])
    if _GAME.search(before(match, 60) + "|" + after(match)) or (before(match, 1) == "(" and after(match, 1) == ")"):
        return number
    return f"{number} {'foot' if match['number'] == '1' or _noun(match) else 'feet'}"


_SIDE = r"\d{1,3}(?:\.\d+)?['′’]"
LENGTH_RULES = (
    (r"(?<![\w.,'’])([1-9])['′’]-(?=(?!(?:long|wide|tall|high|deep|thick)\b)[a-z])",
     lambda m: f"{cardinal(m[1])} prime "),
    (r"(?<![\w.,'’/-])(\d{1,3})['′’]-(?=(?:long|wide|tall|high|deep|thick)\b)", lambda m: f"{cardinal(m[1])} foot "),
    (r"(?<!\d)(\d{1,2}['′’][ -]?\d{1,2}(?: \d/\d{1,2})?)(?:''|’’|′′)(?!\w)", lambda m: f'{m[1]}"'),
    (r"(?<![\w.,'’])([35])['′’](?: ?([-–→]) ?| to )(?!\1)([35])['′’](?= (?:exo|endo|direction|strand|end|orientation"
     r"|polymer|DNA|RNA|UTR|link|bond|phospho|synthesis))",
     lambda m: f"{cardinal(m[1])} prime to {cardinal(m[3])} prime"),
    (r"(?<![\d'’])(\d{1,2})['′’]\s?[-–]\s?(\d{1,2})['′’](?![\w\"″”'’])",
     lambda m: f"{cardinal(m[1])} to {cardinal(m[2])} feet"),
    (rf"(?<![\w.'’]){_SIDE}(?:\s?(?:[x×]|by)\s?{_SIDE})+(?![\w\"″”'’]|\s?\d)", _say_area),
    (r"(?<![\d'’.,°])(?<!° )(?P<feet>\d{1,2})['′’][ -]?(?P<inches>\d{1,2})(?: ?(?P<part>\d/\d{1,2}))?[\"″”]",
     _say_feet_and_inches),
    (r"(?:(?<=inches)|(?<=feet)) ?[x×] ?(?=\d)", lambda m: " by "),
    (r"(?<![\w.,'’/])(?P<feet>[3-8])(?P<mark>['′’])(?P<inches>1[01]|\d)(?: (?P<part>[13]/[248]))?(?![\w\"″”/]|['’]\w"
     r"|[.,]\d)", _say_bare_inches),
    (r"(?<![\w.,'’/+\\-])(?P<number>\d{1,3}(?:\.\d)?)(?P<mark>['′’])(?![\w'’\"″”-]|\s?\d|\s?[x×])", _say_lone_feet),
)  # fmt: skip
"""Feet; before other measures."""

INCH_RULES = (
    (r"(?<![\d.,])(\d+(?:\.\d+)?)[\"”](?=\s?(?:x\b|by\b|wide|tall|long|high|deep|thick|screen|tv|TV|monitor|pipe"
     r"|nails?|display|wheels?|tires?))",
     lambda m: f"{cardinal(m[1])} inch"),
    (r"(?<![\d.'’′/])(?P<number>\d+(?:\.\d+)?)(?P<mark>[\"”])(?!\s?[x×])(?=[\s.,;:)-]|$)", _say_inches),
)  # fmt: skip
"""Inches; behind fractions."""

PART_INCH_RULE = (r"(?<![\d./])(?P<number>\d/\d{1,2})(?P<mark>[\"”])(?!\s?[x×])(?=[\s.,;:)-]|$)", _say_inches)
