"""What stands above or below the line: a power, an index, the end of an abbreviation, half a fraction, a mark."""

from __future__ import annotations

import re

NOTE_MARK = re.compile(
    r"^[\[(]?(?:\d{1,3}(?:\s?[,–-]\s?\d{1,3}){0,5}|[ivx]{2,5}|[a-z]|[*†‡§]{1,3}|[①-⑳]|[注註]\d{0,3})[\])]?$", re.I
)
_ABOVE = str.maketrans("0123456789-−+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻⁺")
_BELOW = str.maketrans("0123456789-−+", "₀₁₂₃₄₅₆₇₈₉₋₋₊")
_START = r"(?<![^\W_])"
# Of a letter or two, a unit or a part of a formula; a word takes a mark, and a year does.
_FUNCTIONS = r"sin|cos|tan|cot|sec|log|ln|sinh|cosh|tanh"
_UNITS = r"[kcdmnµμ]?m|ft|feet|in|inches|mi|miles?|yds?|yards?|[千厘毫分]?米|公里"
_BASE = re.compile(
    rf"(?:{_START}(?:[α-ω]?[A-Za-z]|[α-ωΑ-Ω]|\d{{1,2}}|100|[b-df-hj-np-tv-xz]{{2,3}}|{_FUNCTIONS})|"
    rf"(?:\d|/|\bper)\s*(?:{_UNITS})|[=+×·*/<>]\s*[A-Za-z]{{1,3}}|\d[A-Za-z]{{1,3}})$"
)
_IN_BRACKETS = re.compile(r"\(([^()]*)\)$")
_PROSE = re.compile(r"[^\W\d_]{3}|[^\W\d_]{2,}\s+[^\W\d_]{2}")
_GOES_ON = re.compile(r"\s*[=+×−]\s*[\w(]")
_SHORT_TERM = re.compile(rf"{_START}[a-z]{{1,3}}$")
_SIGNED = re.compile(r"^[-−+]?\d{1,3}$")
_CHARGE = re.compile(r"^\d?[-−+]$")
_ELEMENT = re.compile(r"(?:[A-Z][a-z]?|[₀-₉)\]])$")
_ISOTOPE = re.compile(r"(?:H|C|N|U|K|P|S|Ar|Cl|Co|Cs|Fe|Kr|Pb|Po|Pu|Ra|Rb|Rn|Sr|Tc|Th|Xe)(?![a-z’'])")
_TERM = re.compile(r"^[-−+]?(?:\d*[A-Za-zα-ω]{1,2}|\d+)(?:[-−+*/](?:\d*[A-Za-zα-ω]|\d+))*$")
_VARIABLES = {"capital": "nxk", "digit": "nxyzkipqN", "letter": "nxyzkijmpqtab", "word": "nx"}
_ENDS_ABBREVIATION = re.compile(rf"{_START}(?:\w{{1,2}}|\d+|[IVXLC]+)$")
_MARKS = re.compile(r"[a-h]|[ivx]{1,5}")
_SIGNS = {"TM": "™", "SM": "℠", "(R)": "®"}


def read_above(text: str, before: str, after: str) -> str | None:
    """Return what is read of a text above the line, None where it is the mark of a note.

    Numbers become powers in Unicode (`km²`); where a rule for marks would take those away, or where Unicode has no such
    sign, they are written with `^`.

    Args:
        text: above the line.
        before: what its paragraph has before it.
        after: what follows it.
    """
    text = "".join(text.split())
    if re.match(r"\s*[/⁄]\s*\d*$", after) and text.isdecimal() and not before[-1:].isalpha():
        return f" {text}" if before[-1:].isdecimal() else text
    if before[-1:].isdecimal() and re.fullmatch(r"\d{1,2}[/⁄]\d{1,3}", text):
        return f" {text}"
    if text.upper() in _SIGNS:
        return _SIGNS[text.upper()]
    if text in ("o", "0", "º", "°") and before[-1:].isdecimal() and re.match(r"\s?[CF]\b", after):
        return "°"
    if text == "o" and re.search(rf"{_START}(?:[Nn]|\d+)$", before):
        return "º"
    if text.isdecimal() and (not before or before[-1] in " (") and _ISOTOPE.match(after):
        return text
    if _CHARGE.match(text) and _ELEMENT.search(before):
        return text.translate(_ABOVE)
    if _SIGNED.match(text):
        return _write_power(text, before) if _has_power(before, after) else None if text.isdecimal() else text
    if _TERM.match(text) and _is_variable(text, before):
        return f"^{text}" if len(text) == 1 else f"^({text})"
    if NOTE_MARK.match(text):
        is_end = text.isalpha() and text.isascii() and (not _MARKS.fullmatch(text) or _ENDS_ABBREVIATION.search(before))
        return text if is_end else None
    return text


def read_below(text: str, before: str) -> str:
    """Return what is read of a text below the line: an index in Unicode (`H₂O`), letters as they are."""
    text = "".join(text.split()) if len(text.strip()) < 4 else text
    if re.search(r"[/⁄]\s*$", before):
        return text
    if _SIGNED.match(text) and re.search(r"[^\W\d_]$|[)\]]$", before):
        return text.translate(_BELOW)
    is_index = len(text) == 1 and text.isalpha() and re.search(rf"{_START}[^\W\d_]$", before)
    return f" {text}" if is_index else text


def _has_power(before: str, after: str) -> bool:
    if brackets := _IN_BRACKETS.search(before):
        return not _PROSE.search(re.sub(rf"\b(?:{_FUNCTIONS})\b", "", brackets[1]))
    if before.endswith(")"):
        return False
    return bool(_BASE.search(before) or (_SHORT_TERM.search(before) and _GOES_ON.match(after)))


def _write_power(text: str, before: str) -> str:
    return f"^{text}" if re.search(r"[^\W\d_]{3}$|\d{4}$", before) else text.translate(_ABOVE)


def _is_variable(text: str, before: str) -> bool:
    """Return whether letters are a power, as in "2 to the n", and no end of an abbreviation: `M^me`, `19^th`, `n^o`."""
    base = re.search(rf"{_START}[A-Za-zα-ωΑ-Ω]$|\d$|\)$", before)
    if base is None or text.isdecimal():
        return False
    if re.search(r"[-−+*/]|\d", text):
        return True
    kind = "capital" if base[0].isupper() else "letter" if base[0].isalpha() else "digit"
    kind = "word" if base[0] in "yw" else kind  # As in the old "yt" for that, "wm" for William.
    return bool(re.search("[α-ω]", text)) or (len(text) == 1 and text in _VARIABLES[kind])
