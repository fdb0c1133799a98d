"""Web addresses, operators and signs in English words: the first and the last rules of English."""

from __future__ import annotations

import re
import unicodedata
from re import Match

from pipeline.text.english_numbers import cardinal, digits
from pipeline.text.english_units import LONE_SYMBOLS, PER, PER_PATTERN

_URL_SYMBOLS = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon", "?": "question mark",
                "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus", "~": "tilde"}  # fmt: skip
_FILES = (
    "js|py|txt|pdf|html|htm|jpg|jpeg|png|gif|csv|json|xml|yaml|yml|docx?|xlsx?|pptx?|zip|exe|mp3|mp4|wav|cpp|css|php|sh"
    "|log|md|ts|rs|go|java|tar|gz|epub|ini|cfg|svg|sql"
)
_ADDRESS_PATTERN = re.compile(
    r"(?<![\w.@])(?:[a-z]{2,5}://[^\s<>]+|www\.[^\s<>]+|[\w.+&-]{1,64}@[\w-]+(?:\.[\w-]+)+(?:/[^\s<>]*)?"
    r"|(?:[a-z0-9-]{1,63}\.){1,5}(?:com|org|net|edu|gov|io|ai|co\.uk|ac\.uk|cn|de|fr|jp|eu|dev|app|info"
    r"|xyz|(?-i:uk|au|ca|nl|ch|se|pl|br|ru|kr|nz|mil|biz|tv))\b(?:/[^\s<>]*)?"
    r"|(?<=\s)~?/(?:[\w.-]+/)+[\w.-]*\w|[A-Za-z]:\\(?:[\w .-]+\\)*[\w.-]+)",
    re.IGNORECASE | re.ASCII,
)
_FILE_PATTERN = re.compile(rf"(?<=[A-Za-z0-9_-])\.(?=(?:{_FILES})\b(?!\.\w))|(?<![\w.])\.(?=(?:NET|com|org|io)\b)")
_FILE_NAME_PATTERN = re.compile(rf"(?<![\w./])(?=[\w.-]*[_\d-])[A-Za-z][\w-]*(?:\.[\w-]+)*\.(?:{_FILES})\b")
_HAS_ADDRESS = re.compile(r"[@/\\]|www\.|\.[A-Za-z]{2}")
_GREEK = {chr(code): unicodedata.name(chr(code)).split()[-1].lower() for code in range(0x3B1, 0x3CA) if code != 0x3C2}
_NAMED = {
    "∞": "infinity", "√": "square root of", "∛": "cube root of", "∑": "sum of", "∫": "integral of", "∂": "partial",
    "∆": "delta", "Δ": "delta", "∇": "nabla", "∈": "in", "∉": "not in", "∀": "for all", "∃": "there is",
    "∝": "proportional to",
    "∴": "therefore", "∵": "because", "∪": "union", "∩": "intersection", "⊂": "subset of", "⊆": "subset of",
    "∅": "empty set",
    "⊕": "plus", "⊗": "times", "∠": "angle", "⊥": "perpendicular to", "∥": "parallel to", "¬": "not", "∧": "and",
    "∨": "or", "≡": "identical to", "≅": "congruent to", "∼": "similar to", "≪": "much less than",
    "≫": "much greater than",
    "¶": "paragraph", "№": "number", "℞": "prescription", "℮": "estimated", "Ω": "omega", "Σ": "sigma", "Π": "pi",
    "Φ": "phi",
    "Ψ": "psi", "Θ": "theta", "Λ": "lambda", "Γ": "gamma", "⇒": "implies", "⇔": "if and only if", "↔": "to and from",
    "♭": "flat", "♯": "sharp", "⅓": "one third", "‰": "per mille",
}  # fmt: skip
_BARRED = r"(?:[A-Za-zα-ω]|minus|plus|[a-z]{3,9})(?: ?[+−-]? ?[A-Za-z]{1,9}){0,3}"
_GREEK_OR_NAMED = _GREEK | {"λ": "lambda"} | _NAMED


