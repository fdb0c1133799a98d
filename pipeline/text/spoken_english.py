"""English text as it is said: every number, date, sum, unit, abbreviation and symbol in words.

An ordered list of rules, each a pattern and its reading; a rule's output holds no digit, so later rules leave it be.
Every pattern takes a run of digits at once (possessively), so the time stays linear on hostile text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

from pipeline.text.english_abbreviations import expand_abbreviations, expand_roman_numerals
from pipeline.text.english_numbers import (
    MONTHS,
    SCALES,
    cardinal,
    clock,
    date,
    decade,
    digits,
    fraction,
    full_year,
    is_day,
    ordinal,
    year,
)

_NUMBER = r"(?>\d++(?:,\d{3}(?!\d))*+(?:\.\d++)?+|\.\d++)"
_START = r"(?<![\d.,])(?<![A-Za-z]\.)"
_SIGN = r"(?:(?<![\w)\]])[-−](?=[.\d]))?"
_DASH = r"(?: [-–—~] |[-–—~])"
_MONTH_NAMES = {name.lower(): index for index, name in enumerate(MONTHS, 1)}
_MONTH_NAMES.update({name[:3].lower(): index for index, name in enumerate(MONTHS, 1)} | {"sept": 9})
_MONTH = (
    r"(?P<month>"
    + "|".join(sorted((m.capitalize() for m in _MONTH_NAMES), key=len, reverse=True))
    + r")\b(?:\.(?=\s?\d))?"
)
_YEAR = r"(?P<year>[12]\d{3})(?!\d|,\d|\.\d|s\b)"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?(?![\w:%/]|[.,]\d)"
_HALF = r"(?P<half>[aApP])\.?\s?[mM]\b(?P<dot>\.(?!\s+[A-Z]|\s*$))?"
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent"), "US$": ("US dollar", "US dollars", "cent"),
    "AU$": ("Australian dollar", "Australian dollars", "cent"), "CA$": ("Canadian dollar", "Canadian dollars", "cent"),
    "A$": ("Australian dollar", "Australian dollars", "cent"), "C$": ("Canadian dollar", "Canadian dollars", "cent"),
    "HK$": ("Hong Kong dollar", "Hong Kong dollars", "cent"), "S$": ("Singapore dollar", "Singapore dollars", "cent"),
    "NZ$": ("New Zealand dollar", "New Zealand dollars", "cent"), "€": ("euro", "euros", "cent"),
    "£": ("pound", "pounds", "penny"), "¥": ("yen", "yen", "sen"), "₹": ("rupee", "rupees", "paisa"),
    "₩": ("won", "won", "jeon"), "₽": ("ruble", "rubles", "kopek"), "₿": ("bitcoin", "bitcoins", "satoshi"),
    "CN¥": ("yuan", "yuan", "fen"), "RMB": ("yuan", "yuan", "fen"), "CNY": ("yuan", "yuan", "fen"),
    "USD": ("US dollar", "US dollars", "cent"), "EUR": ("euro", "euros", "cent"),
    "GBP": ("pound", "pounds", "penny"), "JPY": ("yen", "yen", "sen"), "CHF": ("Swiss franc", "Swiss francs", "cent"),
    "CAD": ("Canadian dollar", "Canadian dollars", "cent"), "AUD": ("Australian dollar", "Australian dollars", "cent"),
    "INR": ("rupee", "rupees", "paisa"),
}  # fmt: skip
_SMALL_COINS = {"penny": "pence", "sen": "sen", "fen": "fen", "jeon": "jeon", "paisa": "paise"}
_SYMBOL = "(?P<symbol>" + "|".join(map(re.escape, sorted(_CURRENCIES, key=len, reverse=True))) + ")"
_SCALE = r"(?:\s?(?P<scale>thousand|million|billion|trillion|bn|mn|[kKmMbBtT])(?![A-Za-z]))?"
_UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "nm": "nanometer",
    "µm": "micrometer", "μm": "micrometer", "mi": "mile", "ft": "foot", "yd": "yard", "kg": "kilogram", "g": "gram",
    "mg": "milligram", "µg": "microgram", "μg": "microgram", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "l": "liter", "L": "liter", "ml": "milliliter", "mL": "milliliter", "cl": "centiliter",
    "km²": "square kilometer", "m²": "square meter", "cm²": "square centimeter", "km2": "square kilometer",
    "m2": "square meter", "m³": "cubic meter", "m3": "cubic meter", "cm³": "cubic centimeter",
    "sq ft": "square foot", "sq. ft.": "square foot", "sq m": "square meter", "sq km": "square kilometer",
    "km/h": "kilometer per hour", "kmh": "kilometer per hour", "kph": "kilometer per hour",
    "mph": "mile per hour", "m/s": "meter per second", "m/s²": "meter per second squared", "Hz": "hertz",
    "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "W": "watt", "kW": "kilowatt", "MW": "megawatt",
    "GW": "gigawatt", "kWh": "kilowatt hour", "V": "volt", "mV": "millivolt", "kV": "kilovolt", "mA": "milliamp",
    "mAh": "milliamp hour", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
    "TB": "terabyte", "kbps": "kilobit per second", "Mbps": "megabit per second", "Gbps": "gigabit per second",
    "ms": "millisecond", "s": "second", "sec": "second", "secs": "second", "min": "minute", "mins": "minute",
    "h": "hour", "hr": "hour", "hrs": "hour", "dB": "decibel", "kcal": "kilocalorie", "cal": "calorie",
    "J": "joule", "kJ": "kilojoule", "Pa": "pascal", "kPa": "kilopascal", "psi": "P S I", "rpm": "R P M",
    "fps": "frame per second", "px": "pixel", "°C": "degree Celsius", "℃": "degree Celsius",
    "°F": "degree Fahrenheit", "℉": "degree Fahrenheit", "°": "degree", "%": "percent", "％": "percent",
    "‰": "per mille", "¢": "cent", "in.": "inch", "mpg": "mile per gallon", "tsp": "teaspoon", "tbsp": "tablespoon",
    "yrs": "year", "yr": "year", "ha": "hectare",
}  # fmt: skip
_UNIT = (
    "(?P<unit>"
    + "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))
    + r")(?![A-Za-z0-9])(?:(?<=[a-z])\.(?=\s[a-z\d]))?"
)
_UNCOUNTED = {"hertz", "kilohertz", "megahertz", "gigahertz", "percent", "per mille", "P S I", "R P M"}
_PER = {"h": "hour", "hr": "hour", "s": "second", "sec": "second", "min": "minute", "day": "day", "kg": "kilogram",
        "m": "meter", "m²": "square meter", "m³": "cubic meter", "L": "liter", "l": "liter", "km": "kilometer",
        "lb": "pound", "mo": "month", "yr": "year", "month": "month", "year": "year", "week": "week", "hour": "hour",
        "person": "person", "night": "night"}  # fmt: skip
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5",
           "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}  # fmt: skip
_URL_SYMBOLS = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon", "?": "question mark",
                "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus", "~": "tilde"}  # fmt: skip
_COUNTED_LIKE_YEARS = frozenset("was is has as its this us census olympics yes does plus thus perhaps".split())
_COUNTED_NOUNS = frozenset("people men women children percent feet fish sheep hectares km kg million billion".split())


def _plural(unit: str) -> str:
    if unit in _UNCOUNTED:
        return unit
    head, per, tail = unit.partition(" per ")
    if head.startswith("degree"):
        return head.replace("degree", "degrees") + per + tail
    if head.endswith("foot"):
        return head.removesuffix("foot") + "feet" + per + tail
    return head + ("es" if head.endswith("ch") else "s") + per + tail


def _say_address(match: Match[str]) -> str:
    address = match[0]
    tail = re.search(r"[.,;:!?)\]}'\"”’]*$", address)
    end = tail[0] if tail else ""
    address = re.sub(r"^[a-z]+://|/$", "", address.removesuffix(end), flags=re.IGNORECASE)
    parts = re.findall(r"[^\W\d_]+|\d+|.", address)
    words = []
    for part in parts:
        if part.isascii() and part.isdigit():
            words.append(digits(part) if len(part) > 2 else cardinal(part))
        elif part.lower() == "www":
            words.append("w w w")
        else:
            words.append(_URL_SYMBOLS.get(part, part if part.isalpha() else ""))
    return " ".join(filter(None, words)) + end


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


def _say_month_day(match: Match[str]) -> str:
    month, day = _MONTH_NAMES[match["month"].lower()], int(match["day"])
    if not is_day(month, day):
        return match[0]
    until = f" to {ordinal(match['until'])}" if match["until"] else ""
    words = f"{MONTHS[month - 1]} {ordinal(day)}{until}"
    return f"{words}, {year(match['year'])}" if match["year"] else words


def _say_day_month(match: Match[str]) -> str:
    month, day = _MONTH_NAMES[match["month"].lower()], int(match["day"])
    if not is_day(month, day):
        return match[0]
    until = f" to the {ordinal(match['until'])}" if match["until"] else ""
    words = f"{match['the'] or 'the '}{ordinal(day)}{until} of {MONTHS[month - 1]}"
    return f"{words}, {year(match['year'])}" if match["year"] else words


def _say_month_year(match: Match[str]) -> str:
    return f"{MONTHS[_MONTH_NAMES[match['month'].lower()] - 1]} {year(match['year'])}"


def _say_time(match: Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    second = int(match["second"]) if match["second"] else None
    if hour > 24 or minute > 59 or (second or 0) > 59:
        return match[0]
    half = match["half"].upper() + "M" if match["half"] else None
    return clock(hour, minute, second, half) + (" UTC" if match["zone"] else "")


def _say_hour(match: Match[str]) -> str:
    since = f"{cardinal(match['since'])} to " if match["since"] else ""
    return f"{since}{cardinal(match['hour'])} {match['half'].upper()}M"


def _say_money(match: Match[str]) -> str:
    one, many, coin = _CURRENCIES[match["symbol"]]
    amount, low = match["amount"], match["low"]
    minus = "minus " if match["sign"] else ""
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d{2}", amount):
        amount = amount.replace(".", "").replace(",", ".")
    scale = match["scale"]
    low_scale = f" {SCALES[match['low_scale'].lower()]}" if match["low_scale"] else ""
    start = f"{minus}{cardinal(low)}{low_scale} to " if low else minus
    if scale:
        return f"{start}{cardinal(amount)} {SCALES.get(scale.lower(), scale)} {many}"
    if match["noun"]:
        return f"{start}{cardinal(amount)} {one}{match['noun']}"
    whole, _, cents = amount.replace(",", "").partition(".")
    if not cents or not cents.strip("0"):
        return f"{start}{cardinal(whole)} {one if whole == '1' and not low else many}"
    if len(cents) > 2 or low:
        return f"{start}{cardinal(amount)} {many}"
    count = int(cents.ljust(2, "0"))
    coins = f"{cardinal(str(count))} {coin if count == 1 else _SMALL_COINS.get(coin, coin + 's')}"
    if not whole.strip("0"):
        return start + coins
    return f"{start}{cardinal(whole)} {one if whole == '1' else many} and {coins}"


def _say_unit(match: Match[str]) -> str:
    unit, number = _UNITS[match["unit"]], match["number"]
    words = cardinal(match["sign"] + number)
    if match["low"]:
        words = f"{cardinal(match['sign'] + match['low'])} to {cardinal(number)}"
    elif match["high"]:
        words += " " + match["high"]
    singular = (number == "1" and not match["low"]) or match["hyphen"] == "-"
    per = f" per {_PER[match['per']]}" if match["per"] else ""
    return f"{words}{match['hyphen'] or ' '}{unit if singular else _plural(unit)}{per}"


def _say_phone(match: Match[str]) -> str:
    plus = "plus " if match[0].startswith("+") else ""
    return plus + ", ".join(digits(group) for group in re.findall(r"\d+", match[0]))


def _say_years(match: Match[str]) -> str:
    until = match[2]
    return f"{year(match[1])} to {year(until) if len(until) == 4 else cardinal(until)}"


def _say_fraction(match: Match[str]) -> str:
    whole, top, bottom = match.groups()
    if not int(bottom):
        return f"{cardinal(top)} slash {cardinal(bottom)}"
    if (top, bottom) in {("24", "7"), ("9", "11"), ("50", "50")}:
        return f"{cardinal(top)} {cardinal(bottom)}"
    words = fraction(top, bottom)
    if whole:
        return f"{cardinal(whole)} and " + re.sub(r"^one half$", "a half", words)
    return words


def _say_range(match: Match[str]) -> str:
    low, high = match[1], match[2]
    return f"{_plain(low, '')} to {_plain(high, '')}"


def _plain(number: str, following: str) -> str:
    """Read a bare number: as a year where it looks like one and no counted noun follows."""
    looks_like_year = len(number) == 4 and number.isdigit() and (1100 <= int(number) <= 2099)
    if not looks_like_year or following in _COUNTED_NOUNS:
        return cardinal(number)
    if following.endswith("s") and following not in _COUNTED_LIKE_YEARS:
        return cardinal(number)
    return year(number)


def _say_number(match: Match[str]) -> str:
    words = ("minus " if match["sign"] else "") + _plain(match["number"], match["following"] or "")
    if match["scale"]:
        words += " " + SCALES[match["scale"].lower()]
    before = " " if match["letter"] is not None else ""
    after = " " if match["glued"] is not None else ""
    return before + words + after


def _say_power(match: Match[str]) -> str:
    return {"2": " squared", "3": " cubed"}.get(match[1], f" to the power of {cardinal(match[1])}")


def _say_version(match: Match[str]) -> str:
    numbers = match[2].split(".")
    if len(numbers) == 4 and not match[1] and all(int(number) < 256 for number in numbers):
        return " dot ".join(digits(number) for number in numbers)
    return ("version " if match[1] else "") + " point ".join(cardinal(number) for number in numbers)


Rule = tuple[re.Pattern[str], Callable[[Match[str]], str]]
_ADDRESS: Rule = (
    re.compile(
        r"(?<![\w.@])(?:https?://[^\s<>]+|www\.[^\s<>]+|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"
        r"|(?:[a-z0-9-]{1,63}\.){1,5}(?:com|org|net|edu|gov|io|ai|co\.uk|cn|de|fr|dev|app|info)\b(?:/[^\s<>]*)?)",
        re.IGNORECASE | re.ASCII,
    ),
    _say_address,
)
_NUMBER_RULES: tuple[Rule, ...] = tuple(
    (re.compile(pattern), reading)
    for pattern, reading in (
        (r"(?<![\d.,])(\d++),(\d{1,2})(?![\d,])", lambda m: f"{m[1]}.{m[2]}"),
        (r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.])", lambda m: m[0].replace(".", ",")),
        (r"(?<![\d/.-])(?P<year>[12]\d{3})(?P<sep>[-/.])(?P<month>[01]?\d)(?P=sep)(?P<day>[0-3]?\d)"
         r"(?![\d/-]|\.\d)(?P<time>T(?=\d\d:))?", _say_iso_date),
        (r"(?<![\d/.-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|(?<=/)\d{2})(?![\d/-]|\.\d)", _say_numeric_date),
        (rf"\b{_MONTH}\s(?P<day>[0-3]?\d)(?:st|nd|rd|th)?(?:{_DASH}(?P<until>[0-3]?\d)(?:st|nd|rd|th)?)?"
         rf"(?![\w:%/]|[.,]\d)(?:,?\s{_YEAR})?", _say_month_day),
        (rf"(?<![\d.,:/-])(?P<the>[Tt]he )?(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
         rf"(?:{_DASH}(?P<until>[0-3]?\d)(?:st|nd|rd|th)?)?(?: of)?\s{_MONTH}(?:,?\s{_YEAR})?", _say_day_month),
        (rf"\b{_MONTH},?\s(?:of\s)?{_YEAR}", _say_month_year),
        (r"(?:(?<=[apAP][mM])|(?<=:\d\d)|(?<=[\d°][%CF℃°]))(?: [-–—~] |[-–—~])"
         r"(?=[\d:]+\s?(?:[aApP]\.?[mM]|:?\d*[%°℃]|\b))",
         lambda m: " to "),
        (rf"(?<![\d:.,])(?P<hour>\d{{1,2}}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d+)?)?(?![\d:])"
         rf"(?:\s?{_HALF}|(?P<zone>Z\b))?",
         _say_time),
        (rf"(?<![\d:.,])(?:(?P<since>\d{{1,2}}){_DASH})?(?P<hour>1?\d)\s?{_HALF}", _say_hour),
        (rf"(?P<sign>(?<!\w)[-−])?(?:(?<![A-Za-z]){_SYMBOL}\s?)"
         rf"(?:(?P<low>{_NUMBER})(?P<low_scale>[kKmMbB](?![A-Za-z]))?{_DASH}(?:(?P=symbol))?)?"
         rf"(?P<amount>\d{{1,3}}(?:\.\d{{3}})+,\d\d(?!\d)|{_NUMBER}){_SCALE}"
         r"(?P<noun>[ -](?:bill|note|coin|stamp)\b)?", _say_money),
        (rf"{_START}(?P<sign>(?<!\w)[-−])?(?:(?P<low>{_NUMBER})(?P<low_scale>[kKmMbB](?![A-Za-z]))?{_DASH})?"
         rf"(?P<amount>\d{{1,3}}(?:\.\d{{3}})+,\d\d(?!\d)|{_NUMBER}){_SCALE}\s?{_SYMBOL}(?![\w$])(?P<noun>\b\B)?",
         _say_money),
        (r"(?<![\d.,-])(?:\d{4}[ -]){3}\d{4}(?![\d-])", _say_phone),
        (r"(?<![\d.-])(?:\+\d{1,3}[ -]?)?(?:1-)?(?:\(\d{2,4}\) ?|\d{3}[ -])\d{3}[ -]\d{4}(?![\d-])", _say_phone),
        (r"\+\d{1,3}(?:[ -]?\d{2,5}){2,5}(?!\d)|(?<![\d.,-])0\d{2,4}[ -]\d{3,4}[ -]?\d{3,4}(?!\d)", _say_phone),
        (r"(?<![\w.,-])\d{3}-\d{4}(?![\w-])|(?<![\w.,-])\d++(?:-\d++){2,}(?![\w-])", _say_phone),
        (r"(?:(?<=[Cc]all )|(?<=[Dd]ial )|(?<=[Dd]ialed )|(?<=ZIP )|(?<=\b[A-Z][A-Z] (?=\d{5}\b))"
         r"|(?<=[Cc]ode )|(?<=PIN ))\d{3,}(?![\w,.]\d)",
         lambda m: digits(m[0])),
        (r"(?<![\w.,])(v|V|ver |version |Version )?((?<=[vV])\d+(?:\.\d+)+|\d+(?:\.\d+){2,})(?![\d])", _say_version),
        (r"(?<![\d.,])['’]?((?:1\d|20)\d0|(?<!\d)[2-9]0)['’]?s\b", lambda m: decade(m[1])),
        (r"(?<![\d.,$-])(1[1-9]\d\d|20\d\d)\s?[-–—]\s?(1[1-9]\d\d|20\d\d|\d\d)(?![\d,%-]|\.\d)", _say_years),
        (r"(?<![\d.,])(\d{1,3}(?:,\d{3})*|\d+)(?:st|nd|rd|th|ST|ND|RD|TH)\b", lambda m: ordinal(m[1])),
        (r"(?<![\d.,/])(?:(\d{1,3})[ -])?(\d{1,4})[/⁄](\d{1,4})(?![\d/]|\.\d)", _say_fraction),
        (r"(?<!\d)(\d{1,2})['′](?:\s?(\d{1,2})[\"″])", lambda m: f"{cardinal(m[1])} feet {cardinal(m[2])} inches"),
        (rf"{_START}(?P<sign>{_SIGN})(?:(?P<low>{_NUMBER})(?:{_DASH}| to ))?(?P<number>{_NUMBER})"
         rf"(?: (?P<high>thousand|million|billion|trillion))?(?P<hyphen>-(?=[a-z]))?\s?{_UNIT}"
         rf"(?:/(?P<per>{'|'.join(sorted(_PER, key=len, reverse=True))})\b)?", _say_unit),
        (r"(?<![\d:])(\d{1,4}):(\d{1,4})(?![\d:])", lambda m: f"{cardinal(m[1])} to {cardinal(m[2])}"),
        (r"(?:#|№\s?)(?=\d)", lambda m: "number "),
        (rf"{_START}(?<![\w-])({_NUMBER}){_DASH}({_NUMBER})(?![\d%-])(?!\s*=)", _say_range),
        (r"(?<!\w)['’](?=\d\d\b)", lambda m: ""),
        (r"(?<=\w)\^([-−]?\d+)", _say_power),
        (r"(?<=\d)\s?[x×*]\s?(?=\d)", lambda m: " by " if m[0].strip() == "x" else " times "),
        (r"(?<=[\d)])\s?-\s?(?=\(?\d[\d.,]*\s*=)", lambda m: " minus "),
        (r"(?<=\d)\+(?!\d)", lambda m: " plus"),
        (r"~(?=\d)", lambda m: "about "),
        (r"(?<!\d)(\d{1,3})((?: \d{3}){2,})(?![\d,])", lambda m: cardinal(m[0].replace(" ", ""))),
        (rf"(?P<letter>(?<=[A-Za-z]))?(?P<sign>{_SIGN})(?P<number>{_NUMBER})"
         r"(?:(?P<scale>(?<!\b[248])(?:[kK]|M|B|bn)(?![A-Za-z0-9]| [A-Z]))"
         r"|(?P<glued>(?=[A-Za-z]))|(?=\s(?P<following>[a-z]+)))?",
         _say_number),
    )
)  # fmt: skip
_SYMBOL_RULES: tuple[Rule, ...] = tuple(
    (re.compile(pattern), reading)
    for pattern, reading in (
        (r"\s?&\s?", lambda m: " and "),
        (r"\s?±\s?", lambda m: " plus or minus "),
        (r"\s?(?:≥|>=)\s?", lambda m: " greater than or equal to "),
        (r"\s?(?:≤|<=)\s?", lambda m: " less than or equal to "),
        (r"\s?≈\s?", lambda m: " approximately "),
        (r"\s?≠\s?", lambda m: " not equal to "),
        (r"\s?÷\s?", lambda m: " divided by "),
        (r"(?<=\w)\s×\s(?=\w)|(?<=\w)×(?=\w)", lambda m: " times "),
        (r"(?<=\w)\s?=\s?(?=[\w−-])", lambda m: " equals "),
        (r"(?<=\w)\s?\+\s?(?=\w)", lambda m: " plus "),
        (r"(?<=\w)\s<\s(?=\w)", lambda m: " less than "),
        (r"(?<=\w)\s>\s(?=\w)", lambda m: " greater than "),
        (r"(?<=\w)%", lambda m: " percent"),
        (r"\s?→\s?", lambda m: " to "),
        (r"\bkm/h\b", lambda m: "kilometers per hour"),
        (rf"(?<=\w)/({'|'.join(sorted(_PER, key=len, reverse=True))})\b", lambda m: f" per {_PER[m[1]]}"),
        (r"(?<=\b[A-Z])\+\+", lambda m: " plus plus"),
        (r"(?<=\b[A-G])#", lambda m: " sharp"),
        (r"\b([Aa]nd)/(or)\b", lambda m: f"{m[1]} {m[2]}"),
        (r"\b([Hh]e)/(she)\b|\b([Hh]is)/(her)\b|\b([Hh]im)/(her)\b",
         lambda m: " or ".join(group for group in m.groups() if group)),
        (r"\b[Ww]/o\b", lambda m: "without"),
        (r"\b[Ww]/(?=\s|\w)", lambda m: "with"),
        (r"(?<=[A-Z])/(?=[A-Z])", lambda m: " "),
        (r"(?<=\w)/(?=\w)", lambda m: " slash "),
        (r"@(?=\w)", lambda m: "at "),
        (r"©", lambda m: "copyright "),
        (r"\$(?=\w)", lambda m: ""),
        (r"[*_#^~`|\\<>{}=+/™®•·●■◆→←↑↓√∞°]+", lambda m: " "),
    )
)  # fmt: skip
_HAS_NUMBER = re.compile(r"[0-9]")
_HAS_SYMBOL = re.compile(r"[^\w\s.,;:!?'\"“”‘’()\[\]—–…-]|_")
_HAS_ADDRESS = re.compile(r"[@/]|www\.|\.[A-Za-z]{2}")
_VULGAR_PATTERN = re.compile(r"(\d)?\s?([" + "".join(_VULGAR) + "])")


def _say_vulgar(match: Match[str]) -> str:
    return (f"{match[1]} " if match[1] else "") + _VULGAR[match[2]]


def say_in_english(text: str) -> str:
    """Spell out everything in an English text that is not a word; the punctuation stays."""
    if _HAS_ADDRESS.search(text):
        text = _ADDRESS[0].sub(_ADDRESS[1], text)
    text = expand_abbreviations(text)
    text = expand_roman_numerals(text)
    text = _VULGAR_PATTERN.sub(_say_vulgar, text)
    rules = _NUMBER_RULES if _HAS_NUMBER.search(text) else ()
    for pattern, reading in rules:
        text = pattern.sub(reading, text)
    if _HAS_SYMBOL.search(text):
        for pattern, reading in _SYMBOL_RULES:
            text = pattern.sub(reading, text)
    return text
