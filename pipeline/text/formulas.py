"""Signs that only a formula has, in English and Chinese alike: minus, comparisons, powers.

A hyphen is a minus between terms of a formula, and nowhere else: spans (5-7), scores, names (F-16) stay as they are.
"""

from __future__ import annotations

import re
from re import Match
from typing import NamedTuple


class FormulaWords(NamedTuple):
    """What a language says for the signs; spaces are part of the words."""

    minus: str
    negative: str
    less: str
    more: str
    power: str
    divided: str
    about: str
    factorial: str


_AMOUNT = r"[-−+]?[$€£¥￥]?\.?\d"
_COMPARED = re.compile(rf"(?<![<>=-])(\s?)([<>])(\s?)(?={_AMOUNT})")
# An angled quote before a number that nothing closes, or closing where none is open, is the sign of a bad printer.
_ANGLES = str.maketrans("‹〈›〉", "<<>>")
_ANGLED = re.compile(r"[‹〈](?=\s?\d)(?![^›〉]{0,200}[›〉])|(?<=[\s，、；：,;:（(㐀-鿿])[›〉](?=\d)|^[›〉](?=\d)")
_MAX_QUOTED = 40
_HEART = re.compile(r"(?i)\b(?:i|you|u|it|this|that|guys|all|them|him|her|so|much|love) <3(?!\d|[.,:]\d)")

_RAISED = str.maketrans("0123456789-−+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻⁺")
_ABOUT = re.compile(r"(?<![\w)\]}/~.%°℃])(?<![\d%°℃年月日时分元] )~\s?(?=[$€£¥￥]?\.?\d)")
_FACTORIAL = re.compile(
    r"(?:(?<=\d)|(?<=(?<![A-Za-z])[nkr]))!(?=\s?[=+×÷/*<>])|(?<=[-−+( ][nkr]\))!(?!!)|(?<=/[nkr])!(?!!)"
)
_LOWER = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_INDEX = re.compile(r"(?<=(?<![A-Za-z0-9_.])[A-Za-zα-ω])_\{?(\d{1,2})\}?(?![A-Za-z0-9_.])")
_BASE = r"(?:(?<=[\d)\]}])|(?<=(?<![A-Za-z'’])[A-Za-zα-ω])|(?<=\d[a-z]))"
_WHOLE_POWER = re.compile(
    r"(?<=[\w)\]}])\^(?:\{\s?([-−+]?\d{1,4})\s?\}|\(\s?([-−+]?\d{1,4})\s?\)|([-−+]?\d{1,4})(?![\d/]|\.\d))"
)
_POWER = re.compile(
    rf"{_BASE}\^(?:\{{([^{{}}^]{{1,30}})\}}|\(([^()^]{{1,30}})\)"
    r"|([-−]?(?:[A-Za-zα-ω](?![A-Za-z])|\d+(?:[./]\d+)?)))"
)

