"""English products, dimensions, fractions and measures in words: rules in their order."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_lengths import INCH_RULES, LENGTH_RULES, PART_INCH_RULE
from pipeline.text.english_numbers import cardinal, fraction, house_number, ordinal, power
from pipeline.text.english_patterns import DASH, NO_NOUN, NUMBER, SIGN, START, after, before
from pipeline.text.english_units import PER, PER_PATTERN, UNIT, plural, unit_name

_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5",
           "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅐": "1/7", "⅑": "1/9",
           "⅒": "1/10"}  # fmt: skip
_MEASURED = frozenset(
    "bulb bulbs battery batteries fuse fuses lamp lamps motor engine adapter charger cable lens film gun cannon"
    " drive disk card jack jacks plug plugs headphone headphones port tripod thread bit bits bolts rifle rounds shell"
    " shells pistol tube tubes wire hoses tank engines relay relays hurdles freestyle butterfly breaststroke backstroke"
    " medley cans bottles jars packets bags cartons steaks fillets bars"
    " sprint dash final finals tin tins tablet tablets tub"
    " screen nail nails pipe bolt hose fence race radius turn turns angle angles grid line lines monitor socket"
    " outlet".split()
)
_SPANNED = frozenset(
    "depth range radius diameter drive walk hike ride flight wait window period shift course interval delay layer band"
    " height altitude distance length width wavelength journey trip".split()
)
_A_BEFORE = re.compile(r"\b[Aa]n? (?:[\w.-]+ by ){0,2}$")
_MEASURES = (
    "cup|teaspoon|tablespoon|pound|mile|inch|hour|pint|quart|gallon|ounce|kilogram|kilometer|meter|centimeter|liter"
    "|mug|glass|bottle|loaf|pack|stick|acre|yard|dozen|million|billion|minute|page|slice|pinch|day|year|century"
)
_COUNTED = (
    "people|homes|households|users|jobs|viewers|visitors|voters|passengers|copies|tonnes|tons|barrels|acres|hectares"
    "|customers|residents|children|women|men|workers|shares|cars|vehicles|subscribers|views|followers|years|pounds|dollars"
    "|euros|doses|tests|cases|members|pupils|students|patients|tourists|families|listeners|adults|refugees|migrants|votes"
    "|trees|downloads|readers|records|sales|units|bottles|litres|liters|inhabitants|citizens|soldiers|speakers|fans"
    "|spectators|immigrants|employees|believers|taxpayers|consumers|Americans|Europeans|Germans|Russians|Indians|Chinese"
)
_SORT = r"(?:registered|active|paying|new|monthly|daily|more|extra|other|young|poor|rural|urban|additional|adult)"
_MANY_BEFORE = re.compile(
    r"(?i)\b(?:populations?|crowds?|nations?|audiences?|revenues?|profits?|losses|turnover|budgets?|circulation|debts?"
    r"|memberships?|electorates?|earnings|subscribers|readership|workforce|net income|sales|viewership|armies|deficit"
    r"|surplus|takings|proceeds|inhabitants|city|country)"
    r"(?: (?:of|was|were|is|are|has|have|had|been|will|be|now|then|grew|grows|rose|rises|fell|falls|reach(?:ed|es)|hit"
    r"|stood|stands|jumped|dropped|climbed|swelled|shrank|doubled|totall?ed|to|by|from|at|about|over|nearly|almost"
    r"|around|some|only|just|under|more|than|up|down|estimated|roughly|barely))* $"
)
_MANY_NEAR = re.compile(rf"\d ?(?:bn|tn)\b|\dm (?:{_COUNTED})\b|\b(?:million|billion)\b")
_LONG_NEXT = re.compile(
    r" (?:wide|long|high|deep|tall|thick|away|apart|above|below|across|from the|behind|ahead|north"
    r"|south|east|west|pool|race|of (?:rope|cable|water|wire|cloth|line))\b"
)
# "3 1/2 in the box" has no inches.
_INCH = (
    r"in(?=\s?[.,;:)x×]|\s?$|"
    r"\s(?:by|wide|long|deep|tall|thick|high|in|of|and|or|nails?|screws?|drills?|bits?|sockets?|holes?|gaps?|bolts?|pipes?|boards?)\b)"
)
_PART = "|".join((
    "tsps?", "tbsps?", "Tbsps?", "lbs?", "oz", "pts?", "mi", "km", "kg", "hrs?", "mins?", _INCH, "ft", "yds?", "gal",
    "qt", "cm", "mm", "ml",
    "g", "m", "l", "L", "h",
))  # fmt: skip


def _say_unit(match: Match[str]) -> str:
    written, number, space = match["unit"], match["number"], match["space"]
    if len(written) == 1 and written.isalpha() and not _is_unit(match, written, number, space):
        return match[0]
    unit = unit_name(written)
    words = cardinal(match["sign"] + number)
    if match["low"]:
        words = f"{cardinal(match['sign'] + match['low'])} to {cardinal(number)}"
    elif match["high"]:
        words += " " + match["high"]
    singular = (
        _is_attribute(match) or (number == "1" and not match["low"] and not match["high"]) or match["hyphen"] == "-"
    )
    per = f" per {PER[match['per']]}" if match["per"] else ""
    return f"{words}{match['hyphen'] or ' '}{unit if singular else plural(unit)}{per}"


def _say_millions(match: Match[str]) -> str:
    """Read `a population of 1.2m` and `60m people` as millions; other `30m` are meters, left here."""
    following = after(match)
    is_counted = re.match(rf" (?:{_SORT} )?(?:{_COUNTED})\b|-strong\b", following) and "m" == match[0].lstrip(
        "0.123456789"
    )
    is_many = _MANY_BEFORE.search(before(match, 80)) or (
        re.search(r"\b(?:to|from|by|and) $", before(match, 5))
        and _MANY_NEAR.search(before(match, 60) + "|" + following)
    )
    if not is_counted and (not is_many or _LONG_NEXT.match(following)):
        return match[0]
    return f"{cardinal(match[1])} million"


def _say_power_of_unit(match: Match[str]) -> str:
    per = f" per {PER[match['per']]}" if match["per"] else ""
    return f"{power(match['power'])} {plural(unit_name(match['unit']))}{per}"


def _is_attribute(match: Match[str]) -> bool:
    """Tell whether a measure belongs to the noun behind it: "a 2 TB disk", "a 60 W bulb"."""
    noun = re.match(r" ([a-z]\w*)", after(match))
    if not noun or match["per"] or match["unit"] in ("%", "％"):
        return False
    if match["low"]:
        return noun[1] in _SPANNED or bool(
            re.search(r"\b[Aa]n? $", before(match, 3)) and noun[1] not in NO_NOUN and not noun[1].endswith("s")
        )
    return noun[1] in _MEASURED or bool(_A_BEFORE.search(before(match, 24)) and noun[1] not in NO_NOUN)


def _is_unit(match: Match[str], written: str, number: str, space: str) -> bool:
    """Tell the unit of `5 L` and `1.5 s` from the initial of `In 1950 L. Ron Hubbard` and the `A` of `5 A grades`."""
    behind = match.string[match.end("unit") : match.end("unit") + 40]
    if written in "NW" and re.search(r"(?i)\b(?:lat|lon|long)\b[^;]{0,12}$|°[^,;]{0,8}$", before(match, 20)):
        return False
    if (
        re.match(r"['’]", behind)
        or (written.isupper() and re.match(r"\.\s?[A-Z]", behind))
        or re.match(r"[ ,]*(?:and|&) [A-Z]\b(?!\.)", behind)
    ):
        return False
    looks_like_year = len(number) == 4 and number.isdecimal() and number[0] in "12"
    if space and (looks_like_year or re.match(r"\s[A-Z]\w+\s[A-Z]", behind)):
        return written not in "sh" and not re.match(r"\.?\s[A-Z]", behind) and not looks_like_year
    if written in "AN" and not re.match(rf"\s(?:{'|'.join(_MEASURED)})\b", behind):
        return bool(space) and not re.match(r"\s[a-z]", behind)
    return True


def _say_fraction(match: Match[str]) -> str:
    whole, top, bottom, unit = (match[name] for name in ("whole", "top", "bottom", "unit"))
    if not int(bottom):
        return f"{cardinal(top)} slash {cardinal(bottom)}{f' {unit}' if unit else ''}"
    suffix, name = match["suffix"], (_unit_or_none(unit) or unit) if unit else None
    if not whole and not suffix and not unit and (top, bottom) in {("24", "7"), ("9", "11")}:
        return f"{cardinal(top)} {cardinal(bottom)}"
    if not whole and not suffix and not unit and int(top) + int(bottom) == 100 and int(top) % 5 == 0:
        return f"{cardinal(top)} {cardinal(bottom)}"  # 80/20, 50/50
    if suffix and len(bottom) > 2:
        words = f"{cardinal(top)} {ordinal(bottom)}" + ("" if top == "1" else "s")
    else:
        words = fraction(top, bottom)
    if whole:
        noun = f" {name if match['joint'] == '-' else plural(name)}" if name else ""
        return f"{cardinal(whole)} and " + re.sub(r"^one (half|quarter)$", r"a \1", words) + noun
    if suffix:
        words = re.sub(r"^one ", "an " if words.startswith("one e") else "a ", words)
    if name is None:
        is_half = words == "one half" and re.match(r"-[a-z]|\s(?:an?|my|your|his|her|its|our|their)\b", after(match))
        return ("half" if is_half else words) + (match["of"] or "")
    if (top, bottom) != ("1", "2"):
        return f"{words.replace('one quarter', 'a quarter')} {name}"
    if re.search(r"\b[Aa]n? $", before(match, 4)):
        return f"half {name}"
    return f"half a{'n' if name[0] in 'aeiou' or name == 'hour' else ''} {name}"


def _say_division(match: Match[str]) -> str:
    is_part = int(match[1]) < int(match[2])
    return match[0] if is_part else f"{cardinal(match[1])} divided by {cardinal(match[2])}"


def _unit_or_none(written: str) -> str | None:
    if written in ("in", "in."):
        return "inch"
    if written.rstrip(".") in ("pt", "pts"):
        return "pint"
    try:
        return unit_name(written.rstrip("."))
    except KeyError:
        return None


def _is_inch_wide(match: Match[str]) -> bool:
    """Tell `a 12in disc` from `12in of rain`."""
    return bool(match[2] and match[2].strip() not in NO_NOUN and match[2].strip() not in ("by", "of", "and", "or"))


def _say_arc(match: Match[str]) -> str:
    words = f"{cardinal(match[1])} degrees {cardinal(match[2])} minutes"
    return words + (f" {cardinal(match[3])} seconds" if match[3] else "")


_COMPASS = {"N": "North", "S": "South", "E": "East", "W": "West"}
_LINES = {"lat": " latitude", "lon": " longitude", "long": " longitude"}
_WARM = re.compile(
    r"(?i)temperature|degree|heat|\bhot|\bcold|\bcool|\bwarm|weather|\bfreez|\bfrost|\bbak(?:e|ed|ing)\b|\boven|\bboil"
    r"|\bmelt|\bcook|\bstore[ds]?\b|\b(?:high|low)s? (?:of|near|around)|fever|\d ?F for \d|\d[CF] ?[(/]-?\d+ ?[CF]\b"
)


def _say_warmth(match: Match[str]) -> str:
    """Read `32C` as degrees where the text is about warmth; rooms and seats have such names, too."""
    if not match["mark"] and not _WARM.search(before(match, 200) + match[0] + after(match, 60)):
        return match[0]
    sign = "minus " if match["sign"] else ""
    low = f"{cardinal(match['low'])} to " if match["low"] else ""
    return f"{sign}{low}{cardinal(match['number'])} degrees {'Celsius' if match['unit'] == 'C' else 'Fahrenheit'}"


def say_vulgar(match: Match[str]) -> str:
    """Write `2½` as "2 1/2" and `½` as "1/2", for the rule of fractions."""
    last = match.string[match.start() - 1 : match.start()] if match.start() else ""
    # "½bh" and "½pt": no unit is known by a glued fraction but those of kitchens.
    glued = " " if re.match(r"(?![ds](?![A-Za-z]))[A-Za-z]", after(match, 2)) else ""
    if match[1]:
        return f"{match[1]} {_VULGAR[match[2]]}{glued}"
    return (" " if last.isalnum() or (last in ",;.:" and last) else "") + _VULGAR[match[2]] + glued


VULGAR_PATTERN = re.compile(r"(?:(\d)[ \u2009-]?)?([" + "".join(_VULGAR) + "])")
_STREET_BEHIND = (
    r"(?:[A-Z][\w'’]+ ){1,3}(?:Street|Road|Avenue|Lane|Drive|Terrace|Place|Crescent|Court|Square|Gardens)\b"
)
_RATES = re.compile(
    r"(?i)\b(?:rates?|yields?|spreads?|basis|bonds?|interest|coupons?|hikes?|hiked|tighten\w*|inflation|margins?|fees?|Fed"
    r"|gilts?|treasur\w+|mortgages?|loans?|swaps?)\b"
)
_SENT = re.compile(r"(?i)\b(?:modem|baud|serial|bits?|data|link|line|transmi\w+|channel|download|upload|bandwidth)\b")
_RISES = (
    r"rise|fall|increase|cut|drop|gain|decline|growth|stake|tax|rate|interest|bonds?|stock|loans?|shares?|discount|levy"
    r"|bonus|duty|swing|majority|dividend|coupon|margin|yield|raise|hike|commission|fee|surcharge|vote|reduction"
    r"|consols|annuit\w+|solution|return|chance|more|less|higher|lower|and|or|of|in|on|at|to|for|from|per|by"
)


_METRIC = r"°C|km/h|km|cm|mm|kg|ml|g|m|l|L|lit(?:er|re)s?|met(?:er|re)s?"
_IMPERIAL = r"°F|mph|mi|miles?|ft|feet|yds?|yards?|in|inch(?:es)?|lbs?|oz|fl oz|pts?|pints?|gal|qt|cups?|st"
_AMOUNT = r"(?:\d[\d,.]*|\d* ?\d/\d{1,2})"
_SEEN = re.compile(r"(?i)\b(?:eyes?|vision|sight|acuity|eyesight|chart|optometrist|glasses)\b")
_PLAYED = re.compile(
    r"(?i)\b(?:jig|waltz|songs?|tunes?|plays?|played|music\w*|beats?|march|reel|rhythms?|dance|hymn|piece|bars?|notated"
    r"|written|movement|melody|drum\w*|composed)\b"
)


def _say_vision(match: Match[str]) -> str:
    """Read the `20/40` of an eye as "twenty forty"."""
    if not _SEEN.search(before(match, 60) + "|" + after(match)):
        return match[0]
    return f"{cardinal(match[1])} {cardinal(match[2])}"


def _say_meter(match: Match[str]) -> str:
    """Read the `6/8` of a jig as "six eight"."""
    if match["told"] is None and not _PLAYED.search(before(match, 60)):
        return match[0]
    return f"{cardinal(match[1])} {cardinal(match[2])}"


def _say_basis_points(match: Match[str]) -> str:
    """Tell `cut rates by 25 bps` from a modem's speed."""
    near = re.split(r"[.;] ", before(match, 60))[-1] + "|" + re.split("[.;] ", after(match, 60))[0]
    if not _RATES.search(near) or _SENT.search(near):
        return match[0]
    return f"{cardinal(match[1])} basis point{'' if match[1] == '1' else 's'}"


