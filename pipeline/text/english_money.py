"""English sums of money in words, shillings and pence among them: currencies, and rules in their order."""

from __future__ import annotations

import re
from math import gcd
from re import Match

from pipeline.text.english_numbers import SCALES, cardinal, fraction, plural_of
from pipeline.text.english_patterns import DASH, NO_NOUN, NUMBER, START, after, before

_CURRENCIES = {
    "$": ("dollar", "dollars", "cent"), "US$": ("US dollar", "US dollars", "cent"),
    "U$": ("US dollar", "US dollars", "cent"),
    "AU$": ("Australian dollar", "Australian dollars", "cent"), "CA$": ("Canadian dollar", "Canadian dollars", "cent"),
    "A$": ("Australian dollar", "Australian dollars", "cent"), "C$": ("Canadian dollar", "Canadian dollars", "cent"),
    "HK$": ("Hong Kong dollar", "Hong Kong dollars", "cent"), "S$": ("Singapore dollar", "Singapore dollars", "cent"),
    "NZ$": ("New Zealand dollar", "New Zealand dollars", "cent"), "NT$": ("Taiwan dollar", "Taiwan dollars", "cent"),
    "R$": ("real", "reais", "centavo"), "MX$": ("Mexican peso", "Mexican pesos", "centavo"),
    "€": ("euro", "euros", "cent"), "£": ("pound", "pounds", "penny"), "¥": ("yen", "yen", "sen"),
    "₹": ("rupee", "rupees", "paisa"), "₩": ("won", "won", "jeon"), "₽": ("ruble", "rubles", "kopek"),
    "₿": ("bitcoin", "bitcoins", "satoshi"), "₺": ("lira", "lira", "kurus"), "₫": ("dong", "dong", "hao"),
    "฿": ("baht", "baht", "satang"), "₴": ("hryvnia", "hryvnias", "kopiyka"), "₪": ("shekel", "shekels", "agora"),
    "₱": ("peso", "pesos", "centavo"), "₦": ("naira", "naira", "kobo"), "₸": ("tenge", "tenge", "tiyn"),
    "CN¥": ("yuan", "yuan", "fen"), "RMB": ("yuan", "yuan", "fen"), "CNY": ("yuan", "yuan", "fen"),
    "USD": ("US dollar", "US dollars", "cent"), "EUR": ("euro", "euros", "cent"),
    "GBP": ("pound", "pounds", "penny"), "JPY": ("yen", "yen", "sen"), "CHF": ("Swiss franc", "Swiss francs", "cent"),
    "CAD": ("Canadian dollar", "Canadian dollars", "cent"), "AUD": ("Australian dollar", "Australian dollars", "cent"),
    "NZD": ("New Zealand dollar", "New Zealand dollars", "cent"), "SEK": ("Swedish krona", "Swedish kronor", "ore"),
    "NOK": ("Norwegian krone", "Norwegian kroner", "ore"), "DKK": ("Danish krone", "Danish kroner", "ore"),
    "HKD": ("Hong Kong dollar", "Hong Kong dollars", "cent"), "SGD": ("Singapore dollar", "Singapore dollars", "cent"),
    "INR": ("rupee", "rupees", "paisa"), "KRW": ("won", "won", "jeon"), "BRL": ("real", "reais", "centavo"),
    "MXN": ("Mexican peso", "Mexican pesos", "centavo"), "ZAR": ("rand", "rand", "cent"),
    "Rs.": ("rupee", "rupees", "paisa"), "Rs": ("rupee", "rupees", "paisa"), "BTC": ("bitcoin", "bitcoins", "satoshi"),
}  # fmt: skip
_SMALL_COINS = {"penny": "pence", "sen": "sen", "fen": "fen", "jeon": "jeon", "paisa": "paise", "ore": "ore"}
_SYMBOL = "(?P<symbol>" + "|".join(map(re.escape, sorted(_CURRENCIES, key=len, reverse=True))) + ")"
_SCALE = (
    r"(?:(?:[\s-]?(?P<scale>thousand|million|billion|trillion|lakhs?|crores?|bn|mn|tn|mil)|(?P<letter>[kKmMbBtT]))(?![A-Za-z])"
    r"|\s(?P<apart>[mb](?:\.(?=\s[a-z]))?|[MB](?=[.,;)]|$|\s(?:in|of|for|from|on|to|and|a|by|per|was|were|is)\b))(?![\w'’-]))?"
)
_AMOUNT = rf"\d{{1,3}}(?:\.\d{{3}})+,\d\d(?!\d)|{NUMBER}"
_PENCE = {"1": "one penny", "2": "twopence", "3": "threepence", "4": "fourpence", "5": "fivepence", "6": "sixpence",
          "7": "sevenpence", "8": "eightpence", "9": "ninepence", "10": "tenpence", "11": "elevenpence"}  # fmt: skip
