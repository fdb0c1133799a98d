"""All English numbers that are neither date, sum, code nor measure: lists, ranges, ratios, versions, powers, counts."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_numbers import (
    PLAIN_SCRIPTS,
    SCALES,
    cardinal,
    digits,
    house_number,
    ordinal,
    plural_of,
    power,
    year,
)
from pipeline.text.english_patterns import DASH, NUMBER, SIGN, START, after, before

_COUNTED_LIKE_YEARS = frozenset("was is has as its this us census olympics yes does plus thus perhaps".split())
_COUNTED_THINGS = frozenset(
    "votes points miles tons tonnes dollars pounds euros students soldiers members cases books pages seats acres deaths"
    " troops employees workers homes houses units cars ships horses runs goals games meters metres yards years days"
    " hours minutes seconds words lines items times steps calories residents inhabitants passengers patients jobs"
    " prisoners trees sheets boxes bottles barrels shares families schools teachers pupils visitors guests"
    " francs marks crowns letters vessels guns rifles volumes signatures kilometers kilometres grams liters"
    " litres".split()
)
_COUNTED_NOUNS = frozenset(
    "people men women children percent feet fish sheep hectares km kg million billion dozen copies times".split()
)
_BEFORE_YEARS = re.compile(
    r"\b(?:in|of|since|by|until|till|from|before|after|year|to|during|around|circa|about|AD|BC|between|early|late"
    r"|(?:january|february|march|april|may|june|july|august|september|october|november|december),?)\s$",
    re.IGNORECASE,
)
_LETTERED = re.compile(
    r"\b(?:room|rooms|seat|seats|flat|apartment|apt|gate|row|unit|suite|bus|platform|section|exhibit|item|question|form"
    r"|number|no|page|figure|fig|table|building|block|hall|door|track|lane|step|grade|class|chapter|part|version|model"
    r"|locker|box|cell|bay|stall|zone|line|route|schedule|appendix|article|title|group|type|level|pencil)"
    r"\.?\s$",
    re.IGNORECASE,
)
_LIST_NOUNS = (
    r"(?:chapters|pages|verses|lines|nos\.|numbers|questions|items|figures|figs\.|tables|rows|days|years|parts|sections"
    r"|rooms|ages|grades|weeks|levels|volumes|lessons|units|steps|columns|pp\.|exercises|problems|games|weeks|plates)\s"
)
_UNIT_AFTER = (
    r"(?=\s?(?:[€$£]|%|percent|per cent|euros?|dollars|pounds|million|billion|(?:km|kg|cm|mm|m|g|ml|l|°C)\b)"
    r"|\s(?:lit(?:er|re)|met(?:er|re)|kilo|gram|ton|mile|degree|hour)s?\b"
    r"|\s(?:and|to|or|-) \d+,\d{1,2}\s?(?:[€%]|euros?|km|kg))"
)


def _say_range(match: Match[str]) -> str:
    following = match["following"] or ""
    high = match["high"]
    glued = " " if after(match, 1).isalpha() else ""
    return f"{_plain(match['low'], following, match)} to {_plain(high, following, match)}{glued}"


def _plain(number: str, following: str, match: Match[str]) -> str:
    """Read a bare number: as a year where it looks like one and no counted noun follows."""
    if not (len(number) == 4 and number.isdigit()):
        return cardinal(number)
    if following in _COUNTED_NOUNS:
        is_then = following in ("women", "men", "people", "children") and re.search(r"\bIn $", before(match, 4))
        return year(number) if is_then and 1800 <= int(number) <= 2039 else cardinal(number)
    if re.search(r"\bQ[1-4] $|\bFY ?$", before(match, 4)):
        return year(number)
    told = before(match, 12)
    if re.search(r"\b[Yy]ear $", told):
        return year(number)
    is_modern = 1900 <= int(number) <= 2039 and not number.endswith("00")
    if following.endswith("s") and following not in _COUNTED_LIKE_YEARS:
        looks_counted = following in _COUNTED_THINGS or not is_modern
        is_of_then = number[-2:] != "00" and re.search(r"\b(?:[Tt]he|[Hh]is|[Hh]er|[Ii]ts|[Tt]heir|[Oo]ur) $", told)
        return cardinal(number) if looks_counted and not (is_of_then and 1500 <= int(number)) else year(number)
    if 1100 <= int(number) <= 2099:
        return year(number)
    is_year = 1001 <= int(number) <= 2199 and _BEFORE_YEARS.search(before(match, 12))
    return year(number) if is_year else cardinal(number)


def _say_number(match: Match[str]) -> str:
    number, scale = match["number"], match["scale"]
    words = ("minus " if match["sign"] else "") + _plain(number, match["following"] or "", match)
    if scale:
        is_name = re.search(r"[A-Za-z]-?$", before(match, 2)) or (scale == "K" and len(number) > 3)
        letter = is_name or (scale in "BMK" and "." not in number and _LETTERED.search(before(match, 14)))
        is_scale = not letter and not (
            scale == "B" and re.match(r"\s*[A-Za-z.]|$", after(match)) and "." not in number and not _is_counted(match)
        )
        words += " " + (SCALES[scale.lower()] if is_scale else scale)
    return (" " if match["letter"] is not None else "") + words + (" " if match["glued"] is not None else "")


def _is_counted(match: Match[str]) -> bool:
    """Tell `10B` of a list of sums or before what is counted from a name such as `12B`."""
    if re.search(
        r"\d[\d.]*[kKMB], (?:and )?$|\d (?:thousand|million|billion)[\w ]*, $|(?:thousand|million|billion),? (?:and "
        r"|or |to )?$",
        before(match, 30),
    ):
        return True
    return bool(
        re.match(
            r"\s(?:people|users|parameters|views|tokens|dollars|euros|years|rows|records|devices|streams|downloads"
            r"|requests|messages|a year|per year|in (?:revenue|sales|assets|cash|debt))\b",
            after(match),
        )
    )


def _say_plural(match: Match[str]) -> str:
    name, number = match[1] or match[3], match[2] or match[4]
    spoken = house_number(number) if len(number) > 2 else cardinal(number)
    return f"{name}{' ' if name[-1] != '-' else ''}{plural_of(spoken)}"


def _say_version(match: Match[str]) -> str:
    numbers = match[2].split(".")
    if len(numbers) == 4 and not match[1]:
        return " dot ".join(digits(number) if len(number) > 1 or int(number) < 256 else number for number in numbers)
    return ("version " if match[1] else "") + " point ".join(cardinal(number) for number in numbers)


_RACED = re.compile(
    r"\b(?i:ran|runs?|running|rac(?:es?|ed|ing)|finish(?:ed|es)?|train(?:ed|ing)? for|jog(?:s|ged|ging)?|enter(?:s|ed)?"
    r"|completed?) (?:an?|the|my|his|her|their|our)(?: (?:first|local|charity|annual))? $"
)
_HELD = re.compile(r" (?:is|was) (?:on|at|in|this|next|tomorrow|today|over|held)\b| in \d{1,3}:\d\d")


def _say_race(match: Match[str]) -> str:
    """Read the `10K` that is run as a name."""
    is_held = re.search(r"(?i)\b(?:an?|the|her|his|my) $", before(match, 5)) and _HELD.match(after(match))
    return f"{cardinal(match[1])} K" if is_held or _RACED.search(before(match, 40)) else match[0]


def _say_charge(match: Match[str]) -> str:
    count = f" {cardinal(match[1].translate(PLAIN_SCRIPTS))}" if match[1] else ""
    return f"{count} {'plus' if match[2] == '⁺' else 'minus'}"


def _say_molecule(match: Match[str]) -> str:
    """Read `H₂SO₄` element by element: "H two S O four"."""
    parts = re.findall(r"[A-Z][a-z]?|[₀-₉]+|[()]", match[0])
    words = " ".join(cardinal(part.translate(PLAIN_SCRIPTS)) if part[0] in "₀₁₂₃₄₅₆₇₈₉" else part for part in parts)
    return words.replace("( ", "(").replace(" )", ")")


LIST_RULES = (
    (r"(?:(?<=₹)|(?<=₹ )|(?<=\bRs)|(?<=\bRs )|(?<=\bRs\.)|(?<=\bRs\. )|(?<=\bINR ))"
     r"\d{1,2}(?:,\d\d)+,\d{3}(?!\d|,\d)"
     r"|(?<![\d.,])\d{1,2}(?:,\d\d)+,000(?!\d|,\d)", lambda m: f"{int(m[0].replace(',', '')):,}"),
    (r"(?<![\d.,])(\d{1,3}(?:\.\d{3})+),(\d\d)(?![\d,])", lambda m: f"{m[1].replace('.', ',')}.{m[2]}"),
    (r"(?<![\w.,'’])\d{1,3}(?:['’]\d{3})+(?![\d'’])", lambda m: re.sub("['’]", ",", m[0])),
    (r"(?<![\d.,])(0),(\d{1,3})(?![\d,])|(?<![\d.,])(?!0)(\d{1,3}),(\d{4,})(?![\d,])",
     lambda m: f"{m[1]}.{m[2]}" if m[1] else f"{m[3]}.{m[4]}"),
    (rf"(?<![\d.,])(\d++),(\d{{1,2}})(?![\d,]){_UNIT_AFTER}|(?<=[€$£])(\d++),(\d\d)(?![\d,])",
     lambda m: f"{m[1]}.{m[2]}" if m[1] else f"{m[3]}.{m[4]}"),
    (rf"(?i)\b({_LIST_NOUNS})(\d{{1,3}}(?:,\d{{1,3}})+)(?![\d.])", lambda m: m[1] + m[2].replace(",", ", ")),
    (r"(?<=\d),(?=\d{1,2}(?!\d)|\d{4,})|(?<=\d),(?=\d{3}(?:,\d{1,2}(?!\d)))|(?<=[apAP][mM]),(?=\d)", lambda m: ", "),
    (r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.])", lambda m: m[0].replace(".", ",")),
)  # fmt: skip

"""Commas and points between digits: lists, decimals, groups."""
NUMBER_RULES = (
    (r"\b((?:ISO|IEC|EN|BS|DIN|ASTM|ANSI|IEEE)[A-Z/ -]{0,9}[\d-]{2,9}):(?=(?:19|20)\d\d(?!\d))", lambda m: f"{m[1]}, "),
    (r"(?<![\w.,])(v|V|v\.|ver |version |Version )?((?<=[vV])\d+(?:\.\d+)+|\d+(?:\.\d+){2,})(?![\d])", _say_version),
    (r"(?<![\w/])\d{1,3}(?:st|nd|rd|th)(?:\s?/\s?\d{1,3}(?:st|nd|rd|th))+\b",
     lambda m: ", ".join(ordinal(number) for number in re.findall(r"\d+", m[0]))),
    (r"(?<![\w.,])(\d*(?:[2-9]|(?<!\d))[23])d(?=\s[A-Z][a-z]+(?:\b(?!er\b)))|(?<![\w.,])(\d*[2-9][23]|\d+0[23])d\b",
     lambda m: ordinal(m[1] or m[2])),
    (r"(?<![\d.,])(\d{1,3}(?:,\d{3})*|\d+)(?:st|nd|rd|th|ST|ND|RD|TH)\b", lambda m: ordinal(m[1])),
    (r"(?<![A-Za-z\d])([A-Z]+-?|[A-Z][A-Za-z]{1,3}-)(\d{1,3})s\b|\b([Uu]nder-|[Oo]ver-)(\d{1,3})s\b", _say_plural),
    (r"(?<=\d)(?=\()|(?<=\bFY)['’](?=\d\d\b)", lambda m: " "),
    (r"\bT-(?=\d+ (?:minutes|seconds|hours|days)\b)", lambda m: "T minus "),
    (r"(?<![\w:])\d{1,3}(?::\d{1,3}){2,4}(?![\w:])",
     lambda m: " to ".join(cardinal(number) for number in m[0].split(":"))),
    (r"(?<=\s):(?=[0-5]\d(?![\d:]))", lambda m: ""),
    (r"(?<![\w.,])(\d{1,3})[kK](?=\s(?:runs?|races?|walks?|fun|course|trail|charity|resolution|TVs?|videos?|screens?)\b)",
     lambda m: f"{cardinal(m[1])} K"),
    (r"(?<![\w$€£.,-])3M(?=['’]s\b| (?:shares?|stock|rose|fell|gained|tape|[Cc]ompany|Co\b|said|says|is|was|has|makes"
     r"|made|sells|products?|masks?|respirators?|Corp\w*)\b)", lambda m: "three M"),
    (r"(?<=\w )(\d{1,2}|100)[kK](?=[.,;!?)]|\s*$| (?:is|was|in|on|at|last|this|next|today|tomorrow|and|for)\b)",
     _say_race),
    (r"(?<=Porsche )(9\d\d)\b|(?<=Boeing )(\d{3})\b|(?<=[Ff]orm )(\d{4})\b|(?<=\b[A-Z])(\d{3})(?=[a-z]?\b)",
     lambda m: " " * bool(m[4]) + house_number(m[0])),
    (r"(?i)\b(chapter|part|book|volume|act|scene|episode|track|lesson|unit|section|day|season|week|step|level|page"
     r"|stage)( )0+(?=[1-9])",
     lambda m: m[1] + m[2]),
    (r"(?<![\d:.,])(?=\d{1,2}:|[\d.,]+:\d{1,2}(?!\d)|\d{1,4}:\d{1,4}(?!\d))(\d{1,3}(?:,\d{3})++"
     r"|\d{1,9}(?:\.\d{1,3})?):(\d{1,3}(?:,\d{3})++|\d{1,3}(?: 000)++|\d{1,9}(?:\.\d+)?)(?![\w:]|[.,]\d)",
     lambda m: f"{cardinal(m[1])} to {cardinal(m[2].replace(' ', ''))}"),
    (r"(?<!\w)(?=(?:[a-f]*\d+[a-f]+){2})[0-9a-f]{7,64}(?!\w)",
     lambda m: " ".join(digits(c) if c.isdecimal() else c for c in m[0])),
    (r"#(\d{5,})(?![\d,.]\d|\d)", lambda m: f"number {digits(m[1])}"),
    (r"(?:#|№\s?|(?<![A-Za-z])[Nn][º°]\s?)(?=\d)", lambda m: "number "),
    (rf"{START}(?<![\w-])(?P<low>{NUMBER}){DASH}(?P<high>{NUMBER})(?![\d%-])(?!\s*=)"
     r"(?=(?:\s(?P<following>[a-z]+))?)", _say_range),
    (r"(?<!\w)['’](\d)(\d)\b(?!['’](?!\w))",
     lambda m: f"oh {cardinal(m[2])}" if m[1] == "0" else cardinal(m[1] + m[2])),
    (r"(?<=\d)[eE][-−](?=\d)", lambda m: " e minus "),
    (r"(?<=\d)\+(?!\d)", lambda m: " plus"),
    (r"(?<!\d)(\d{1,3})((?: \d{3}){2,})(?![\d,])", lambda m: cardinal(m[0].replace(" ", ""))),
    (r"\blog([₀-₉]+)\s?(?=[\dA-Za-z(])", lambda m: f"log base {cardinal(m[1].translate(PLAIN_SCRIPTS))} of "),
    (r"(?<=[A-Za-z])([₀-₉]+)\.([₀-₉]+)", lambda m: f" {cardinal(m[0].translate(PLAIN_SCRIPTS))}"),
    (r"(?<![A-Za-z₀-₉])(?=[A-Za-z()]{0,20}[₀-₉])(?:[A-Z][a-z]?|\((?:[A-Z][a-z]?|[₀-₉])+\)|[₀-₉])++(?![a-z])",
     _say_molecule),
    (r"(?<=[A-Za-z)₀-₉])([⁰¹²³⁴-⁹]*+)([⁻⁺])(?![⁰¹²³⁴-⁹])", _say_charge),
    (r"(?<=[\w)|])[⁻⁺]?[⁰¹²³⁴-⁹]+", lambda m: power(m[0]) + " " * bool(re.match(r"[A-Za-zα-ω\d]", after(m, 1)))),
    (r"(?<=[A-Za-zα-ω)])[₀-₉]+([A-Za-z])?",
     lambda m: f" {cardinal(m[0].rstrip(m[1] or ' ').translate(PLAIN_SCRIPTS))}{f' {m[1]}' if m[1] else ''}"),
    (rf"(?P<letter>(?<=[A-Za-z]))?(?P<sign>{SIGN})(?P<number>{NUMBER})"
     r"(?:(?P<scale>(?<!(?<!\.)\b[248])(?:[kK]|M|B|bn)(?![A-Za-z0-9]| [A-Z][A-Z]))"
     r"|(?P<glued>(?=[A-Za-z]))|(?=\s(?P<following>[a-z]+)))?",
     _say_number),
)  # fmt: skip

"""Everything else with a digit in it; nothing is left."""