MEASURE_RULES = (
    (r"(?i)\b((?:exits?|route|highway|rt\.?|rte\.?|hwy|gate|seat|platform|pier|runway|stand|bay|room|apartment|flat) )"
     r"(\d{1,3})([A-Z])(?![\w'’]| (?:fuse|plug|current|supply|circuit|motor|bulb)\b)",
     lambda m: f"{m[1]}{cardinal(m[2])} {m[3].upper()}"),
    (r"(?<![\w.,])\d+(?:\.\d+)?[\"”]? ?[HWDL](?: ?[x×] ?\d+(?:\.\d+)?[\"”]? ?[HWDL]){1,2}(?!\w)",
     lambda m: " by ".join(f"{cardinal(n)} {side}" for n, side in re.findall(r"([\d.]+)[\"”]? ?([HWDL])", m[0]))),
    (rf"(?<=\d)( ?(?:{_METRIC}))/(?={_AMOUNT} ?-?(?:{_IMPERIAL})(?!\w))"
     rf"|(?<=\d)( ?(?:{_IMPERIAL}))/(?={_AMOUNT} ?-?(?:{_METRIC})(?!\w))", lambda m: f"{m[1] or m[2]} or "),
    (r"(?<![\d./])(6|10|15|20)/(\d{2,3})(?![\d/]|\.\d)", _say_vision),
    (r"(?<![\d./])(?<!\b[Oo]n )([2-79]|12)/(2|4|8|16)"
     r"(?:(?P<told>(?= (?:time|met(?:er|re)|shuffle|rhythm|groove|waltz|signature|swing"
     r"|beat|bar)\b))|(?<=\bin \d/\d)(?=[.,;:!?)]|$| and ))", _say_meter),
    (r"(?<![\w.,])(\d{1,4}(?:\.\d+)?) ?bps(?!\w)", _say_basis_points),
    (rf"(?<![\w.,/])(\d{{1,4}})[- ]?pc\.?(?= (?!(?:{_RISES})\b)[a-z])", lambda m: f"{cardinal(m[1])} piece"),
    (r"(?<![\w.])([NSEW]) (?=\d{1,3}(?:\.\d+)?°)", lambda m: f"{_COMPASS[m[1]]} "),
    (r"(?<![\d.,])(?<!\d )([1-9]\d{0,2}) 000(?![\d,]| \d{3})", lambda m: f"{m[1]}000"),
    *LENGTH_RULES,
    (r"(\d°(?:\s?\d{1,2}[′'’](?:\s?\d{1,2}(?:\.\d+)?[″\"”])?)?)\s?([NSEW])(?![\w'’])"
     r"(?:\.?,? (?P<line>lat|lon|long)\b(?:\.(?=[,;:)]| [a-z\d]))?|(?:\.(?= [a-z\d]|[,;:)]))?)",
     lambda m: f"{m[1]} {_COMPASS[m[2]]}{_LINES.get(m['line'] or '', '')}"),
    (r"(?i)(\b(?:weigh(?:s|ed|ing|t)?|lost|gained|shed|tipped|scales?)\b[^.;\d]{0,24})(\d{1,2}) st\b(?:\.(?= [a-z\d]"
     r"|,))?(?! (?-i:[A-Z]))",
     lambda m: f"{m[1]}{cardinal(m[2])} stone"),
    (r"(?<![\w.,])(\d{1,2}) st(?=\s?\d{1,2}(?:\s?lbs?\b|[.,;)]|\s*$))", lambda m: f"{cardinal(m[1])} stone"),
    (r"(?<![\w.,])(144|240|360|480|540|576|720|900|1080|1440|2160|4320)([pi])(?=\d\d\b|[^\w'’]|$)",
     lambda m: f"{house_number(m[1])} {m[2]}"),
    (r"(?<![\w.,])(\d{1,2})st(?=\s?\d{1,2}\s?lbs?\b)|(?<![\w.,])(?<!the )(\d?[02-9]|1\d)st(?!\w)",
     lambda m: f"{cardinal(m[1] or m[2])} stone"),
    (r"(?<![\w.,])(\d+(?:\.\d+)?)ft(?=\s?\d{1,2}\s?ins?\b)", lambda m: f"{cardinal(m[1])} feet"),
    (r"(?<![\w.,/-])(\d+(?:\.\d+)?)ins?(?=(\s[a-z]+s?\b)?)(?!\w)",
     lambda m: f"{cardinal(m[1])} inch{'' if m[1] == '1' or _is_inch_wide(m) else 'es'}"),
    (rf"(?<![\w.,])(?P<sign>[-−])?(?:(?P<low>\d{{1,3}})[CF]?{DASH})?(?P<number>\d{{1,3}})(?P<mark>\s?deg\.?\s?)?"
     r"\s?(?P<unit>[CF])(?![\w'’#+-]|\.[A-Z])(?!\s(?:and|&) [A-Z]\b)", _say_warmth),
    PART_INCH_RULE,
    (r"(?<![\w.,])(\d+(?:\.\d+)?)[x×]\s?[-–—]\s?(?=\d+(?:\.\d+)?[x×](?!\w))", lambda m: f"{cardinal(m[1])} to "),
    (r"(?<![\w.,$£€¥/-])(\d+(?:\.\d+)?) ?m(?![\w²³'’/])(?! ?[x×])", _say_millions),
    (rf"(?<=[A-Za-zΩ])[ ·⋅]({PER_PATTERN})⁻(?:¹|(?<=s⁻)(²))(?![⁰¹²³⁴-⁹])", lambda m: f"/{m[1]}{m[2] or ''}"),
    (rf"(?<=[⁰¹²³⁴-⁹\d])\s?({PER_PATTERN})⁻¹(?![⁰¹²³⁴-⁹])", lambda m: f" per {PER[m[1]]}"),
    (r"(?<![\w.,])(\d{1,2}) ?[x×] ?(?=(\d[\d.,]*) ?(g|kg|mg|ml|mL|l|L|cl|oz) ([a-z]{3,}))",
     lambda m: m[0] if m[4] in NO_NOUN else f"{cardinal(m[1])} "),
    (r"(?<=\d) [x×] (?=[WDHL] ?\d)|(?:(?<=[cm]m)|(?<=\d m)|(?<=\dm)|(?<=\bft)|(?<=\dft)|(?<=ft\.)|(?<=\d in)"
     r"|(?<=\din)|(?<=in\.)) [x×] (?=\d)|(?:(?<=\d[cm]m)|(?<=\dm)|(?<=\dft)|(?<=\din))[x×](?=\d)", lambda m: " by "),
    (r"(?<![\w./])1/(\d{2,4})(?= ?(?:s|sec|secs)\b)\s?\w+", lambda m: f"one {ordinal(m[1])} of a second"),
    (r"(?<![\w.,])(\d{1,2}) ?[x×]/(?=(?:day|week|month|year)\b)", lambda m: f"{cardinal(m[1])} times per "),
    (r"(?<=ft )(\d{1,2}) in\b|(?<![\w.,/])(\d{1,3}) in(?= (?:tall|wide|long|high|deep|thick|across|square)\b)",
     lambda m: f"{cardinal(m[1] or m[2])} inch{'' if (m[1] or m[2]) == '1' else 'es'}"),
    (r"(?<=\d)\s?[x×·*]\s?(?=10[⁰¹²³⁴-⁹⁻])", lambda m: " times "),
    (rf"(?<=\d)(?P<power>[⁻⁺]?[⁰¹²³⁴-⁹]++)\s?{UNIT}(?:\s?/\s?(?P<per>{PER_PATTERN})(?![\w²³]))?", _say_power_of_unit),
    (r"(?P<told>\b(?i:flat|apartment|unit|suite|room|lot|plot|shop|office) (?:number )?)?"
     rf"(?<![\d./])(?P<first>\d{{1,4}})/(?P<last>\d{{1,4}})(?![\d/]|\.\d)(?(told)|(?= {_STREET_BEHIND}))",
     lambda m: f"{m['told'] or ''}{house_number(m['first'])} slash {house_number(m['last'])}"),
    (r"(?<![\d./])(\d{1,6})\s?/\s?(\d{1,6})(?=\s?=)", _say_division),
    (r"(?i)\b((?:scor(?:ed|es|ing)|rat(?:ed|es|ing)|gave|gives?|got|earned|deserves?)(?: (?:it|him|her|them|this|an?"
     r"|only|just))? )(\d{1,3}(?:\.\d)?)/(5|10|20|100)(?![\d/])",
     lambda m: f"{m[1]}{cardinal(m[2])} out of {cardinal(m[3])}"),
    (r"(?<![\d./])(\d{1,2}(?:\.\d)?)/(5|10)(?= stars?\b)"
     r"|(?i:(?<=\bpain )|(?<=\bpain: )|(?<=\bpain is )|(?<=\bpain was )"
     r"|(?<=\bpain of ))(\d{1,2})/(10)(?![\d/])",
     lambda m: f"{cardinal(m[1] or m[3])} out of {cardinal(m[2] or m[4])}"),
    (r"(?<![\d.])(\d+(?:\.\d+)?)[\"″”]\s?[x×]\s?(\d+(?:\.\d+)?)[\"″”]",
     lambda m: f"{cardinal(m[1])} by {cardinal(m[2])} inches"),
    (r"(?<!\d)(45|90|105|120)\+(\d{1,2})['′’](?!\w)", lambda m: f"{cardinal(m[1])} plus {cardinal(m[2])}"),
    (r"(?:(?<=\d/\d)|(?<=\d/\d\d))[-–](?=\d{1,2}/\d{1,2}(?![\d/]))", lambda m: " to "),
    (r"(?<=[\d)])\s?\+\s?(?=[\d(])", lambda m: " plus "),
    (r"(?<=\d)\s?[*·⋅]\s?(?=\d)", lambda m: " times "),
    (r"(?<=\d)(?:\s?[x×]\s?)(?=\d[\d.]*\s?(?:=|equals))", lambda m: " times "),
    (r"(?<=\d)\s?[x×]\s?(?=\.?\d)|(?<=\d['’′\"″])\s?[x×]\s?(?=\d)", lambda m: " by "),
    (r"(?<=\d)[x×](?=\s(?![\d+=*/−-])|[.,;!?)]|$)", lambda m: " times"),
    (rf"(?<![\d.,/])(?:(?P<whole>\d{{1,3}})[ -])?(?P<top>\d{{1,4}})\s?[/⁄]\s?(?P<bottom>\d{{1,4}})(?P<suffix>(?i:rds"
     rf"|ths|nds|st|nd|rd|th))?"
     rf"(?![\d/]|\.\d)(?!(?<=\d)[A-Za-z])"
     rf"(?:(?P<joint>[ -]?)(?P<unit>(?:{_PART})(?![\w'’])(?:\.(?=\s[a-z]))?|(?:{_MEASURES})\b(?!s))"
     r"|(?P<of> of\b)|)", _say_fraction),
    (r"(?<![\d.])(\d{1,3})°\s?(\d{1,2})[′'’](?:\s?(\d{1,2}(?:\.\d+)?)[″\"])?", _say_arc),
    *INCH_RULES,
    (rf"{START}(?<![A-Za-z])(?<![A-Za-z][-])(?P<sign>{SIGN})(?:(?P<low>{NUMBER})(?:{DASH}"
     rf"| to ))?(?P<number>{NUMBER})"
     rf"(?: (?P<high>thousand|million|billion|trillion))?(?P<hyphen>-(?=[a-z]))?(?P<space>\s?){UNIT}"
     rf"(?:\s?/\s?(?P<per>{PER_PATTERN})(?![\w²³]))?", _say_unit),
)  # fmt: skip

"""Products, dimensions, fractions, measures."""
