"""English telephone and card numbers, and codes, digit by digit: rules in their order."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_numbers import cardinal, code, digits, house_number
from pipeline.text.english_patterns import after, before

_CODED = (
    r"(?:\b(?:[Cc]ards?|[Aa]ccounts?|[Cc]odes?|PINs?|pin|OTP|otp|ID|[Pp]assword|[Pp]asscode|[Ss]erial|[Tt]racking"
    r"|[Oo]rder"
    r"|[Rr]eference|[Rr]ef|[Ii]nvoice|[Cc]onfirmation|[Bb]ooking|[Ee]xtension|[Ee]xt|ZIP|[Zz]ip|[Pp]ostcode"
    r"|[Ll]icen[sc]e"
    r"|[Pp]late|[Tt]icket|[Cc]ase|[Pp]assport|[Rr]outing|[Mm]odel|SKU|ISBN|[Bb]adge|[Ff]light|[Ss]ort)"
    r"(?:\s(?:number|code|no\.?|num|id|ID|plate))?(?:\s?[:#]|\s(?:is|was|of))?\s?#?|\b(?:[Cc]ard|[Aa]ccount"
    r"|[Nn]umber|[Pp]hone|[Pp]late|[Pp]assport)s?\b[a-z ]{0,20}\bend(?:s|ed|ing)? (?:in|with)\s"
    r"|\bend(?:s|ing) (?:in|with)\s(?!(?:1[5-9]|20)\d\d\b)|\b[Cc]all(?:ed|ing)?\s|\b[Dd]ial(?:ed|led|ing)?\s"
    r"|\b[Tt]ext(?:ed)?\s(?=\d{5}\b)|\bdigits?:?\s)"
)


def _say_phone(match: Match[str]) -> str:
    plus = "plus " if match[0].startswith("+") else ""
    number, mark, extension = re.match(r"(.*?)(?:,?\s?(ext\.?|extension|x)\s?(\d+))?$", match[0], re.DOTALL).groups()  # type: ignore[union-attr]
    words = plus + ", ".join(digits(group) for group in re.findall(r"\d+", number))
    return f"{words}, extension {digits(extension)}" if mark else words


def _say_code(match: Match[str]) -> str:
    if len(match[2]) == 3 and not re.search(
        r"(?i)\b(?:code|pin|otp|ext|extension|call|called|calling|dial|with|in|digits)\b", match[1]
    ):
        return match[0]
    return match[1] + code(match[2])


def _say_glued_code(match: Match[str]) -> str:
    return match[1] + " " + digits(match[2])


def _say_plan(match: Match[str]) -> str:
    plan = match[1] or match[4]
    number = f"{cardinal(plan[0])} oh {cardinal(plan[2])}"
    return f"{number} {match[2] or match[5]}" + (f" {cardinal(match[3])}" if match[3] else "")


_EMERGENCY = r"(?:911|999|112|988|000|111|110|119|120|101|311)"
_JOINT = r"(?:,? (?:or|and) |, |/)"
_CALLING = (
    r"(?i:call(?:ed|s|ing)?|dial(?:l?ed|s|l?ing)?|phon(?:e|ed|es|ing)|ring(?:s|ing)?|rang|text(?:ed|s|ing)?"
    r"|telephon(?:e|ed|ing)|contact(?:ed|s|ing)?)"
)
_SERVICE = (
    r"(?:calls?|callers?|operators?|dispatch\w*|emergency|is (?:an|the|your) emergency|services?|tapes?|cent(?:er"
    r"|re)|hotline|recordings?|responders?)\b"
)
_NUMBERED = (
    r"(?i)\b(?:pages?|flights?|room|bus|route|highway|no\.?|numbers?|lines?|exits?|porsche|boeing|models?|between"
    r"|unit|chapter|in|of|was|is|and|to)\s$"
)
_NOT_COUNTED = (
    r"(?![\d,.:%-]*\d)(?![ -](?!(?:if|or|and|for|to|from|when|now|immediately|at|on|in|as|before|after|then|because"
    r"|but|with|until|while|right|straight|who|which|is|was|instead|again|today|free|via|emergenc\w+|calls?"
    r"|operators?|dispatch\w*|services?)\b)[a-z])(?![\w'’/$-])"
)


def _say_each(match: Match[str]) -> str:
    return re.sub(r"\d+", lambda number: digits(number[0]), match[0])


def _say_row(match: Match[str]) -> str:
    """Tell `911 or 112` from sizes that are listed, and from pages."""
    is_named = re.search(_NUMBERED, before(match, 12))
    return _say_each(match) if re.search("911|999|988|000", match[0]) and not is_named else match[0]


PHONE_RULES = (
    (r"\bISSN:? (\d{4})-(\d{3})([\dX])(?!\w)",
     lambda m: f"ISSN {digits(m[1])}, {digits(m[2])} {m[3] if m[3] == 'X' else digits(m[3])}"),
    (r"(?<![\w.,-])(?<!\bpages )(?<!\bpp )(7[0-8]7)-([1-9]00|8|9|10)(?=s\b|[^\w-]|(?:ER|LR|F)\b|$)",
     lambda m: f"{house_number(m[1])} {house_number(m[2])}" + " " * after(m, 1).isupper()),
    (rf"(?<![\w.,:/$£€-]){_EMERGENCY}(?:{_JOINT}{_EMERGENCY})+{_NOT_COUNTED}", _say_row),
    (r"(?<![\w.,-])(\d{5})-(\d{4})(?![\w-])", lambda m: f"{digits(m[1])}, {digits(m[2])}"),
    (r"(?<![\w:])(?=[\d:]*[A-Fa-f])(?:[0-9A-Fa-f]{2}:){3,}[0-9A-Fa-f]{2}(?![\w:])|(?<![\w.])0[xX][0-9A-Fa-f]+(?!\w)",
     lambda m: re.sub(r"\d|[A-Za-z]|:", lambda c: f"{digits(c[0])} " if c[0].isdecimal() else f"{c[0]} ", m[0])
     .replace(" :", ",").strip()),
    (r"((?:[Dd]ial|[Pp]ress|[Tt]ext|[Ee]nter|or|code) )([*#])(\d{1,4})(#?)(?![\w*])",
     lambda m: m[1] + {"*": "star ", "#": "hash "}[m[2]] + digits(m[3]) + " hash" * bool(m[4])
     if m[2] == "*" or m[4] else m[0]),
    (r"\b((?:[Tt]ext|SMS)(?: [A-Za-z]+){0,3} to )(\d{5,6})(?!\d)", lambda m: m[1] + digits(m[2])),
    (r"(?<![\w-])1-(8\d\d)-(?=[A-Z]{3,})", lambda m: f"one, {digits(m[1])}, "),
    (rf"\b{_CALLING}\s(?:[a-z'’]+:? ){{0,6}}{_EMERGENCY}{_NOT_COUNTED}", _say_each),
    (rf"(?<=\bor )911(?=[.,;!?)]|\s*$| (?:if|when|immediately|now|right)\b)|(?<![\w.,:/$£€-])(?:911"
     rf"|999)(?=[ -]{_SERVICE})"
     r"|(?<![\w.,:/$£€-])(?:112|988)(?=[ -](?:hotline|lifeline|emergency)\b)|(?<=mergency number )(?:is )?\d{3}\b"
     r"|(?<=mergency number is )\d{3}\b|(?<=mergency number, )\d{3}\b", _say_each),
    (r"(?<![\d.,-])(?:\d{4}[ -]){3}\d{4}(?![\d-])", _say_phone),
    (r"(?:(?<![\d.-])\+\d{1,3}[ .-]?|(?<![\d.,-])1[-. ]|(?<![\d.,-]))(?:\(\d{2,4}\)[ -]?|\d{3}[ -]"
     r"|\d{3}\.(?=\d{3}\.))\d{3}[ .-]\d{4}(?![\d-])"
     r"(?:,?\s?(?:ext\.?|extension|x)\s?\d+)?", _say_phone),
    (r"\+\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,6}(?!\d)|(?<![\d.,-])(?:\(0\d{2,4}\)"
     r"|0\d{2,4})[ -]\d{3,4}[ -]?\d{3,4}(?!\d)", _say_phone),
    (r"(?<![\w.,-])\d{3}-\d{4}(?![\w-])(?:,?\s(?:ext\.?|extension|x)\s?\d+)?|(?<![\w.,-])\d++(?:-\d++){2,}(?![\w-])",
     _say_phone),
    (rf"({_CODED})((?=[A-Za-z]*\d)(?:[A-Za-z]{{0,3}}\d{{4,}}[A-Za-z]{{0,3}}|\d{{3}}(?=[.,;:!?\s]|$)"
     r"|[A-Za-z]+\d+[A-Za-z]+\d[\dA-Za-z]*))(?![\w,.]\d|\w| (?:people|men|women|children)\b| (?!(?:as|is|was|has"
     r"|this|plus|always|does|works|ends|means)\b)[a-z]{3,}s\b)", _say_code),
    (r"(?<!\w)([A-Z]{1,2})(\d)([A-Z]) (\d)([A-Z]{2})(?!\w)",
     lambda m: f"{m[1]} {digits(m[2])} {m[3]} {digits(m[4])} {m[5]}"),
    (r"(?<!\w)([a-z]{2,})(\d{4,})(?![\w.,]\d)", _say_glued_code),
    (r"(?<![\w.,])(\d0\d)\(([a-z])\)(?:\((\d)\))?|(?<![\w.,$£€])(401)(k)(?!\w)", _say_plan),
)  # fmt: skip

"""Telephone and card numbers, and codes that are said digit by digit."""
