"""What catalogs, indexes and bibliographies shorten: lives, editions, volumes, formats, sizes, revenue and reviews.

Before other abbreviations: the same letters mean other things elsewhere (`d.` pence, `ed.` a name, `Rev.` a priest).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

from pipeline.text.english_numbers import cardinal, house_number

_PROCEDURES = {"Civ": "Civil", "Crim": "Criminal", "App": "Appellate"}
_YEAR = r"(?:1\d|20)\d\d\b"
_ERA = r"(?:A\.?\s?D\.?|B\.?\s?C\.?(?:\s?E\.?)?|C\.?\s?E\.?)"
_ABOUT = r"(?:c\. ?|ca\. ?|circa |about |abt\. )?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)"
_LIVES = {"b": "born", "d": "died", "fl": "flourished", "bap": "baptized", "bapt": "baptized"}
_SIZES = {"h": "height", "w": "width", "d": "depth", "l": "length", "diam": "diameter"}
_FORMATS = {"4to": "quarto", "8vo": "octavo", "12mo": "duodecimo", "16mo": "sextodecimo", "18mo": "octodecimo",
            "24mo": "vicesimo-quarto", "32mo": "tricesimo-secundo"}  # fmt: skip
_SPOONS = {"c": "cup", "T": "tablespoon", "t": "teaspoon", "pkg": "package", "pkgs": "package", "pt": "pint",
           "pts": "pint", "qt": "quart", "qts": "quart"}  # fmt: skip


def _like(written: str, word: str) -> str:
    return word.capitalize() if written[0].isupper() else word


def _say_circa(match: Match[str]) -> str:
    """Tell `C. 1850`, which begins a sentence, from what stands behind a word: "Vitamin C. 1850 was ..."."""
    before = match.string[: match.start()].rstrip()[-1:]
    if match[1] == "C" and before and before not in '.!?:;([“"—–':
        return match[0]
    return _like(match[1], "circa ")


def _say_docket(match: Match[str]) -> str:
    """Tell the case `No. 23-411` from the span `No. 99-123`."""
    is_case = int(match[2]) - int(match[1]) > 100
    return f"Number {cardinal(match[1])} {house_number(match[2])}" if is_case else match[0]


def _say_spoon(match: Match[str]) -> str:
    unit = _SPOONS[match[2]]
    is_one = match[1] in ("1", "½", "¼", "¾", "⅓", "⅔") or ("/" in match[1] and " " not in match[1])
    return f"{match[1]} {unit}{'' if is_one or '/' in match[1] else 's'} "


_RULES: tuple[tuple[re.Pattern[str], Callable[[Match[str]], str]], ...] = tuple(
    (re.compile(pattern), reading)
    for pattern, reading in (
        (rf"(?<![\w.])([cC]a?)\.\s?(?=(?:{_ERA} ?)?{_YEAR}|{_ERA} ?\d|\d{{1,4}} ?{_ERA}(?!\w)"
         r"|\d{1,2}(?:st|nd|rd|th) c)",
         _say_circa),
        (rf"(?<=[\w,;(.] )(b|d|fl|bapt?)\.\s?(?={_ABOUT}{_YEAR}|(?:in |at )?[A-Z]\w+,? {_ABOUT}{_YEAR}"
         rf"|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH})|(?<=\()(b|d|fl|bapt?)\.\s?(?=[\dA-Zca])",
         lambda m: _LIVES[m[1] or m[2]] + " "),
        (r"(?<=[\d½¼¾⅛⅜⅝⅞]) ?p\. ?c\.(?!\w)", lambda m: " per cent"),
        (r"\bDec\.? ?(?=[-−+]\d{1,2}(?:\.\d+)?°)", lambda m: "declination "),
        (r"(?<![\w.])C(?:o|ty)\. Rd\.?(?= \d)", lambda m: "County Road"),
        (r"\bFed\. R\. (Civ|Crim|App)\. P\.(?= \d)", lambda m: f"Federal Rule of {_PROCEDURES[m[1]]} Procedure"),
        (r"\bFed\. R\. Evid\.(?= \d)", lambda m: "Federal Rule of Evidence"),
        (r"(?:(?<=\d(?:st|nd|rd|th) )|(?<=\bFed\. )|(?<=\bD\.C\. ))Cir\.(?=(\s*$)|[ ,;:)])",
         lambda m: "Circuit" + "." * (m[1] is not None)),
        (r"(?<=Act \()c\. ?(?=\d{1,3}\))", lambda m: "chapter "),
        (r"\bNo\. (\d{2})-(\d{3,5})(?![\w-])", _say_docket),
        (r"(?<![\w.])(?:P\. ?L\.|Pub\. ?L\.)(?: No\.)? (\d{2,3})-(\d{1,3})(?![\w-])",
         lambda m: f"Public Law {cardinal(m[1])}, {cardinal(m[2])}"),
        (r"(?<![\w.])([hHwWdDlL]|[dD]iam)\. (?=[\d.½¼¾][\d.,/ ½¼¾-]{0,8}\s?(?:in|ins|inch(?:es)?|cm|mm|ft|m)\b)",
         lambda m: _like(m[1], _SIZES[m[1].lower()]) + " "),
        (r"(?<=\d(?:st|nd|rd|th) )c(?:ent)?\.(?=(\s*$)|[ ,;:)])", lambda m: "century" + "." * (m[1] is not None)),
        (r"(?<=\d(?:st|nd|rd|th) )(inst|ult|prox)\.(?=(\s*$)|[ ,;:)])",
         lambda m: {"inst": "instant", "ult": "ultimo", "prox": "proximo"}[m[1]] + "." * (m[2] is not None)),
        (r"(?<![\w.])(?<!the )(?<!The )([Rr])ev\. (?=of (?:[$€£¥]|US\$|A\$|(?:about|some|nearly|over)? ?\d)|(?:was"
         r"|were|rose|fell|grew|up|down|growth|per|gained|dropped)\b)", lambda m: _like(m[1], "revenue ")),
        (r"(?<![\w.])([Rr])ev\. (?=of [“\"‘']?[A-Z])", lambda m: _like(m[1], "review ")),
        (rf"(?<![\w.])([Rr])ev\. (?=(?:(?:and|&) enl\. )?(?:ed\.|edn\.|edition)|{_YEAR}|by [A-Z])",
         lambda m: _like(m[1], "revised ")),
        (r"(?:(?<=and )|(?<=& ))enl\. (?=ed\.|edn\.|edition)", lambda m: "enlarged "),
        (r"(?<=(?:st|nd|rd|th|ed) )(?:edn?|Edn?)\.(?=(\s*$)|[ ,;:)])|(?<=(?:[Nn]ew|.\d\d) )edn?\.(?=(\s*$)|[ ,;:)])",
         lambda m: "edition" + "." * (m[1] is not None or m[2] is not None)),
        (r"(?<=\()(ed|comp|trans|tr)(s?)\.(?=\))",
         lambda m: {"ed": "editor", "comp": "compiler"}.get(m[1], "translator") + m[2]),
        (r"(?<=(?:with|.and|many) )illus\.", lambda m: "illustrations"),
        (r"(?<![\w.])([Ee]d|[Tt]rans|[Ii]llus|[Cc]omp|[Pp]ubl?|[Rr]epr)\. (?=(?:by|and|with|from|in) )",
         lambda m: _like(m[1], {"e": "edited ", "t": "translated ", "i": "illustrated ", "c": "compiled ",
                                "p": "published ", "r": "reprinted "}[m[1][0].lower()])),
        (rf"(?<![\w.])([Rr])epr\. (?={_YEAR})", lambda m: _like(m[1], "reprinted ")),
        (r"(?<=\d )vols?\.(?=(\s*$)|[ ,;:)])", lambda m: "volumes" + "." * (m[1] is not None)),
        (r"(?<=\d)\s?ff\.(?=(\s*$)|[ ,;:)])", lambda m: " and following" + "." * (m[1] is not None)),
        (r"(?<!\w)(4to|8vo|(?:12|16|18|24|32)mo)(?!\w)", lambda m: _FORMATS[m[1]]),
        (r"(?<![\w./])((?:\d{1,2} )?\d/\d|\d{1,2}(?: ?[½¼¾⅓⅔])?|[½¼¾⅓⅔]) ?(c|T|t|pkgs?|pts?|qts?)\. (?=[a-z])",
         _say_spoon),
    )
)  # fmt: skip
_DIGIT = re.compile(r"[0-9]")
_HINT = re.compile(
    r"[\d½¼¾⅛⅜⅝⅞] ?p\. ?c\.|\bDec\.? ?[-−+]\d|C(?:o|ty)\. Rd\b|\bFed\.|\bCir\.|\bNo\. \d\d-|\bL\."
    r"|(?<![\w.])(?:[bdhlwcDHLWCTt]|fl|bapt?|ca|Ca|[dD]iam|cent|inst|ult|prox|[Rr]ev|enl|[Ee]dn?|eds|[Tt]rans|tr|[Ii]llus"
    r"|[Cc]omps?|[Pp]ubl?|[Rr]epr|vols?|ff|pkgs?|pts?|qts?)\.|\dff\.|\d[vmt]o\b"
)


def expand_catalog(text: str) -> str:
    """Write `(b. c. 1850), 2nd rev. ed., 2 vols., 8vo, h. 12 in.` in words; `C. 1850` and `Rev. of $4m`, too."""
    # Most sentences have neither a full stop before their end nor a digit.
    has_any = "." in text[:-1] or _DIGIT.search(text)
    if has_any and _HINT.search(text):
        for pattern, reading in _RULES:
            text = pattern.sub(reading, text)
    return text