_LETTER = r"(?<![A-Za-zÀ-ɏ_'’@#.])[A-Za-zα-ω](?![A-Za-zÀ-ɏ_'’@])"
_STRETCH = re.compile(
    rf"(?:(?<![A-Za-z_'’@.])(?:sin|cos|tan|log|ln|exp)(?![A-Za-z])|{_LETTER}|(?<![A-Za-z])[a-z]{{2}}(?=[\^²³⁰-⁹])"
    rf"|(?<=\d)[abcnxyz]{{2,3}}(?![A-Za-z])"
    r"|\d++(?:[.,]\d++)*+(?:[A-Za-z](?![A-Za-z'’])|[a-z]{2}(?![A-Za-z'’]))?|[-−–+*×·÷/=<>≤≥≠≈±^(){}|√πθ⁰¹²³⁴-⁹⁻⁺₀-₉]"
    r"| (?! ))++"
)
_HAS_HYPHEN, _HAS_RELATION = re.compile("[-−–/]"), re.compile("[=<>≤≥≠≈]")
_MAY_HAVE_MINUS = re.compile(
    r"[\d²³⁰-⁹₀-₉)][a-z]?[²³⁰-⁹]?\s?[-−–]\s?[-−(\dA-Za-z]|(?<![A-Za-z])[nkmxyzij][-−](?:[12](?!\d)|[nkmij](?!\w))"
    r"|[A-Za-z)][-−][A-Za-z(]"
)
_RELATION = re.compile(r"[\w)}|²³¹⁰-⁹₀-₉]\s?(?:[=<>≤≥≠≈]|[<>!=]=)\s?[-−+±(√]{0,4}[\w.]")
_HYPHEN = re.compile(r"(?<=[\w)}²³¹⁰-⁹₀-₉])(\s?)[-−–](\s?)(?=([-−+±(√]{0,4})\s?([\w.]))")
_SIGN = re.compile("[-−–/]")
_DIVIDED = re.compile(
    r"(?:(?<=[²³⁰-⁹)₀-₉])|(?<=(?<![A-Za-z])[A-Za-z]))\s?/\s?(?=[\w(])|(?<=\d)\s?/\s?(?=[a-z](?![A-Za-z])|\()"
)
_TWO_X = re.compile(r"(?<=\d)x(?![\w^²³⁰-⁹₀-₉])")
_SIGNED = re.compile(r"(?:(?<=[=≤≥≠≈({*×÷/^,])|(?<=[=<>≤≥≠≈±+] ))[-−](?=[A-Za-zα-ω(√])|^[-−](?=[A-Za-zα-ω(√])")
_TERM_BEFORE = re.compile(r"[\w.,(){}²³¹⁰-⁹₀-₉^]{1,12}$")
_TERM_BEHIND = re.compile(r"[-−+±(√]{0,4}\s?(\d++(?:[.,]\d++)*+)?([A-Za-zα-ω]*)([²³¹⁰-⁹₀-₉^(]?)")
# "2x", "4ac": letters that stand for numbers. "6k" and "5m" are amounts.
_ALGEBRAIC = re.compile(r"(?:[abcnpqrtuvwxyzθ]|[abcnxyz]{2,3})")
_LOWERED = "₀₁₂₃₄₅₆₇₈₉"
_OPERATOR = re.compile(r"[+*×÷^²³√±⁰-⁹]")


def say_formulas(text: str, words: FormulaWords) -> str:
    """Read what only a formula has: `<5 mg`, `10^{-6}`, `e^x`, `2x - 1`. Whole powers become superscripts."""
    if "~" in text:
        text = _ABOUT.sub(words.about, text)
    if "!" in text:
        text = _FACTORIAL.sub(words.factorial, text)
    if "_" in text:
        text = _INDEX.sub(lambda match: match[1].translate(_LOWER), text)
    if not text.isascii():
        text = _ANGLED.sub(lambda match: match[0].translate(_ANGLES), text)
    if _HAS_HYPHEN.search(text) and (_HAS_RELATION.search(text) or _MAY_HAVE_MINUS.search(text) or "^" in text):
        text = _STRETCH.sub(lambda match: _say_stretch(match, words), text)
    if "<" in text or ">" in text:
        text = _HEART.sub(lambda match: match[0][:-2], text)
        text = _COMPARED.sub(lambda match: _say_comparison(match, words), text)
    if "^" in text:
        text = _WHOLE_POWER.sub(lambda match: (match[1] or match[2] or match[3]).translate(_RAISED), text)
        text = _POWER.sub(lambda match: _say_power(match, words), text)
    return text


def _say_comparison(match: Match[str], words: FormulaWords) -> str:
    """Tell `(<5 mg)` from `<2012>`, which quotes a title, and from the `>` that begins a quoted line."""
    text, start = match.string, match.start(2)
    if match[2] == "<":
        closing = text.find(">", start, start + _MAX_QUOTED)
        quotes = closing > 0 and not re.match(r"\s?\d", text[closing + 1 : closing + 3])
    else:
        opening = text.rfind("<", max(0, start - _MAX_QUOTED), start)
        quotes = opening >= 0 and ">" not in text[opening:start] and text[start - 1].isalnum()
        line = text[max(0, start - 3) : start].rstrip(" ")
        is_item = not line and re.match(r"\d+(?:[.)]\s|st|nd|rd|th)", text[match.end() : match.end() + 8])
        quotes |= bool(match[3]) and (line[-1:] in tuple('.!?"”') or bool(is_item))
    if quotes:
        return match[0]
    word = words.less if match[2] == "<" else words.more
    return word.lstrip() if not match[1] and (not start or text[start - 1] in "([{“‘\"'（") else word