_DETERMINER = re.compile(
    r"\b(?:an?|another|every|each|my|his|her|your|our|their)\s$|(?<!\bit)(?<!\bthat)(?<!\bwhat)(?<!\bhere)(?<!\bhe)"
    r"['’]s\s$",
    re.I,
)
_DEFINITE = re.compile(r"\b(?:the|this|that)\s$", re.I)


def _say_shillings(match: Match[str]) -> str:
    written = match.groupdict()
    pounds, shillings, pence = (written.get(name) for name in ("pounds", "shillings", "pence"))
    words = []
    if pounds:
        words.append(f"{cardinal(pounds)} pound{'' if pounds == '1' else 's'}")
    if shillings:
        words.append(f"{cardinal(shillings)} shilling{'' if shillings == '1' else 's'}")
    if pence:
        words.append(_PENCE.get(pence, f"{cardinal(pence)} pence"))
    said = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    ends = match[0].endswith(".") and re.match(r"\s*$|\s+[A-Z“\"]", after(match))
    return said + ("." if ends else "")


def _say_lone_shillings(match: Match[str]) -> str:
    """Read `8s.` as shillings where other old money stands in the text, or a price is given; else they are seconds."""
    near = before(match, 500) + after(match, 500)
    if re.search(r"£|shilling|penc|penny", near) or re.search(r"(?:cost|paid|worth|price) $", before(match, 6)):
        return _say_shillings(match)
    return match[0]


def _say_money(match: Match[str]) -> str:
    written = match["symbol"]
    found = match.groupdict()
    one, many, coin = _CURRENCIES[found.get("code") or written]
    amount, low = match["amount"], match["low"]
    minus = "minus " if found["sign"] or found.get("inner") else ""
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d{2}", amount):
        amount = amount.replace(".", "").replace(",", ".")
    scale = match["scale"] or match["letter"] or (match["apart"] or "").rstrip(".")
    scale_words = f" {SCALES.get(scale.lower(), scale.lower())}" if scale else ""
    if found.get("noun"):
        return f"{minus}{cardinal(amount)}{scale_words} {one}{found['noun']}"
    if not low and not minus and (attribute := _say_attribute(match, amount, scale_words, one, coin)):
        return attribute
    low_scale = f" {SCALES[match['low_scale'].lower()]}" if match["low_scale"] else ""
    if low and not scale and not low_scale and any("." in a and a.split(".")[1].strip("0") for a in (low, amount)):
        return f"{minus}{_sum(low, one, many, coin)} to {_sum(amount, one, many, coin)}"
    start = f"{minus}{cardinal(_whole(low))}{low_scale} to " if low else minus
    if scale:
        return f"{start}{cardinal(amount)}{scale_words} {many}"
    if low:
        return f"{start}{cardinal(_whole(amount))} {many}"
    return minus + _sum(amount, one, many, coin)


def _whole(amount: str) -> str:
    return amount.rstrip("0").rstrip(".") if "." in amount else amount


def _sum(amount: str, one: str, many: str, coin: str) -> str:
    whole, _, cents = amount.replace(",", "").partition(".")
    if len(cents) > 2:
        cents = cents[:2] + cents[2:].rstrip("0")
    if len(cents) > 2:
        return f"{cardinal(f'{whole}.{cents}')} {many}"
    whole = whole or "0"
    if not cents.strip("0"):
        return f"{cardinal(whole)} {one if whole == '1' else many}"
    count = int(cents.ljust(2, "0"))
    coins = f"{cardinal(str(count))} {coin if count == 1 else _SMALL_COINS.get(coin, coin + 's')}"
    if not whole.strip("0"):
        return coins
    return f"{cardinal(whole)} {one if whole == '1' else many} and {coins}"


