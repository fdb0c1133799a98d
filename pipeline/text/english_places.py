"""English addresses in words: streets, house numbers, points of the compass, states. `St.` is a street or a saint."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_abbreviations import ENDS, ENDS_PATTERN, alternatives
from pipeline.text.english_numbers import digits, house_number, ordinal

_STREETS = {
    "St": "Street", "Ave": "Avenue", "Av": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Dr": "Drive", "Ln": "Lane",
    "Hwy": "Highway", "Pkwy": "Parkway", "Sq": "Square", "Ct": "Court", "Pl": "Place", "Expy": "Expressway",
    "Fwy": "Freeway", "Ter": "Terrace", "Terr": "Terrace", "Cir": "Circle", "Trl": "Trail", "Cres": "Crescent",
    "Tpke": "Turnpike", "Aly": "Alley", "Plz": "Plaza",
}  # fmt: skip
_FULL_STREETS = "Street|Avenue|Boulevard|Road|Drive|Lane|Highway|Parkway|Square|Court|Place|Terrace|Way|Circle|Crescent"
_POINTS = {"N": "North", "S": "South", "E": "East", "W": "West", "NE": "Northeast", "NW": "Northwest",
           "SE": "Southeast", "SW": "Southwest"}  # fmt: skip
_POINT = r"N\.?[EW]\.?|S\.?[EW]\.?|[NSEW]\.?"
# The second group's abbreviations are words, too: they count before a postal code alone.
_STATES = {
    "AK": "Alaska", "AR": "Arkansas", "AZ": "Arizona", "CA": "California", "CT": "Connecticut", "FL": "Florida",
    "GA": "Georgia", "IA": "Iowa", "IL": "Illinois", "KS": "Kansas", "KY": "Kentucky", "MI": "Michigan",
    "MN": "Minnesota", "NC": "North Carolina", "ND": "North Dakota", "NE": "Nebraska", "NH": "New Hampshire",
    "NJ": "New Jersey", "NM": "New Mexico", "NV": "Nevada", "NY": "New York", "RI": "Rhode Island",
    "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VA": "Virginia",
    "VT": "Vermont", "WA": "Washington", "WI": "Wisconsin", "WV": "West Virginia", "WY": "Wyoming",
    "PA": "Pennsylvania",
}  # fmt: skip
_WORDLIKE_STATES = {
    "AL": "Alabama", "CO": "Colorado", "DE": "Delaware", "HI": "Hawaii", "ID": "Idaho", "IN": "Indiana",
    "LA": "Louisiana", "MA": "Massachusetts", "MD": "Maryland", "ME": "Maine", "MO": "Missouri", "MS": "Mississippi",
    "MT": "Montana", "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon",
}  # fmt: skip
_SHORT_STATES = {
    "Ala": "Alabama", "Ariz": "Arizona", "Ark": "Arkansas", "Calif": "California", "Colo": "Colorado",
    "Conn": "Connecticut", "Del": "Delaware", "Fla": "Florida", "Ga": "Georgia", "Kan": "Kansas", "Kans": "Kansas",
    "Ky": "Kentucky", "Mass": "Massachusetts", "Md": "Maryland", "Mich": "Michigan", "Minn": "Minnesota",
    "Mont": "Montana", "Neb": "Nebraska", "Nebr": "Nebraska", "Nev": "Nevada", "Okla": "Oklahoma", "Oreg": "Oregon",
    "Penn": "Pennsylvania", "Penna": "Pennsylvania", "Tenn": "Tennessee", "Tex": "Texas", "Va": "Virginia",
    "Vt": "Vermont", "Wis": "Wisconsin", "Wisc": "Wisconsin", "Wyo": "Wyoming", "W. Va": "West Virginia",
    "W.Va": "West Virginia", "N.Y": "New York", "N.J": "New Jersey", "N.H": "New Hampshire", "N.M": "New Mexico",
    "N.C": "North Carolina", "N.D": "North Dakota", "S.C": "South Carolina", "S.D": "South Dakota",
    "R.I": "Rhode Island", "N. Mex": "New Mexico",
}  # fmt: skip
# Words of their own, or people: these need a comma or a small letter behind ("Yes, Pa. He", but "Erie, Pa., in May").
_WORDLIKE_SHORT_STATES = {
    "Cal": "California", "Ill": "Illinois", "Ind": "Indiana", "La": "Louisiana", "Me": "Maine", "Miss": "Mississippi",
    "Mo": "Missouri", "Ore": "Oregon", "Pa": "Pennsylvania", "Wash": "Washington", "Ida": "Idaho",
}  # fmt: skip
_STREET = alternatives(_STREETS)
_NAME = r"(?:(?:St\. |Saint )?[A-Z][\w'’]+|\d+(?:st|nd|rd|th)) "
_LINE_PATTERN = re.compile(
    rf"(?:\b([Nn])o\. |(?<![\w.,/:$£€-]))(\d{{1,5}})([A-Z]?(?:-[A-Z])?) (?:({_POINT}) )?((?:{_NAME}){{1,3}}?)"
    rf"(?:((?i:{_STREET}))\b(?:\.{ENDS}|\.(?=\s*,)|\.|(?=[\s,.?!;:)]|$))|({_FULL_STREETS})\b)(?: ({_POINT})(?=[,.\s]"
    rf"|$))?"
)
_NUMBERED_PATTERN = re.compile(
    rf"(?:\b({_POINT}) )?\b(\d+(?:st|nd|rd|th)) ({_STREET})\b(?:\.{ENDS}|\.(?=\s*,)|\.|(?=[\s,.?!;:)]"
    rf"|$))(?: ({_POINT})(?=[,.\s]|$))?"
)
# Behind a preposition and a name: a street unless a name follows ("from Lord St. Simon", "to Holmes Dr. Watson").
_STREET_PATTERN = re.compile(
    rf"(\b(?:on|of|at|down|along|off|from|to|near|and|in|by|across|up|In|On|At|Along|Off"
    rf"|Near) (?:the )?(?:{_NAME}){{1,3}}?)"
    rf"({_STREET})\b(?:\.{ENDS}|\.(?=\s*[,;:?!)]|\s+[a-z(])|(?=,|\s[a-z]|\s*$))"
)
# "Baker St., London": before a comma, a small letter or the end it is no saint.
_PLAIN_STREET_PATTERN = re.compile(
    r"(\b[A-Z][a-z]+(?:['’]s)? )(St|Ave|Blvd|Rd|Ln|Hwy|Pkwy|Sq)(?:\.(?=,|\s[a-z&]|(\s*$))|(?=,|\s(?:and|in|at|is|was|to"
    r"|on|near|by)\b|$))"
)
_STATE_PATTERN = re.compile(
    rf"(?<=[A-Za-z.], )(?:({alternatives(_STATES)})\b(?=[,.;:?!)]|\s+\d{{5}}|\s*$|\s[a-z])"
    rf"|({alternatives(_STATES | _WORDLIKE_STATES)})(?=,?\s+\d{{5}}(?:-\d{{4}})?\b))"
)
_POSTAL_PATTERN = re.compile(
    rf"(\b(?:{'|'.join(sorted((_STATES | _WORDLIKE_STATES).values(), key=len, reverse=True))}"
    rf"|DC),? )(\d{{5}})(?:-(\d{{4}}))?\b"
)
_CLEAR_SHORT_STATE = "Calif|Ariz|Okla|Tenn|Wyo|Colo|Conn|Fla|Penna|Nebr"
_BEFORE_STATE = r"(?:(?<=[a-z.], )|(?<=\b[DRI]-))"
_SHORT_STATE_PATTERN = re.compile(
    rf"{_BEFORE_STATE}(?:({alternatives(_SHORT_STATES)})\.(?!\w)|({alternatives(_WORDLIKE_SHORT_STATES)})\."
    rf"(?=[,;)]|\s[a-z(]|\s\d{{5}}))|(?<![\w.])({_CLEAR_SHORT_STATE})\.(?!\w)"
)
# A full stop behind a short word with a capital, or behind initials.
_HAS_SHORT_STATE = re.compile(
    r"\.(?:(?<=[A-Z][a-z]\.)|(?<=[A-Z][a-z]{2}\.)|(?<=[A-Z][a-z]{3}\.)|(?<=[A-Z][a-z]{4}\.)|(?<=\.[A-Z]\.))"
)
_HAS_STREET = re.compile(rf"\b(?:{_STREET}|{_FULL_STREETS})\b", re.IGNORECASE)
_HAS_STATE = re.compile(r", [A-Z][A-Z]\b")


def _point(letters: str | None) -> str:
    return f"{_POINTS[letters.replace('.', '')]} " if letters else ""


def _street(name: str) -> str:
    return _STREETS[name[0].upper() + name[1:].lower()]


def _end(match: Match[str], ending: str) -> str:
    return "." if ending.endswith(".") and ENDS_PATTERN.match(match.string, match.end()) else ""


def _say_line(match: Match[str]) -> str:
    prefix, number, letter, point, name, short, full, side = match.groups()
    before = match.string[max(0, match.start() - 6) : match.start()].lower()
    if len(number) == 4 and before.endswith(("in ", "since ", "until ", "of ")) and full:
        return match[0]
    letter = f" {letter.replace('-', ' ').strip()}" if letter else ""
    side_words = f" {_point(side).strip()}" if side else ""
    words = f"{house_number(number)}{letter} {_point(point)}{_say_ordinals(name)}{_street(short) if short else full}"
    prefix_words = f"{prefix}umber " if prefix else ""
    return prefix_words + words + side_words + _end(match, match[0])


def _say_ordinals(name: str) -> str:
    return re.sub(r"(\d+)(?:st|nd|rd|th)", lambda m: ordinal(m[1]), name)


def _say_numbered(match: Match[str]) -> str:
    side = f" {_point(match[4]).strip()}" if match[4] else ""
    return f"{_point(match[1])}{_say_ordinals(match[2])} {_street(match[3])}{side}{_end(match, match[0])}"


def _say_street(match: Match[str]) -> str:
    return match[1] + _STREETS[match[2]] + _end(match, match[0])


def _say_plain_street(match: Match[str]) -> str:
    return match[1] + _STREETS[match[2]] + ("." if match[3] is not None else "")


def _say_state(match: Match[str]) -> str:
    return _STATES.get(match[1] or match[2]) or _WORDLIKE_STATES[match[2]]


def _say_short_state(match: Match[str]) -> str:
    name = match[1] or match[3]
    end = "" if match.string[match.end() : match.end() + 1] == ")" else _end(match, match[0])
    return (_SHORT_STATES[name] if name else _WORDLIKE_SHORT_STATES[match[2]]) + end


def _say_postal_code(match: Match[str]) -> str:
    return match[1] + digits(match[2]) + (f", {digits(match[3])}" if match[3] else "")


def expand_places(text: str) -> str:
    """Write `708 N 1st St, Reno, NV 89501` as "seven oh eight North first Street, Reno, Nevada ..."."""
    if _HAS_STREET.search(text):
        text = _LINE_PATTERN.sub(_say_line, text)
        text = _NUMBERED_PATTERN.sub(_say_numbered, text)
        text = _STREET_PATTERN.sub(_say_street, text)
        text = _PLAIN_STREET_PATTERN.sub(_say_plain_street, text)
    if _HAS_SHORT_STATE.search(text):
        text = _SHORT_STATE_PATTERN.sub(_say_short_state, text)
    if _HAS_STATE.search(text):
        text = _STATE_PATTERN.sub(_say_state, text)
        text = _POSTAL_PATTERN.sub(_say_postal_code, text)
    return text
