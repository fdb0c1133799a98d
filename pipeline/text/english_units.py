"""English names of units of measure and of symbols that stand alone, and how they are written."""

from __future__ import annotations

import re

LONE_SYMBOLS = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee", "₩": "won", "₽": "ruble",
                "₿": "bitcoin", "¢": "cent", "₺": "lira", "₴": "hryvnia", "₪": "shekel", "₱": "peso", "₫": "dong",
                "฿": "baht", "₦": "naira", "₸": "tenge", "¤": "currency"}  # fmt: skip
UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "nm": "nanometer", "dm": "decimeter",
    "µm": "micrometer", "μm": "micrometer", "mi": "mile", "ft": "foot", "yd": "yard", "yds": "yard",
    "kg": "kilogram", "g": "gram", "mg": "milligram", "µg": "microgram", "μg": "microgram", "lb": "pound",
    "lbs": "pound", "oz": "ounce", "fl oz": "fluid ounce", "fl. oz.": "fluid ounce", "gal": "gallon", "qt": "quart",
    "l": "liter", "L": "liter", "ml": "milliliter", "mL": "milliliter", "cl": "centiliter", "dl": "deciliter",
    "dL": "deciliter", "cc": "C C", "µL": "microliter", "μL": "microliter", "hl": "hectoliter", "ct": "carat",
    "km²": "square kilometer", "m²": "square meter", "cm²": "square centimeter", "mm²": "square millimeter",
    "km2": "square kilometer", "m2": "square meter", "cm2": "square centimeter", "mm2": "square millimeter",
    "ft²": "square foot", "ft2": "square foot", "in²": "square inch", "mi²": "square mile", "yd²": "square yard",
    "m³": "cubic meter", "m3": "cubic meter", "cm³": "cubic centimeter", "cm3": "cubic centimeter",
    "mm³": "cubic millimeter", "km³": "cubic kilometer", "km3": "cubic kilometer", "dm³": "cubic decimeter",
    "ft³": "cubic foot", "in³": "cubic inch", "cu ft": "cubic foot", "cu. ft.": "cubic foot", "cu m": "cubic meter",
    "sq ft": "square foot", "sq. ft.": "square foot", "sq m": "square meter", "sq km": "square kilometer",
    "sq mi": "square mile", "sq. mi.": "square mile", "sq in": "square inch", "sqft": "square foot",
    "km/h": "kilometer per hour", "kmh": "kilometer per hour", "kph": "kilometer per hour", "kn": "knot",
    "mph": "mile per hour", "m/s": "meter per second", "m/s²": "meter per second squared",
    "m/s2": "meter per second squared", "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz",
    "THz": "terahertz", "W": "watt", "kW": "kilowatt", "MW": "megawatt", "mW": "milliwatt", "GW": "gigawatt",
    "TW": "terawatt", "Wh": "watt hour", "kWh": "kilowatt hour", "MWh": "megawatt hour", "GWh": "gigawatt hour",
    "TWh": "terawatt hour", "V": "volt", "mV": "millivolt", "kV": "kilovolt", "A": "amp", "mA": "milliamp",
    "mAh": "milliamp hour", "Ah": "amp hour", "Ω": "ohm", "kΩ": "kilohm", "MΩ": "megohm", "µF": "microfarad",
    "μF": "microfarad", "nF": "nanofarad", "pF": "picofarad", "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte",
    "GB": "gigabyte", "TB": "terabyte", "PB": "petabyte", "KiB": "kibibyte", "MiB": "mebibyte", "GiB": "gibibyte",
    "kb": "kilobit", "Mb": "megabit", "Gb": "gigabit", "bps": "bit per second", "kbps": "kilobit per second",
    "Mbps": "megabit per second", "Gbps": "gigabit per second", "MB/s": "megabyte per second",
    "GB/s": "gigabyte per second", "ns": "nanosecond", "µs": "microsecond", "μs": "microsecond",
    "ms": "millisecond", "s": "second", "sec": "second", "secs": "second", "min": "minute", "mins": "minute",
    "h": "hour", "hr": "hour", "hrs": "hour", "dB": "decibel", "dBA": "decibel", "kcal": "kilocalorie",
    "cal": "calorie", "J": "joule", "kJ": "kilojoule", "MJ": "megajoule", "eV": "electronvolt", "keV":
    "kiloelectronvolt", "N": "newton", "kN": "kilonewton", "Nm": "newton meter", "Pa": "pascal", "hPa": "hectopascal",
    "kPa": "kilopascal", "MPa": "megapascal", "bar": "bar", "mbar": "millibar", "atm": "atmosphere",
    "mmHg": "millimeter of mercury", "psi": "P S I", "rpm": "R P M", "bpm": "beat per minute",
    "fps": "frame per second", "px": "pixel", "dpi": "D P I", "ppm": "part per million", "ppb": "part per billion",
    "mol": "mole", "mmol": "millimole", "lm": "lumen", "lx": "lux", "cd": "candela", "hp": "horsepower",
    "°C": "degree Celsius", "℃": "degree Celsius", "ºC": "degree Celsius", "° C": "degree Celsius",
    "°F": "degree Fahrenheit", "℉": "degree Fahrenheit", "ºF": "degree Fahrenheit", "° F": "degree Fahrenheit",
    "°": "degree", "º": "degree", "%": "percent", "％": "percent", "‰": "per mille", "¢": "cent", "in.": "inch",
    "″": "inch", "′": "foot", "mpg": "mile per gallon", "tsp": "teaspoon", "tsps": "teaspoon", "tbsp": "tablespoon",
    "tbsps": "tablespoon", "Tbsp": "tablespoon", "yrs": "year", "yr": "year", "wks": "week", "wk": "week",
    "ha": "hectare", "mcg": "microgram", "degC": "degree Celsius", "degF": "degree Fahrenheit",
    "doz": "dozen", "pcs": "piece", "pc": "percent", "pts": "point", "ly": "light year", "mos": "month",
}  # fmt: skip
# Written in any mix of capitals, as no other unit has these letters.
_ANY_CASE = (
    "km kg cm lb lbs oz ft yd mph kmh kph km/h hz khz ghz mhz kwh tb gb kbps mbps gbps ml mg rpm fps psi dpi tsp tbsp "
    "hrs mins secs km² cm² m² ppm bpm kw mb kb min"
).split()
FOLDED_UNITS = {name: UNITS.get(name) or next(UNITS[u] for u in UNITS if u.lower() == name) for name in _ANY_CASE}
UNIT = (
    "(?P<unit>"
    + "|".join(map(re.escape, sorted(UNITS, key=len, reverse=True)))
    + "|(?i:"
    + "|".join(map(re.escape, sorted(_ANY_CASE, key=len, reverse=True)))
    + r")(?<!HRs))(?![A-Za-z0-9²³])(?:(?<=[a-z])\.(?=\s[a-z\d@]|[,);:-]|\s[NSEW]{1,3}\b))?"
)
UNCOUNTED = frozenset(
    "hertz|kilohertz|megahertz|gigahertz|terahertz|percent|per mille|P S I|R P M|D P I|C C|lux|horsepower|dozen".split(
        "|"
    )
)
PER = {
    "h": "hour", "hr": "hour", "s": "second", "sec": "second", "min": "minute", "day": "day", "d": "day",
    "kg": "kilogram",
    "g": "gram", "mg": "milligram", "m": "meter", "m²": "square meter", "m³": "cubic meter", "cm²": "square centimeter",
    "cm³": "cubic centimeter", "km²": "square kilometer", "m2": "square meter", "m3": "cubic meter", "L": "liter",
    "l": "liter", "mL": "milliliter", "ml": "milliliter", "dL": "deciliter", "km": "kilometer", "mi": "mile",
    "mile": "mile", "lb": "pound", "oz": "ounce", "gal": "gallon", "mo": "month", "mth": "month", "yr": "year",
    "month": "month", "year": "year", "week": "week", "wk": "week", "hour": "hour", "minute": "minute",
    "second": "second", "person": "person", "night": "night", "ft": "foot", "ft²": "square foot",
    "sq ft": "square foot",
    "sqft": "square foot", "kWh": "kilowatt hour", "MWh": "megawatt hour", "unit": "unit", "user": "user",
    "share": "share", "page": "page", "word": "word", "piece": "piece", "pc": "piece", "head": "head", "dozen": "dozen",
    "ton": "ton", "t": "ton", "ha": "hectare", "acre": "acre", "seat": "seat", "item": "item", "mol": "mole",
    "pp": "person", "pound": "pound", "gallon": "gallon", "bushel": "bushel", "barrel": "barrel", "bbl": "barrel",
    "capita": "capita", "annum": "annum", "set": "set", "trip": "trip", "ride": "ride", "use": "use", "call": "call",
    "GB": "gigabyte", "visit": "visit", "session": "session", "s²": "second squared", "in": "inch", "yd": "yard",
    "liter": "liter", "litre": "litre", "bottle": "bottle", "ticket": "ticket", "ea": "each",
}  # fmt: skip
PER_PATTERN = "|".join(map(re.escape, sorted(PER, key=len, reverse=True)))


def plural(unit: str) -> str:
    """Return a unit's plural: "feet per second", "degrees Celsius", "hertz"."""
    if unit in UNCOUNTED:
        return unit
    for link in (" per ", " of "):
        if link in unit:
            head, _, tail = unit.partition(link)
            return plural(head) + link + tail
    if unit.startswith("degree"):
        return unit.replace("degree", "degrees")
    if unit.endswith("foot"):
        return unit.removesuffix("foot") + "feet"
    return unit + ("es" if unit.endswith("ch") else "s")


def unit_name(written: str) -> str:
    """Return the singular of a unit as written: `kg`, `KG` and `Kg` are "kilogram"."""
    return UNITS.get(written) or FOLDED_UNITS[written.lower()]