def _is_definite(match: Match[str], noun: str) -> bool:
    """Tell `the $20 shirt` from `the $20 Ann paid` and `the $20 people pay`."""
    return noun.islower() and noun not in ("people", "men", "women") and bool(_DEFINITE.search(before(match, 6)))


def _say_attribute(match: Match[str], amount: str, scale: str, one: str, coin: str) -> str | None:
    """Read `a $20 T-shirt` as "a twenty-dollar T-shirt"."""
    following = re.match(r"[ -]([A-Za-z][\w'’]*)", after(match))
    if re.match(r"-an?-[a-z]", after(match)) and "." not in amount:
        return f"{cardinal(amount)}{scale}-{one}"
    if (
        not following
        or following[1].lower() in NO_NOUN
        or following[1].endswith("ed")
        or not (_DETERMINER.search(before(match, 12)) or _is_definite(match, following[1]))
    ):
        return None
    whole, _, cents = amount.partition(".")
    words = cardinal(whole if not cents.strip("0") or not scale else amount) + scale
    if cents.strip("0") and not scale:
        return f"{words} {one} and {cardinal(str(int(cents[:2].ljust(2, '0'))))} {coin}"
    return f"{words}{' ' if ' ' in words or ' ' in one else '-'}{one}"


def _say_pence(match: Match[str]) -> str:
    """Read `45p` as pence and `12.5c` as cents; a picture's height (`1080p`) and a lone `32c` are neither."""
    name = "pence" if match["coin"] == "p" else "cents"
    if name == "pence" and match["amount"] in ("144", "240", "360", "480", "540", "576", "720") and not match["low"]:
        return match[0]  # See the rule of pictures.
    low = f"{cardinal(match['low'])} to " if match["low"] else ""
    one = {"pence": "penny", "cents": "cent"}[name] if match["amount"] == "1" and not low else name
    return f"{'US ' if match['us'] else ''}{low}{cardinal(match['amount'])} {one}"


_ODDS = (
    r"odds|odds-on|bookm\w+|bookies?|favou?rites?|favs?|backed|outsiders?|bets?|betting|wagers?|wagered|punters?"
    r"|each[- ]way|starting price|won at|tipped|drifted|evens|long ?shot|stakes?|tote|jockey|handicap"
)
_ODDS_BEFORE = re.compile(rf"(?i)\b(?:{_ODDS})\b")
_ODDS_BEHIND = re.compile(rf"(?i)\b(?:{_ODDS}|shot)\b")
_OLD_PRICE = re.compile(
    r"(?i)(?:\b(?:cost(?:s|ing)?|pric(?:es?|ed|ing)|paid|pays?|paying|charg(?:e|ed|es|ing)|sold|bought|worth|fares?"
    r"|fees?|wages?|style|bill|rent|spent|owed?s?|offered|fetched|subscription|tickets?|seats?|only|net|save"
    r"|change)(?: (?:(?:him|her|it|me|them|you|us)|(?:only|just|about|a mere|nearly|over|under|exactly)|(?:at|of|for"
    r"|was|is|from|to|were|are|in|came)))*|\b(?:hats?|shirts?|boots?|gloves?|suits?|tea|coal|wine|novels?|books?"
    r"|volumes?) (?:at|for|cost)) $"
)
_OLD_RATE = re.compile(
    r"(?i) (?:an?|per) (?:yard|dozen|week|day|pound|bottle|lb|oz|head|night|pair|copy|ton|cwt|gallon|pint|quart|hour"
    r"|month|volume|piece|set|mile|year)\b| (?:each|apiece|net(?! \d)|post free)\b|d\b"
)
_OLD_RATE_OF_GOODS = re.compile(
    r"(?i) (?:an?|per) (?:yard|dozen|bottle|pair|copy|cwt|volume)\b| (?:net|post free)\b|d\b"
)