def _say_power(match: Match[str], words: FormulaWords) -> str:
    power = match[1] or match[2] or match[3]
    return words.power.format(re.sub(r"^\s?[-−](?=[A-Za-zα-ω(])", words.negative, power))


def _say_stretch(match: Match[str], words: FormulaWords) -> str:
    stretch = match[0]
    if not _SIGN.search(stretch):
        return stretch
    is_equation = bool(_RELATION.search(stretch))
    follows_word = stretch[0] != " " and match.start() > 0 and match.string[match.start() - 1].isalpha()

    def say(hyphen: Match[str]) -> str:
        is_spaced = bool(hyphen[1] and hyphen[2])
        is_uneven = bool(hyphen[1]) != bool(hyphen[2]) and not is_equation
        if is_uneven or not _is_minus(hyphen, is_equation, is_spaced):
            return hyphen[0]
        return words.minus

    said = _HYPHEN.sub(say, stretch)
    if is_equation:
        said = _DIVIDED.sub(words.divided, said if follows_word else _SIGNED.sub(words.negative, said))
    # "2x" before a word would be read as "two times".
    return said if said == stretch else _TWO_X.sub(" x" if words.minus[0] == " " else "x", said)


def _is_minus(hyphen: Match[str], is_equation: bool, is_spaced: bool) -> bool:
    stretch = hyphen.string
    left = _TERM_BEFORE.search(stretch, max(0, hyphen.start() - 12), hyphen.start())
    right = _TERM_BEHIND.match(stretch, hyphen.end())
    if left is None or right is None:
        return False
    before, number, letters, mark = re.split(r"[({]", left[0])[-1], right[1] or "", right[2], right[3]
    coefficient = re.fullmatch(r".*?(\d?)([A-Za-zα-ω]+)", before)
    is_raised = before[-1] in "²³¹⁰⁴⁵⁶⁷⁸⁹" or bool(re.search(r"\^\w+$", before))
    is_left = is_raised or before[-1] in ")}" + _LOWERED
    is_left |= bool(coefficient and _ALGEBRAIC.fullmatch(coefficient[2].lower()))
    is_right = bool(letters and _ALGEBRAIC.fullmatch(letters.lower())) or bool(mark)
    if re.match(r"\([-−]", hyphen[3]) or (hyphen[3][:1] in ("-", "−") and (is_spaced or is_equation)):
        return True  # 3 - -5, 3-(-5)
    if number and letters == "x" and coefficient and coefficient[2] == "x":
        return is_equation  # 2x-3x faster
    if is_equation:
        if is_left or is_right or (letters and not number) or (coefficient and not coefficient[1]):
            return True
        return not letters and _is_difference(before, number, stretch, right.end())
    has_operator = bool(_OPERATOR.search(stretch))
    is_term = bool(coefficient and coefficient[1] and is_left) or is_raised or (number and is_right)
    if is_spaced:
        return bool(is_term) or (has_operator and (is_left or is_right))
    if (is_raised and not letters) or (before[-1] in _LOWERED and mark and mark in _LOWERED):
        return True  # 2^31-1, x₁-x₂
    return (
        (bool(is_term) and bool(coefficient and coefficient[2] in "nkxyz") and not letters)
        or (before in tuple("nkmxyz") and number in ("1", "2") and not letters)
        or (before in tuple("nkmij") and letters in tuple("nkmij") and not number and stretch[right.end() :][:1] != "-")
    )


def _is_difference(before: str, number: str, stretch: str, end: int) -> bool:
    """Tell `7 - 5 = 2` and `x = 5 - 3` from `n = 3-5`, which may be a span."""
    if re.match(r"\)*\s?[=≠≈]", stretch[end : end + 4]):
        return True
    low = re.search(r"\d++(?:[.,]\d++)*+$", before)
    return bool(low and number and float(low[0].replace(",", "")) > float(number.replace(",", "")))
