"""English dates, times, years, decades: patterns, and how each is read, in the order of their rules."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_numbers import (
    MONTHS,
    cardinal,
    clock,
    date,
    decade,
    fraction,
    full_year,
    house_number,
    is_day,
    ordinal,
    plural_of,
    year,
)
from pipeline.text.english_patterns import after, before

_DASH = r"(?: [-–—~] |[-–—~])"
_MONTH_NUMBERS = {name.lower(): index for index, name in enumerate(MONTHS, 1)}
_MONTH_NUMBERS.update({name[:3].lower(): index for index, name in enumerate(MONTHS, 1)} | {"sept": 9})
# In small letters, march and may are verbs unless a year or "5th" tells.
_VERB = r"(?!(?:may|march|mar)\b(?!\.?\s\d{1,2}(?:st|nd|rd|th)|(?:\.?\s\d{1,2})?,?\s[12]\d{3}\b))"
_MONTH = _VERB + r"(?P<month>(?i:" + "|".join(sorted(_MONTH_NUMBERS, key=len, reverse=True)) + r"))\b(?:\.(?=\s?\d|,))?"
_MONTH_NAMES = "|".join(name.capitalize() for name in sorted(_MONTH_NUMBERS, key=len, reverse=True))
_YEAR = r"(?P<year>[12]\d{3})(?!\d|,\d|\.\d|s\b|/\d)"
_HALF = r"(?P<half>[aApP])\.?\s?[mM]\b(?P<dot>\.(?!\s+[A-Z]|\s*$))?"
_WEEKDAYS = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_COUNTED_NEXT = re.compile(r" (?!(?:was|has|this|yes|plus|thus|across)\b)[a-z]{3,}s\b| time\b")
_USUAL_PARTS = frozenset((2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 32, 64, 100))
_BEFORE_DURATION = re.compile(
    r"(?i)\b(?:in|of|for|about|ran|runs|took|takes|lasts|lasted|lasting|duration|length|time|record|clocked|after|within)"
    r"(?::| (?:is|was|of|in|a|just))?\s?$"
)
_BEFORE_RACE = re.compile(
    r"(?i)\b(?:in|ran|runs|run|clocked|took|takes|lasts|lasted|finish(?:ed)?|swam|rowed|record of|time of|best of)"
    r"(?: (?:just|under|about|a|it in))? $"
)
_QUARTERS = {"1": "first", "2": "second", "3": "third", "4": "fourth"}


def _month(match: Match[str]) -> int:
    return _MONTH_NUMBERS[match["month"].lower()]


def _say_iso_date(match: Match[str]) -> str:
    month, day = int(match["month"]), int(match["day"])
    if not is_day(month, day):
        return match[0]
    return date(match["year"], month, day) + (", " if match["time"] else "")


def _say_numeric_date(match: Match[str]) -> str:
    first, second, last = int(match[1]), int(match[3]), match[4]
    month, day = (first, second) if first <= 12 and match[2] != "." else (second, first)
    if not is_day(month, day):
        month, day = day, month
    if not is_day(month, day):
        return match[0]
    return date(last if len(last) == 4 else full_year(last), month, day)


def _full_year(written: str) -> int:
    return int(written) if len(written) == 4 else full_year(written)


def _say_month_day(match: Match[str]) -> str:
    month, day = _month(match), int(match["day"])
    if not is_day(month, day):
        return match[0]
    until = f" to {ordinal(match['until'])}" if match["until"] else ""
    words = f"{MONTHS[month - 1]} {ordinal(day)}{until}"
    return f"{words}, {year(match['year'])}" if match["year"] else words


def _say_day_month(match: Match[str]) -> str:
    month, day = _month(match), int(match["day"])
    if not is_day(month, day):
        return match[0]
    until = f" to the {ordinal(match['until'])}" if match["until"] else ""
    words = f"{match['the'] or 'the '}{ordinal(day)}{until} of {MONTHS[month - 1]}"
    return f"{words}, {year(match['year'])}" if match["year"] else words


def _say_short_date(match: Match[str]) -> str:
    days = []
    for first, second in (match["first"].split("/"), (match["last"] or "0/0").split("/")):
        month, day = (int(first), int(second)) if int(first) <= 12 else (int(second), int(first))
        days.append(f"{MONTHS[month - 1]} {ordinal(day)}" if is_day(month, day) else "")
    told, is_event = match["told"], match["first"] in ("9/11", "24/7") and not match["weekday"]
    # "Cut by 2/3", "from 1/4 to 1/2": parts of a whole, unless no such part is usual.
    is_part = match["unsure"] is not None and int(match["first"].split("/")[1]) in _USUAL_PARTS
    is_part |= told.lower() == "on " and bool(_COUNTED_NEXT.match(match.string, match.end()))
    if not days[0] or is_event or is_part or bool(match["last"]) != bool(days[1]):
        return match[0]
    until = " to " if match["until"] and match["until"].strip() in "-–" else match["until"]
    return told + days[0] + (f"{until}{days[1]}" if days[1] else "")


def _say_days(match: Match[str]) -> str:
    """Read `5/1-9/30` and the second of `May first or 5/17` as days, if a part of a whole is not likelier."""
    parts = [tuple(map(int, part.split("/"))) for part in re.findall(r"\d+/\d+", match[0])]
    is_other = (match["before"] or "").endswith("not ")
    if not all(is_day(*part) for part in parts) or (not is_other and all(day in _USUAL_PARTS for _, day in parts)):
        return match[0]
    days = " to ".join(f"{MONTHS[month - 1]} {ordinal(day)}" for month, day in parts)
    return (match["before"] or "") + days


_MET = re.compile(
    r"(?i)\b(?:meet|met|meeting|see (?:you|him|her|them)|party|game|held|scheduled|opens|starts)(?: (?:is|was))? $"
)


def _say_day_at(match: Match[str]) -> str:
    month, day = map(int, match[0].split("/"))
    is_part = month < day and day in _USUAL_PARTS and not _MET.search(before(match, 20))
    return f"{MONTHS[month - 1]} {ordinal(day)}" if is_day(month, day) and not is_part else match[0]


def _say_bracketed_day(match: Match[str]) -> str:
    month, day = map(int, match[0].split("/"))
    return f"{MONTHS[month - 1]} {ordinal(day)}" if is_day(month, day) and day > 20 else match[0]


def _say_hyphen_date(match: Match[str]) -> str:
    month, day = _month(match), int(match["day"])
    if not is_day(month, day):
        return match[0]
    return date(_full_year(match["year"]) if match["year"] else None, month, day)


def _say_month_year(match: Match[str]) -> str:
    return f"{MONTHS[_month(match) - 1]} {year(_full_year(match['year']))}"


def _say_time(match: Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    second = int(match["second"]) if match["second"] else None
    if 24 < hour and minute < 60 and second is None and hour + minute != 100 and _BEFORE_RACE.search(before(match, 24)):
        return f"{cardinal(str(hour))} minutes and {cardinal(str(minute))} second{'' if minute == 1 else 's'}"
    if hour > 24 or minute > 59 or (second or 0) > 59:
        return match[0]
    half = match["half"].upper() + "M" if match["half"] else None
    zone = " UTC" if match["zone"] else ""
    if match["offset"]:
        sign, hours, minutes = match["offset"][0], match["offset"][1:3], match["offset"][-2:]
        zone = f" UTC {'plus' if sign == '+' else 'minus'} {cardinal(str(int(hours)))}"
        zone += f" {cardinal(minutes)}" if int(minutes) else ""
    apart = " " if match["apart"] is not None else ""
    if second is not None and not half and not zone and _is_duration(match):
        parts = zip((hour, minute, second), ("hour", "minute", "second"), strict=True)
        said = [f"{cardinal(str(count))} {name}{'' if count == 1 else 's'}" for count, name in parts if count]
        return " and ".join(filter(None, [", ".join(said[:-1]), *said[-1:]])) + apart
    return clock(hour, minute, second, half) + zone + apart


def _is_duration(match: Match[str]) -> bool:
    """Tell `ran it in 1:45:30` from `at 14:10:30`; alone it is no time of day, which seldom has seconds."""
    is_alone = not match.string[: match.start()].strip() and not after(match).strip(" .")
    is_zero = not any(int(match[name] or 0) for name in ("hour", "minute", "second"))
    if is_zero or re.match(r"\s?(?:hours|hrs)\b", after(match)):
        return False
    return is_alone or bool(re.match(r" long\b", after(match)) or _BEFORE_DURATION.search(before(match, 24)))


def _say_hour(match: Match[str]) -> str:
    since = f"{cardinal(match['since'])} to " if match["since"] else ""
    return f"{since}{cardinal(match['hour'])} {match['half'].upper()}M"


def _say_short_halves(match: Match[str]) -> str:
    start = clock(int(match[1]), int(match[2] or 0), None, match[3].upper() + "M")
    return f"{start} to {clock(int(match[4]), int(match[5] or 0), None, match[6].upper() + 'M')}"


def _say_point_time(match: Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"])
    if hour > 24:
        return match[0]
    half = match["half"].upper() + "M" if match["half"] else None
    return clock(hour, minute, None, half)


_DAILY = re.compile(
    r"(?i)\b(?:rose|sat|sits|dinner|lunch(?:eon)?|breakfast|tea|supper|trains?|bus|left|leaves?|arriv\w+|start(?:s|ed)?"
    r"|begins?|began|opens?|opened|closes?|closed|meets?|met|came|comes|went|woke|up|again|ends?|ended|concert|service"
    r"|doors|meeting|school|called|home|bed|prayers|mass|ready|due|departs?|departed|curtain|back|there|here|served)"
    r" at (?:about |exactly |around |half past )?$"
)
_PRICED = re.compile(
    r"(?i)\b(?:shares?|stocks?|markets?|rates?|prices?|dollars?|pounds?|euros?|yields?|percent|per cent|traded?|points?"
    r"|index|average|mean|ratio|magnitude|earthquake|GPA|pH|score[sd]?|odds|grew|fell|increased|metres?|meters|inches)\b"
    r"|[%$£€]"
)
_ENDS = re.compile(
    r"['’\"”)]*(?:[.,;:!?)]|$)| (?:and|on|in|for|every|with|we|he|she|they|I|the|to|till|until|sharp|precisely|by|but"
    r"|when|or)\b"
)


def _say_dotted(match: Match[str]) -> str:
    """Read `Dinner at 7.45` and `from 7.30 to 9` as times, where the text has no rates and prices."""
    near = re.split(r"[.!?] (?=[A-Z])", before(match, 80))[-1]
    following, hour = re.split(r"(?<=[.!?]) (?=[A-Z])", after(match, 40))[0], int(match[1])
    is_hour = 1 <= hour <= 23 and int(match[2]) % 5 == 0
    is_span = re.search(r"\bfrom $", near) and re.match(
        r" (?:to|till|until) 1?\d(?:\.[0-5][05])?(?=[.,;!?)]|$)", following
    )
    is_until = re.search(r"\bfrom 1?\d\.[0-5][05] to $", near) and _ENDS.match(following)
    is_daily = _DAILY.search(near) and _ENDS.match(following)
    if not is_hour or not (is_span or is_until or is_daily) or _PRICED.search(near + "|" + following):
        return match[0]
    return clock(hour, int(match[2]), None, None)


def _say_military(match: Match[str]) -> str:
    times = [time for time in match.groups() if time]
    if any(int(time[:2]) > 24 or int(time[2:]) > 59 for time in times):
        return match[0]
    return " to ".join(map(_military, times)) + " hours"


def _military(time: str) -> str:
    hour, minute = time[:2], time[2:]
    hours = f"oh {cardinal(hour[1])}" if hour[0] == "0" and hour[1] != "0" else cardinal(str(int(hour)))
    minutes = "hundred" if minute == "00" else f"oh {cardinal(minute[1])}" if minute[0] == "0" else cardinal(minute)
    return f"{hours} {minutes}"


def _say_duration(match: Match[str]) -> str:
    names = ("hour", "minute", "second")
    parts = [
        f"{cardinal(count)} {name}{'' if count == '1' else 's'}"
        for count, name in zip(match.groups(), names, strict=True)
        if count
    ]
    return " ".join(parts)


def _say_years(match: Match[str]) -> str:
    until = match[2]
    return f"{year(match[1])} to {year(until) if len(until) == 4 else _tens(until)}"


def _say_season(match: Match[str]) -> str:
    if (int(match[1]) + 1) % 10 ** min(len(match[2]), 2) != int(match[2][-2:]):
        return match[0]
    return f"{year(match[1])} {year(match[2]) if len(match[2]) == 4 else cardinal(match[2])}"


def _say_decades(match: Match[str]) -> str:
    return f"{decade(match[1])} to {decade(match[2])}"


def _say_quarter(match: Match[str]) -> str:
    number = match["quarter"] or match["half"]
    return f"the {_QUARTERS[number]} {'quarter' if match['quarter'] else 'half'} of {year(_full_year(match['year']))}"


def _say_era(match: Match[str]) -> str:
    number = match[1]
    words = (
        cardinal(number) if number.endswith("00") or len(number) < 3 else f"{cardinal(number[0])} {_tens(number[1:])}"
    )
    return f"{words} {match[2].replace('.', '')}" + ("." if match[2].endswith(".") and match[3] is not None else "")


def _tens(number: str) -> str:
    return f"oh {cardinal(number[1])}" if number[0] == "0" else cardinal(number)


DATE_RULES = (
    (rf"(?<![\w.,/-])(\d?[23])d(?= (?:of|inst|ult|day|{_MONTH_NAMES})\b)|(?:(?<=[a-z] )|(?<=[a-z]\. ))(\d?[23])d"
     r"(?=, \d{4}\b)", lambda m: f"{m[1] or m[2]}{'nd' if (m[1] or m[2])[-1] == '2' else 'rd'}"),
    (r"(?<![\w.,-])(?P<year>(?:19|20)\d\d)(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])(?P<time>(?!))?(?![\w%]"
     r"|[.,-]\d)", _say_iso_date),
    (r"(?<=\b[Ii]n )((?:1[89]|20)\d\d) (?=\d{1,3}(?:,\d{3}| [a-z]))", lambda m: f"{year(m[1])}, "),
    (r"(?<![\d/.-])(?P<year>[12]\d{3})(?P<sep>[-/.])(?P<month>[01]?\d)(?P=sep)(?P<day>[0-3]?\d)"
     r"(?![\d/-]|\.\d)(?P<time>T(?=\d\d:))?", _say_iso_date),
    (r"(?<![\d/.-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|(?<=/)\d{2})(?![\d/-]|\.\d)", _say_numeric_date),
    (rf"(?<=\d)(?:st|nd|rd|th)?\s?[-–—]\s?(?={_MONTH}\s\d)", lambda m: " to "),
    (rf"(?<=\d )((?:{_MONTH_NAMES})\.?)\s?[-–—]\s?(?=\d{{1,2}}(?:st|nd|rd|th)? (?:{_MONTH_NAMES})\b)",
     lambda m: f"{m[1]} to "),
    (rf"(?<![\w/.-])(?P<day>[0-3]?\d)[-/ ]?{_MONTH}[-/](?P<year>[12]\d{{3}}|\d\d)(?![\w-])", _say_hyphen_date),
    (rf"\b{_MONTH}[-/](?P<day>[0-3]?\d)(?:[-/](?P<year>[12]\d{{3}}|\d\d))?(?![\w-])", _say_hyphen_date),
    (rf"\b{_MONTH}[- ]?(?P<year>['’]\d\d)(?!\w)",
     lambda m: f"{MONTHS[_month(m) - 1]} {year(full_year(m['year'][1:]))}"),
    (rf"\b{_MONTH}[-/](?P<year>[12]\d{{3}})(?![\w-])", _say_month_year),
    (rf"\b{_MONTH}\s(?P<day>[0-3]?\d)(?:st|nd|rd|th)?(?:{_DASH}(?P<until>[0-3]?\d)(?:st|nd|rd|th)?)?"
     rf"(?![\w:%/]|[.,]\d)(?:,?\s{_YEAR})?", _say_month_day),
    (rf"(?<![\d.,:/$€£-])(?P<the>[Tt]he )?(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
     rf"(?:{_DASH}(?P<until>[0-3]?\d)(?:st|nd|rd|th)?)?(?: of)?\s{_MONTH}(?:,?\s{_YEAR})?",
     _say_day_month),
    (rf"\b{_MONTH},?\s(?:of\s)?{_YEAR}", _say_month_year),
    (r"(?<![\d.,/$€£-])(0?[1-9]|1[0-2])/((?:19|20)\d\d)(?![\d/%-]|\.\d)",
     lambda m: f"{MONTHS[int(m[1]) - 1]} {year(m[2])}"),
    (r"(?<![\w.,])(?:(?P<quarter>[1-4])Q|(?P<half>[12])H)\s?['’]?(?P<year>20\d\d|\d\d)(?!\w)", _say_quarter),
)  # fmt: skip
"""Dates."""

SHORT_DATE_RULES = (
    (r"(?<![\w./])\d\d?/\d\d?(?= at (?:noon|midnight|\d))", _say_day_at),
    (rf"(?P<told>(?P<weekday>\b{_WEEKDAYS},? \(?)|\b(?i:on|since|until|till|dated|due(?: on| by)?|effective"
     r"|deadline(?: is| was|:)|expire[sd]|postmarked|scheduled for|thru|rsvp by) |(?P<unsure>\b(?i:by|from|before|after"
     r"|between|ending|starting|beginning|ends|starts|begins) ))"
     r"(?P<first>[0-3]?\d/[0-3]?\d)(?:(?P<until> to | and | through | until | ?[-–] ?)(?P<last>[0-3]?\d/[0-3]?\d))?"
     r"(?![\d/%\w'’-]|\.\d| (?:of|an?|my|his|her|its|our|their|full|speed|power|scale|price|pay|rations|share)\b"
     r"| (?:inch|cup|mile|pound|acre|hour|teaspoon|tablespoon)s?\b)", _say_short_date),
    (r"(?<=\()\d\d?/\d\d?(?=\))", _say_bracketed_day),
    (rf"(?P<before>\b(?:{'|'.join(MONTHS)}) [a-z-]+(?:,| or| and|, and|, or|,? not) )\d\d?/\d\d?(?![\d/%\w]|\.\d)"
     r"|(?<![\d/.])\d\d?/\d\d?\s?[-–]\s?\d\d?/\d\d?(?![\d/%\w]|\.\d)", _say_days),
)  # fmt: skip
"""Days and months with a stroke between them and no year; behind `DATE_RULES`."""

_PART_OF_DAY = (
    r"in the (?:morning|afternoon|evening)|at night|sharp|tonight|o['’]clock|(?:this|tomorrow|yesterday) (?:morning"
)
SPAN_RULES = (
    (r"(?<=\d)(\s?(km|m|cm|mm|kg|g|mg|ml|l|L|mph|ft|in|lbs?|[GMT]B|h|hrs?|mins?|s|[kM]?W|V|[kMG]?Hz|years?|days?"
     r"|weeks?|months?|hours?|minutes?|°C?|K))\s?[-–—]\s?(?=\d[\d.,]*\s?\2(?![\w²³]))", lambda m: f"{m[1]} to "),
    (r"(?<=\d(?:st|nd|rd|th))\s?[-–—]\s?(?=\d{1,3}(?:st|nd|rd|th)\b)", lambda m: " to "),
    (r"(?<=\d) [-–](?=\d+\s(?:(?:year|month|week|day|hour|minute|second|tablet|time|mile|page)s?|secs?|mins?|hrs?"
     r"|mg|g|kg|ml|cm|mm|km)\b)", lambda m: " to "),
    (r"(?:(?<=\bnoon)|(?<=\bmidnight))[-–](?=\d)", lambda m: " to "),
    (r"(?:(?<=[apAP][mM])|(?<=[apAP]\.[mM]\.)|(?<=:\d\d)|(?<=[\d°][%CF℃°]))(?: [-–—~] "
     r"|[-–—~])(?=[\d:]+\s?(?:[aApP]\.?[mM]|:?\d*[%°℃]|\b))",
     lambda m: " to "),
)  # fmt: skip
"""From a time to a time, from a percentage to another."""

_RATED = r"scales?|ratios?|proportions?|odds|dilut\w+|concentration|mix|mixed|mixture|scaled|gradient|slope"
r"|leverage|gear(?:ing)?"
TIME_RULES = (
    (r"(?<![\w.,:/$£€-])(1?\d)(?::([0-5]\d))?([ap])\s?[-–—]\s?(1?\d)(?::([0-5]\d))?([ap])(?!\w)", _say_short_halves),
    (rf"(?i)(\b(?:{_RATED})(?: (?:of|is|was|at|to|between|about|from|used|it|them|down|in|with|the|a))*[ (])"
     r"(\d{1,4}):(\d{1,4})(?![:\d]|,\d)", lambda m: f"{m[1]}{cardinal(m[2])} to {cardinal(m[3])}"),
    (r"(?<![\d:.,])(\d{1,4}):(\d{1,4})(?=\s?=)|(?<== )(\d{1,4}):(\d{1,4})(?![\d:]|\.\d)",
     lambda m: f"{cardinal(m[1] or m[3])} to {cardinal(m[2] or m[4])}"),
    (rf"(?i)(?<![\d:.,])(\d{{1,4}}):(\d{{1,4}})(?=[ -](?:{_RATED}|maps?|models?|replicas?|aspect|solution)\b)",
     lambda m: f"{cardinal(m[1])} to {cardinal(m[2])}"),
    (r"(?<![\d:.])(?<!\d,)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d+)?)?(?![\d:]|,\d{3}| 000\b)"
     rf"(?:\s?{_HALF}|(?P<zone>Z\b)|(?<=:\d\d:\d\d)\s(?P<offset>[+-]\d\d:?\d\d)(?!\d)|(?=[ECMP][SD]T\b|GMT\b|UTC\b|CET\b)(?P<apart>))?",
     _say_time),
    (rf"(?<![\d:.])(?<!\d,)(?:(?P<since>\d{{1,2}}){_DASH})?(?P<hour>1?\d)\s?{_HALF}", _say_hour),
    (rf"(?<![\d:.,$€£])(?P<hour>[01]?\d|2[0-4])\.(?P<minute>[0-5]\d)(?!\d)(?:\s?{_HALF}"
     rf"|(?<=\bthe \d\.\d\d)(?=\s(?:at|from|to) [A-Z])|(?<=\bThe \d\.\d\d)(?=\s(?:at|from|to) [A-Z])"
     rf"|(?<=\bThe \d\d\.\d\d)(?=\s(?:at|from|to) [A-Z])|(?<=\bthe \d\d\.\d\d)(?=\s(?:at|from|to) [A-Z])"
     rf"|(?=\s(?:{_PART_OF_DAY}|afternoon|evening))|(?=\s?(?:train|bus|flight|ferry|boat|express|news)\b)))",
      _say_point_time),
    (r"(?<![\d:.,\w])(\d{4})\s?[-–]\s?(\d{4})\s?(?:hours|hrs|h)\b", _say_military),
    (r"(?<=\b[Aa]t )((?:[01]\d|2[0-3])[0-5]\d) ?(?:hours|hrs|h)\b"
     r"|(?<![\d:.,\w$£€-])((?:1[0-9]|2[0-3])(?:[1-5]\d|0[1-9])) ?hrs\b(?! of\b)", _say_military),
    (r"(?:(?<=\b[Aa]t )|(?<=\bby )|(?<=\buntil )|(?<=\btill )|(?<=\bbefore )|(?<=\bafter )|(?<=\bfrom ))"
     r"0\d[0-5]\d(?![\w:/-]"
     r"|[.,]\d)", lambda m: _military(m[0])),
    (r"(?<![\w:.,$£€])(1?\d)\.([0-5]\d)(?!\w|[.,:]\d|\s?[%$£€°x×]|-)", _say_dotted),
    (r"(?<![\d:.,\w])(0\d{3}|(?:(?<=at )|(?<=by )|(?<=til )|(?<=rom )|(?<=ore )|(?<=ter )|(?<=und )|(?<=to ))\d{4})"
     r"(?:\s|-)?(?:hours|hrs|h)\b", _say_military),
    (r"(?<![\d:.,\w])(\d{1,3})h\s?(\d{1,2})m(?:in)?(?:\s?(\d{1,2})s(?:ec)?)?\b", _say_duration),
    (r"(?<![\d:.,\w])()(\d{1,3})m(?:in)?\s?(\d{1,2})s(?:ec)?\b", _say_duration),
    (r"(?<![\d:.,\w])(?P<hour>[01]?\d|2[0-4])h(?P<minute>[0-5]\d)(?P<half>\b)(?!\w)",
     lambda m: clock(int(m["hour"]), int(m["minute"]), None, None)),
)  # fmt: skip
"""Times of day and durations."""

# "6s" are seconds or several of a kind, in a list all of them alike.
_S_LIST = (
    r"(?<![\w.,:/$€£'’–-])(\d{1,3})s"
    r"((?:(?:, (?:then |and |or |but )?| and | or | then | to |/)(?:the )?\d{1,3}s\b)*)(?![\w'’-])"
)
_LASTING = re.compile(
    r" (?:delay|timeout|ad|break|clip|interval|pause|video|sprint|rest|hold|spot|burst|mark|limit|rule|countdown|window"
    r"|penalty|warning|lead|gap|exposure|cap|timer|loop|silence|intro|teaser|pulse|period|stretch|wait|lag)s?\b"
)
_LATER = re.compile(r" (?:behind|ahead|later|faster|slower|earlier|longer|shorter|flat|ago|left|remaining)\b")
_NO_NOUN_NEXT = re.compile(r"[.,;:!?)\]]|\s*$| (?:then|and|to|before|at|per|with|on|or|until|after|between)\b")
_TIMED = re.compile(
    r"(?i)\b(?:timeouts?|delays?|limits?|waits?|waited|waiting|lasts?|lasted|lasting|takes?|took|taking|every|within"
    r"|pauses?|paused|up to|exactly|just under)(?: of| is| was|:| for| about)? $"
    r"|\b(?:time|duration|intervals?|period|length|total|average|maximum|minimum|lag|gap|latency|runtime|lead|best"
    r"|record) of $"
)
_FOR_OR_REST = re.compile(r"(?i)\b(?:for|rest|hold|held|sleep|after) $")
_NUMBER_WORDS = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[2-9]"
_SEVERAL = re.compile(
    rf"(?i)\b(?:(?:sizes?|wears?|wore|wearing|straight|double|pocket|boeing|airbus|{_NUMBER_WORDS}|the|all|both|some|many"
    r"|few|several|these|those|his|her|their|my|our|your|no|of|like|aged|ages|roll(?:s|ed|ing)?|scor(?:es?|ed|ing)"
    r"|throws?|threw|drew|deals?|dealt|mostly|into)(?: size)?"
    r"|(?:buy|buys|bought|buying|sells?|sold|selling|comes?|came|coming|count(?:s|ed|ing)?|pack(?:s|ed|ing|aged)?|ties?"
    r"|tied|bundled?|group(?:s|ed|ing)?|arranged?|arrived?|stack(?:s|ed)?|walk(?:s|ed)?|march(?:es|ed)?|hunt(?:s|ed)?"
    r"|lined? up|suppl(?:y|ies|ied)|order(?:s|ed)?|available|issued|boxed|wrapped|plant(?:s|ed)?"
    r")(?: (?:them|it|up|only|always|mostly|usually|often))? in) $"
    r"|(?<!\bin )\b(?:under|over) $"
    r"|\b(?:ones|twos|threes|fours|fives|sixes|sevens|eights|nines|tens|elevens|twelves|\w+teens|\w+ties)"
    r"(?:,| and| or|, and) $"
)


def _say_with_s(match: Match[str]) -> str:
    """Read `bought in 6s` as sixes and `loads in 6s` as seconds; whole tens without either are decades, left here."""
    numbers, near = re.findall(r"\d+", match[0]), before(match, 40)
    tens = all(len(number) == 2 and number[0] > "1" and number[1] == "0" for number in numbers)
    if _LASTING.match(match.string, match.end()):
        return re.sub(r"(\d+)s", lambda m: f"{cardinal(m[1])} second", match[0])
    is_time = bool(_TIMED.search(near) or _LATER.match(match.string, match.end()))
    if tens and not is_time:
        is_time = bool(_FOR_OR_REST.search(near) and _NO_NOUN_NEXT.match(match.string, match.end()))
        if not is_time and not re.search(r"(?i)\bsizes? $", near):
            return match[0]
    if not is_time and (_SEVERAL.search(near) or _is_kind(match, numbers)):
        return re.sub(r"(\d+)s", lambda m: plural_of(house_number(m[1])), match[0])
    return re.sub(r"(\d+)s", lambda m: f"{cardinal(m[1])} second{'' if m[1] == '1' else 's'}", match[0])


_RECORDS = re.compile(r"(?i)\b(?:rpm|R P M|records?|discs?|gramophone|vinyl|LPs?|shellac)\b")
_BONDS = re.compile(r"(?i)\b(?:bonds?|consols|coupons?|treasur\w+|annuit\w+|gilts?|debentures?)\b")


def _is_kind(match: Match[str], numbers: list[str]) -> bool:
    """Tell records, `78s`, and bonds, `the 5s of 1920`, from seconds."""
    near = before(match, 80) + "|" + after(match)
    is_record = set(numbers) <= {"33", "45", "78"} and _RECORDS.search(near)
    return bool(is_record or _BONDS.search(near))


def _say_mixed_kind(match: Match[str]) -> str:
    if not _BONDS.search(before(match, 80) + "|" + after(match)):
        return match[0]
    part = fraction(match[2], match[3])
    return f"{cardinal(match[1])} and {re.sub(r'^one ', 'a ', part)}s"


YEAR_RULES = (
    (r"(?<![\w.,])(\d{1,2}) (\d)/([248])s(?!\w)", _say_mixed_kind),
    (r"(?<=\bFY)(?=\d)", lambda m: " "),
    (r"(?<![\w.,])(10{2,6})s(?= of\b)", lambda m: cardinal(m[1]).removeprefix("one ") + "s"),
    (r"(?<![\w.,])(\d{1,2})[x×](\d{1,2})s(?!\w)", lambda m: f"{cardinal(m[1])} by {plural_of(cardinal(m[2]))}"),
    (r"(?<=\b[Nn]umber )(\d{1,2})s\b|(?<=#)(\d{1,2})s\b|(?<![\w.,/:–-])(7[0-8]7)s\b(?! (?:later|long|before|behind))",
     lambda m: " " * bool(m[2]) + plural_of(house_number(m[0][:-1]))),
    (_S_LIST, _say_with_s),
    (r"(?<![\d.,])((?:1[5-9]|20)\d0) s\b(?!\.\w)", lambda m: decade(m[1])),
    (r"(?<![\d.,])['’]?((?:1\d|20)\d0|(?<!\d)[2-9]0)['’]?s[-–—]['’]?((?:1\d|20)\d0|[2-9]0)['’]?s\b", _say_decades),
    (r"(?<![\d.,])['’]?((?:1\d|20)\d0|(?<!\d)[2-9]0)['’]?s\b", lambda m: decade(m[1])),
    (r"(?<![\d.,$/-])((?:1[5-9]|20)\d\d)/((?:1[5-9]|20)?\d\d|\d)(?![\d/,%-]|\.\d)", _say_season),
    (r"(?<![\d.,$-])(1[1-9]\d\d|20\d\d)\s?[-–—]\s?(1[1-9]\d\d|20\d\d|\d\d)(?![\d,%-]|\.\d)"
     r"(?!\s(?:kg|km|g|m|lbs?)\b)", _say_years),
    (r"(?<![\d.,])(\d{3}) (AD|BC|CE|BCE|A\.\s?D\.?|B\.\s?C\.?(?:\s?E\.?)?|C\.\s?E\.?)(?!\w)(\s*$)?", _say_era),
)  # fmt: skip
"""Decades, seasons, spans of years, years with an era."""