def _say_stroke(match: Match[str]) -> str:
    """Read `7/2` of a bet as "seven to two" and `10/6` of a price as "ten and six"; other strokes are left."""
    top, bottom = int(match[1]), int(match[2])
    near, behind = re.split(r"[.!?] ", before(match, 90))[-1], re.split(r"[.!?](?: |$)", after(match, 60))[0]
    is_bet = _ODDS_BEFORE.search(near) or _ODDS_BEHIND.search(behind)
    if bottom and is_bet and not behind.startswith(" of "):
        return f"{cardinal(match[1])} to {cardinal(match[2])}"
    is_rate, is_price = bool(_OLD_RATE.match(behind)), bool(_OLD_PRICE.search(near))
    is_part = top < bottom and gcd(top, bottom) == 1 and not (bottom > 4 and _OLD_RATE_OF_GOODS.match(behind))
    if (
        not 0 < bottom < 12
        or top > 40
        or is_part
        or not (is_rate or is_price)
        or re.match(r" (?:of|as|more)\b", behind)
    ):
        return match[0]
    return f"{cardinal(match[1])} and {cardinal(match[2])}"


def _say_flat_shillings(match: Match[str]) -> str:
    if match["rupees"]:
        return match[0][:-2]
    return f"{cardinal(match['shillings'])} shilling{'' if match['shillings'] == '1' else 's'}"


OLD_MONEY_RULES = (
    (
        r"(?i)\b((?:lap|round|pages?|slide|day|stage|step|part|episode|question|set|game|match|hole|week|frame"
        r"|issue) )(\d{1,4})/(\d{1,4})(?![\w/%-]|\.\d)",
        lambda m: f"{m[1]}{cardinal(m[2])} of {cardinal(m[3])}",
    ),
    (r"£(?P<pounds>\d[\d,]*)[/-](?P<shillings>\d{1,2})[/-](?:(?P<pence>\d{1,2})(?![\d/])|-)", _say_shillings),
    (r"(?P<rupees>(?:Rs\.?|INR|₹)\s?[\d,]*)?(?<![\d./$£€,])(?P<shillings>\d{1,3})/[-–](?![\w/])", _say_flat_shillings),
    (r"(?<![\w./$£€,-])(\d{1,4})/(\d{1,3})(?![\w/%-]|\.\d)", _say_stroke),
)
"""Prices and bets with a stroke; before days and fractions."""

_COINS_NEAR = (
    r"(?=\s(?:a|an|per|each|to|and|in|on|at|or|above|below|higher|lower|more|less|off|up|down|by|for|from)\b"
    r"|[,.;)/]|\s*$)"
)
_RENTS = {"pcm": "per calendar month", "pw": "per week", "pppw": "per person per week", "pppn": "per person per night",
          "pa": "per year", "p.a.": "per year", "p.w.": "per week", "pp": "per person"}  # fmt: skip
_CODES = "USD|EUR|GBP|JPY|CHF|AUD|CAD|NZD|CNY|HKD|SEK|NOK|INR"
_POUNDS_BEFORE = re.compile(
    r"(?i)\b(?:lost|paid|pays?|worth|incomes?|fortunes?|costs?|owed?|debts?|salary|sum|lent|won|price|pensions?|legacy|left"
    r"|give|gave|bequeathed|rents?|dowry|notes?|annuity|bet|borrowed|spent|sold|bought|fined|allowance)\b[^.;]{0,20}$"
)
_LIQUID = re.compile(
    r"(?i)\b(?:lit(?:er|re)s?|water|milk|tank|fuel|petrol|diesel|oil|beer|engine|ml|bottles?|volume)\b"
)
_DOSED = re.compile(r"(?i)\b(?:[btq]\.?i\.?d\b|q\.?d\b|p\.o\.|mg|mcg|tabs?\b|caps?\.|p\.?r\.?n\b)")


def _say_old_pounds(match: Match[str]) -> str:
    """Write the `20l.` of old novels with its sign, for the rules behind; liters are left."""
    near, following = before(match, 80), after(match, 40)
    is_told = re.match(r" (?:an?|per) (?:year|annum|week|month|quarter)\b| \d{1,2}s\.", following)
    if _LIQUID.search(near + "|" + following) or not (is_told or _POUNDS_BEFORE.search(near)):
        return match[0]
    return f"£{match[1]}" + ("." if re.match(r"\s*$|\s+[A-Z“\"]", following) else "")


