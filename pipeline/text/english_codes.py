"""English telephone and card numbers, and codes, digit by digit: rules in their order."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_numbers import cardinal, code, digits

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
    number = f"{cardinal(match[1][0])} oh {cardinal(match[1][2])}"
    return f"{number} {match[2]}" + (f" {cardinal(match[3])}" if match[3] else "")


PHONE_RULES = (
    (r"(?<![\d.,-])(?:\d{4}[ -]){3}\d{4}(?![\d-])", _say_phone),
    (r"(?:(?<![\d.-])\+\d{1,3}[ .-]?|(?<![\d.,-])1[-. ]|(?<![\d.,-]))(?:\(\d{2,4}\)[ -]?|\d{3}[ -]"
     r"|\d{3}\.(?=\d{3}\.))\d{3}[ .-]\d{4}(?![\d-])"
     r"(?:,?\s?(?:ext\.?|extension|x)\s?\d+)?", _say_phone),
    (r"\+\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,6}(?!\d)|(?<![\d.,-])(?:\(0\d{2,4}\)"
     r"|0\d{2,4})[ -]\d{3,4}[ -]?\d{3,4}(?!\d)", _say_phone),
    (r"(?<![\w.,-])\d{3}-\d{4}(?![\w-])(?:,?\s(?:ext\.?|extension|x)\s?\d+)?|(?<![\w.,-])\d++(?:-\d++){2,}(?![\w-])",
     _say_phone),
    (rf"({_CODED})((?=[A-Za-z]*\d)(?:[A-Za-z]{{0,3}}\d{{4,}}[A-Za-z]{{0,3}}|\d{{3}}(?=[.,;:!?\s]|$)"
     rf"|[A-Za-z]+\d+[A-Za-z]+\d[\dA-Za-z]*))(?![\w,.]\d|\w| (?:times|people|days|years|items|dollars|hours|minutes"
     rf"|points))", _say_code),
    (r"(?<!\w)([A-Z]{1,2})(\d)([A-Z]) (\d)([A-Z]{2})(?!\w)",
     lambda m: f"{m[1]} {digits(m[2])} {m[3]} {digits(m[4])} {m[5]}"),
    (r"(?<!\w)([a-z]{2,})(\d{4,})(?![\w.,]\d)", _say_glued_code),
    (r"(?<![\w.,])(\d0\d)\(([a-z])\)(?:\((\d)\))?", _say_plan),
)  # fmt: skip

"""Telephone and card numbers, and codes that are said digit by digit."""