def _say_address(match: Match[str]) -> str:
    address = match[0]
    tail = re.search(r"[.,;:!?)\]}'\"”’]*$", address)
    end = tail[0] if tail else ""
    address = re.sub(r"^[a-z]+:/{2,3}|(?<=.)/$", "", address.removesuffix(end), flags=re.IGNORECASE)
    parts = re.findall(r"[^\W\d_]+|\d+|.", address)
    words = []
    for part in parts:
        if part.isascii() and part.isdigit():
            words.append(digits(part) if len(part) > 2 else cardinal(part))
        elif part.lower() == "www":
            words.append("w w w")
        elif part == "\\":
            words.append("backslash")
        else:
            words.append(_URL_SYMBOLS.get(part, part if part.isalpha() else ""))
    return " ".join(filter(None, words)) + end


def say_addresses(text: str) -> str:
    """Read web, mail and file addresses: `a@b.com` as "a at b dot com"."""
    if _HAS_ADDRESS.search(text):
        text = _ADDRESS_PATTERN.sub(_say_address, text)
        text = _FILE_NAME_PATTERN.sub(_say_address, text)
        text = _FILE_PATTERN.sub(lambda m: " dot " if m.start() and m.string[m.start() - 1].isalnum() else "dot ", text)
    return text


def _parted(match: Match[str], words: str) -> str:
    return words if match.string[match.start() - 1 : match.start()] in "([“‘" and match.start() else f" {words}"