def _say_lone_pence(match: Match[str]) -> str:
    """Tell `for 10d.` of a prescription, which are days."""
    if not _DOSED.search(before(match, 80)):
        return _say_shillings(match)
    days = f"{cardinal(match['pence'])} day{'' if match['pence'] == '1' else 's'}"
    return days + ("." if re.match(r"\s*$|\s+[A-Z“\"]", after(match)) else "")


MONEY_RULES = (
    (r"(?<![\w.,$£€])(\d{1,3}(?:,\d{3})+|\d{1,6})l\.", _say_old_pounds),
    (r"(?<!\w)\$100s\b", lambda m: "hundreds"),
    (r"(?<!\w)\$(\d{1,3})s\b", lambda m: plural_of(cardinal(m[1]))),
    (r"(?<![\w/.])(\d{1,2})/(?=[$£€]\d)", lambda m: f"{cardinal(m[1])} for "),
    (rf"\b({_CODES})/({_CODES})((?: (?:at|to|of|is|was|hit|near))? )(\d+(?:\.\d+)?)",
     lambda m: f"{m[1]} {m[2]}{m[3]}{cardinal(m[4])}"),
    (r"(?<=[$€£\d])(\d[\d.,]*)/(?=\d+ ?(?:g|kg|ml|l|cl|km|m)\b)", lambda m: f"{m[1]} per "),
    (r"\b(Dollars|Pounds|Euros|Dollar|Pound)\s(\d[\d,.]*\d|\d)(m|bn)(?![A-Za-z])",
     lambda m: f"{m[1]} {cardinal(m[2])} {SCALES[m[3]]}"),
    (r"([€£]\d[\d,.]*)\s?(pcm|pw|pppw|pppn|pa|pp|p\.a\.|p\.w\.)(?![\w])", lambda m: f"{m[1]} {_RENTS[m[2]]}"),
    (rf"(?<![\w.,£$€-])(?P<us>US)?(?:(?P<low>\d{{1,3}}(?:\.\d+)?)[pc]?{DASH})?(?P<amount>\d{{1,3}}(?:\.\d+)?)"
     rf"(?P<coin>p(?=[-\s,;.!?)/]|$)|(?:(?<=\.\d)|(?<=\.\d\d)|(?<=US\d)|(?<=US\d\d))c(?!\w)|(?<=\d)c(?!\w){_COINS_NEAR})",
     _say_pence),
    (r"(?<![\w.,])(\d{1,2}) (\d)/(\d)d\b(?:\.(?= [a-z]|[,;:]))?",
     lambda m: f"{cardinal(m[1])} and {fraction(m[2], m[3])} pence"),
    (r"(?:£(?P<pounds>\d[\d,]*)\.?,?\s)?\b(?P<shillings>\d{1,2})s\.?,?\s?(?P<pence>\d{1,2})d(?:\.|\b)", _say_shillings),
    (r"£(?P<pounds>\d[\d,]*)\.?,?\s(?P<shillings>\d{1,2})s(?:\.|\b)", _say_shillings),
    (r"(?<![\w.,/⁄])(?P<pence>\d{1,2})d\.", _say_lone_pence),
    (r"(?<![\w.,])(?P<shillings>\d{1,2})s\.", _say_lone_shillings),
    (rf"(?P<sign>(?<!\w)[-−])?(?:(?<![A-Za-z]){_SYMBOL}\s?)(?P<inner>[-−](?=\d))?"
     rf"(?:(?P<low>{NUMBER})(?P<low_scale>[kKmMbB](?![A-Za-z]))?{DASH}(?:(?P=symbol))?)?"
     rf"(?P<amount>{_AMOUNT}){_SCALE}"
     r"(?P<noun>[ -](?:bill|note|coin|stamp)\b)?(?:(?<=\d)\s?(?P<code>USD|AUD|CAD|NZD|HKD|SGD)\b)?", _say_money),
    (rf"{START}(?P<sign>(?<!\w)[-−])?(?:(?P<low>{NUMBER})(?P<low_scale>[kKmMbB](?![A-Za-z]))?{DASH})?"
     rf"(?P<amount>{_AMOUNT}){_SCALE}\s?{_SYMBOL}(?![\w$])",
     _say_money),
)  # fmt: skip

"""Sums of money; a later rule says what one costs each."""
