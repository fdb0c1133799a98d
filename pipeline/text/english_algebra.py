"""School arithmetic and algebra in English words: `What is 12 - 5?`, `f'(x) = 2x`, `|x - y|`; before other formulas.

A hyphen between two numbers is mostly a span: it is a minus only where the text asks for the result, or gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

from pipeline.text.english_numbers import PLAIN_SCRIPTS, cardinal
from pipeline.text.english_patterns import before

_ELEMENTS = {
    "H": "hydrogen", "He": "helium", "Li": "lithium", "Be": "beryllium", "B": "boron", "C": "carbon", "N": "nitrogen",
    "O": "oxygen", "F": "fluorine", "Na": "sodium", "P": "phosphorus", "S": "sulfur", "Cl": "chlorine",
    "K": "potassium", "Ar": "argon", "Ca": "calcium", "Fe": "iron", "Co": "cobalt", "Kr": "krypton",
    "Rb": "rubidium", "Sr": "strontium", "Tc": "technetium", "I": "iodine", "Xe": "xenon", "Cs": "cesium",
    "Pb": "lead", "Po": "polonium", "Rn": "radon", "Ra": "radium", "Th": "thorium", "U": "uranium",
    "Np": "neptunium", "Pu": "plutonium", "Am": "americium",
}  # fmt: skip
_ASKED = (
    r"\b(?i:what(?:['’]s| is)|solve|calculate|compute|evaluate|work out|find|how much is|add|subtract|simplify)"
    r":? (?=\d)"
)
_NUMBER = r"\d++(?:\.\d++)?"
_SUM = rf"{_NUMBER}(?: ?[-−–+×x÷*] ?{_NUMBER}){{1,12}}"
_SIGNS = {"-": "minus", "−": "minus", "–": "minus", "+": "plus", "×": "times", "x": "times", "*": "times",
          "÷": "divided by"}  # fmt: skip
_RAISED = str.maketrans("0123456789-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻")
_RESULT = rf"(?P<low>{_NUMBER}) [-−–] (?P<high>{_NUMBER})(?= (?:is|equals|makes|gives|leaves) (?P<rest>-?{_NUMBER}))"
_VARIABLE = re.compile(r"\b[fgh]['’′″]*\(x\)|\bd[a-z]?/dx\b|\bx ?[²³^=+]|[=+] ?[-−]?\d*x\b|\by ?=|\bx\^")
_OPERATOR_BEFORE, _OPERATOR_BEHIND = r"(?<=[=+*] )|(?<=[=+*])", r"(?=\s?[=+*])"


def _say_sum(text: str) -> str:
    said = re.sub(r" ?([-−–+×x÷*]) ?", lambda m: f" {_SIGNS[m[1]]} ", text)
    return re.sub(_NUMBER, lambda m: cardinal(m[0]), said)


def _say_result(match: Match[str]) -> str:
    """Read `10 - 3 is 7`, which is true; `10 - 12 is fine` gives a span."""
    is_true = abs(float(match["low"]) - float(match["high"]) - float(match["rest"])) < 1e-9
    return f"{cardinal(match['low'])} minus {cardinal(match['high'])}" if is_true else match[0]


def _say_isotope(match: Match[str]) -> str:
    """Read `¹⁴C` as "carbon fourteen"; a mark of a footnote stands behind a word, and before none."""
    name = _ELEMENTS.get(match[2])
    number = cardinal(match[1].translate(PLAIN_SCRIPTS))
    return f"{name} {number}" if name else match[0]


_GRADED = re.compile(
    r"(?i)\b(?:grade[sd]?|blood|donors?|rh|type|got|gets?|earned|marks?|averag\w+|negative|student|essay|exam)\b"
)


def _say_grade(match: Match[str]) -> str:
    """Tell the `B-` of an exam and the `O-` of blood from what a speaker breaks off."""
    return f"{match[1]} minus" if _GRADED.search(before(match, 60)) or before(match, 2) in ("a ", "A ") else match[0]


def _say_primes(match: Match[str]) -> str:
    count = sum(2 if mark in '″"' else 1 for mark in match[2])
    words = {1: "prime", 2: "double prime"}.get(count, "triple prime")
    return f"{match[1]} {words}" + " " * (match.string[match.end() : match.end() + 1] in ("(", "+", "="))


def _say_absolute(match: Match[str]) -> str:
    sign = {"+": "plus", "*": "times"}.get(match[2], "minus")
    return f"the absolute value of {match[1]} {sign} {match[3]}"


_RULES: tuple[tuple[re.Pattern[str], Callable[[Match[str]], str]], ...] = tuple(
    (re.compile(pattern), reading)
    for pattern, reading in (
        (rf"({_ASKED})({_SUM})(?=\s?(?:[.?!]\s*$|[.?!] |=|$))", lambda m: m[1] + _say_sum(m[2])),
        (rf"(?<![\w.,/-]){_RESULT}(?![\w.,]*\d)", _say_result),
        (rf"(?<![\w.,/-])({_SUM}) ?= ?(\?|_{{2,}})",
         lambda m: f"{_say_sum(m[1])} equals {'what?' if m[2] == '?' else 'blank'}"),
        (r"\b(I|[Ww]e|[Yy]ou|[Tt]hey) <3 (?=[A-Za-z])", lambda m: f"{m[1]} love "),
        (r"\b(Cl|Br|OH|HCO3|NO3|CN)-(?=[\s.,;:)]|$)(?! (?:and|or) \w+-)", lambda m: f"{m[1]} minus"),
        (r"\b(AB|[A-F]|O)-(?=[.,;:!?)]|\s|$)(?! (?:and|or|to) \w+-\w)", _say_grade),
        (r"(?<![\w_])_{2,}(?![\w_])", lambda m: "blank"),
        (r"(?<![\w.)\]-])[-−]([a-z]) ?/ ?(\d?[a-z])(?![\w/-])", lambda m: f"minus {m[1]} over {m[2]}"),
        (r"\b(GMT|UTC) ?([-−–+]) ?(?=\d)", lambda m: f"{m[1]} {'plus' if m[2] == '+' else 'minus'} "),
        (r"(?:(?<=(?<![A-Za-z])[A-Za-z])|(?<=[Α-Ωα-ω][A-Za-z])|(?<=[)²³\d])) ?− ?"
         r"(?=[A-ZΑ-Ωα-ω]{1,3}(?![A-Za-z])|[b-z](?![A-Za-z])|\()", lambda m: " minus "),
        (r"[∑Σ]_?\{? ?([a-z]) ?= ?(\w+)\}? ?\^ ?\{?(\w+|∞)\}? ?",
         lambda m: f"the sum from {m[1]} = {m[2]} to {m[3]} of "),
        (r"(?<=\d) ?[x×*·] ?10\^\{?([-−]?\d{1,3})\}?(?=[/ ])", lambda m: f" × 10{m[1].translate(_RAISED)}"),
        (r"(?<![\w.,])(\d+\.\d+)[eE]\+?(\d{1,3})(?![\w.]*\d)(?!\w)",
         lambda m: f"{m[1]} × 10{m[2].translate(_RAISED)}"),
        (r"\b(d[a-z]?)/(d[a-z])\b", lambda m: f"{m[1]} over {m[2]}"),
        (r"(?<![\w|])\|\s?([a-z]) ?([-−+*]) ?([a-z]|\d+)\s?\|(?![\w|])", _say_absolute),
        (r"(?:(?<=(?<![A-Za-z*])[A-Za-z])|(?<=\d)|(?<=\)))\*\*(?=\(?[-\dA-Za-z]\w?(?![\w*]))", lambda m: "^"),
        (r"(?<![\w⁰¹²³⁴-⁹])([⁰¹²³⁴-⁹]{1,3})([A-Z][a-z]?)(?![a-z])", _say_isotope),
        (r"(?<![\w'’])([A-Za-z])(['’′″]{1,3}|\")(?=\([a-z\d]|\s?[+=]\s?[\w(-])", _say_primes),
        (r"(?<![\w'’])([A-Za-z])([′″]+)(?!\w)", _say_primes),
        (rf"(?:{_OPERATOR_BEFORE})([a-z]) ?/ ?([a-z])(?![\w/])"
         rf"|(?<![\w/])(?!m/s|n/a)([a-z]) ?/ ?([a-z]){_OPERATOR_BEHIND}",
         lambda m: f"{m[1] or m[3]} over {m[2] or m[4]}"),
    )
)  # fmt: skip
_HINT = re.compile(
    r"\d ?[-−–+×x÷*] ?\d|_\{|__|[-−][a-z] ?/|\bGMT|\bUTC|−|10\^|\d[eE]\+?\d|\||\*\*|[⁰¹²³⁴-⁹][A-Z]|[′″]|<3"
    r"|[A-Za-z3]-(?!\w)|(?<![A-Za-z])[A-Za-z](?:['’]{1,3}|\")(?:\(|\s?[+=])|[a-z] ?/ ?[a-z]"
)
_TWO_X = re.compile(r"(?<=\d)x(?![\w^²³⁰-⁹₀-₉]|\s?[-−+*×/]?\s?\d)")


def say_algebra(text: str) -> str:
    """Read what only sums and algebra have: `9 - 4 = ?`, `y″(x)`, `a/b + c/d`, `∑_{i=1}^{n}`, `¹⁴C`."""
    if "x" in text and _TWO_X.search(text) and _VARIABLE.search(text):
        text = _TWO_X.sub(" x", text)
    if _HINT.search(text):
        for pattern, reading in _RULES:
            text = pattern.sub(reading, text)
    return text