SYMBOL_RULES = tuple(
    (re.compile(pattern), reading)
    for pattern, reading in (
        (rf"(?<![\w|])\|({_BARRED})\|(?=\s?[=<>≤≥]|\s{{1,2}}(?:less|greater)\b)|(?<![\w|])\|([A-Za-z])\|(?![\w|])",
         lambda m: "the absolute value of " + re.sub(r"\s?[−-]\s?", " minus ", m[1] or m[2])),
        (r"(\bPr?\([^()|]{1,20}?)\s?\|\s?(?=[^()|]{1,20}\))", lambda m: f"{m[1]} given "),
        (r"§§\s?", lambda m: "sections "),
        (r"§\s?", lambda m: "section "),
        (r"¶¶\s?", lambda m: "paragraphs "),
        (r"¶\s?", lambda m: "paragraph "),
        (r"\b((?i:press|dial|hit|push|enter|the|or) )([*#])(?=[.,;:]|$| (?:to|for|key|button|sign|now|then|and)\b)",
         lambda m: m[1] + {"*": "star", "#": "hash"}[m[2]]),
        (r"\b((?:[Mm]ade|[Ss]cored|hit|[Uu]nbeaten|[Ii]nnings of|[Cc]entury of|reached|finished on)(?: an unbeaten)?"
         r" [a-z -]{3,40})\*(?!\w)", lambda m: f"{m[1]} not out"),
        (r"\b([KQRBN][a-h1-8]?x?[a-h] (?:one|two|three|four|five|six|seven|eight))#", lambda m: f"{m[1]} mate"),
        (r"△\s?(?=[A-Z]{3}\b)", lambda m: "triangle "),
        (r"(?<=\S)[*†‡]+(?=\s|$|[.,;:!?)\"”])", lambda m: ""),
        (r"\s?&\s?", lambda m: " and "),
        (r"\s?±\s?|\s?\+/-\s?", lambda m: " plus or minus "),
        (r"(?:(?<=[(\[“‘])|\s?)(?:≥|>=|⩾)\s?", lambda m: _parted(m, "greater than or equal to ")),
        (r"(?:(?<=[(\[“‘])|\s?)(?:≤|<=|⩽)\s?", lambda m: _parted(m, "less than or equal to ")),
        (r"\s?≈\s?", lambda m: " approximately "),
        (r"\s?(?:≠|!=)\s?", lambda m: " not equal to "),
        (r"\s?÷\s?", lambda m: " divided by "),
        (r"(?<=[\w)])\s?×\s?(?=[\w(])", lambda m: " times "),
        (r"(?<=[\w)\]!%”\"'’])\s?={1,2}(?![=>])\s?(?=[\w(\[{√∠∅∞|±$€£“\"'−-])", lambda m: " equals "),
        (r"(?<=[A-Za-z])\+\+(?=\w)", lambda m: " plus plus "),
        (r"(?<=[A-Za-z])\+\+", lambda m: " plus plus"),
        (r"(?<![A-Za-z])([A-F])\+(?!\w)|(?<=[a-z])\+(?=\s|[.,;!?]|$)", lambda m: f"{m[1] or ''} plus"),
        (r"(?<=[\w)])\s?\+\s?(?=[\w(])", lambda m: " plus "),
        (r"(?<![\w)])\+(?=[a-z])", lambda m: "plus "),
        (r"(?<=[\w)])\s?<\s?(?=[\w(])", lambda m: " less than "),
        (r"(?<=[\w)])\s?>\s?(?=[\w(])", lambda m: " greater than "),
        (r"(?<=\w) <(?= )", lambda m: " less than"),
        (r"\s?%\s?", lambda m: " percent "),
        (r"\s?[→⟶]\s?", lambda m: " to "),
        (rf"(?<=\w)/({PER_PATTERN})\b", lambda m: f" per {PER[m[1]]}"),
        (r"(?<=\b[A-G])#", lambda m: " sharp"),
        (r"\b([Aa]nd)/(or)\b", lambda m: f"{m[1]} {m[2]}"),
        (r"\b([Ss]?[Hh]e)/(she|he)\b|\b([Hh]is)/(her)s?\b|\b([Hh]im)/(her)\b|\b([Hh]er)/(his)\b",
         lambda m: " or ".join(group for group in m.groups() if group)),
        (r"\b([Ss])/he\b", lambda m: f"{'She' if m[1] == 'S' else 'she'} or he"),
        (r"\b[Ww]/o\b", lambda m: "without"),
        (r"\b[Ww]/(?=\s|\w\w)", lambda m: "with "),
        (r"\b[Cc]/o\b", lambda m: "care of"),
        (r"(?<=[A-Z])/(?=[A-Z])", lambda m: " "),
        (r"(?<![\w/])[fF]/(?=(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|six|twenty|thirty)\b)",
         lambda m: "f "),
        (r"(?<=[\w)])\s?/\s?(?=[\w(])|(?<=!)/(?=[\w(])", lambda m: " slash "),
        (r"\s?@\s?", lambda m: " at "),
        (r"(?<=opyright )©\s?|\(c\) ©\s?", lambda m: ""),
        (r"©\s?", lambda m: "copyright "),
        (r"(?<=\w)[$](?=\w)|[$](?=[A-Za-z])", lambda m: ""),
        ("[" + "".join(LONE_SYMBOLS) + "]", lambda m: f" {LONE_SYMBOLS[m[0]]} "),
        (r"(?<=\w) ?√", lambda m: " square root of "),
        (r"(?<![\u0370-\u03ff])[" + "".join(_GREEK_OR_NAMED) + r"](?![\u0370-\u03ff])",
         lambda m: _parted(m, f"{_GREEK_OR_NAMED[m[0]]} ")),
        (r"\s?[°º]\s?", lambda m: " degrees "),
        (r"[*_#^~`|\\<>{}=+/™®•·●■◆→←↑↓†‡¦′″]+", lambda m: " "),
    )
)  # fmt: skip
"""In their order; what comes before has taken the signs that belong to numbers."""
HAS_SYMBOL = re.compile(r"[^\w\s.,;:!?'\"“”‘’()\[\]—–…-]|_|[α-ω]")
