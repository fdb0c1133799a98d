"""English sums of money in words, shillings and pence among them: currencies, and rules in their order."""

from __future__ import annotations

import re
from re import Match

from pipeline.text.english_numbers import SCALES, cardinal, fraction
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
    r"(?:(?:[\s-]?(?P<scale>thousand|million|billion|trillion|bn|mn|mil)|(?P<letter>[kKmMbBtT]))(?![A-Za-z])"
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
    if not cents.strip("0"):
        return f"{cardinal(whole)} {one if whole == '1' else many}"
    if len(cents) > 2:
        return f"{cardinal(f'{whole}.{cents}')} {many}"
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
    if name == "pence" and match["amount"] in ("144", "240", "360", "480", "540", "576", "720"):
        return match[0]
    low = f"{cardinal(match['low'])} to " if match["low"] else ""
    one = {"pence": "penny", "cents": "cent"}[name] if match["amount"] == "1" and not low else name
    return f"{'US ' if match['us'] else ''}{low}{cardinal(match['amount'])} {one}"


_COINS_NEAR = (
    r"(?=\s(?:a|an|per|each|to|and|in|on|at|or|above|below|higher|lower|more|less|off|up|down|by|for|from)\b"
    r"|[,.;)/]|\s*$)"
)
_RENTS = {"pcm": "per calendar month", "pw": "per week", "pppw": "per person per week", "pppn": "per person per night",
          "pa": "per year", "p.a.": "per year", "p.w.": "per week", "pp": "per person"}  # fmt: skip
MONEY_RULES = (
    (r"\b(Dollars|Pounds|Euros|Dollar|Pound)\s(\d[\d,.]*\d|\d)(m|bn)(?![A-Za-z])",
     lambda m: f"{m[1]} {cardinal(m[2])} {SCALES[m[3]]}"),
    (r"([€£]\d[\d,.]*)\s?(pcm|pw|pppw|pppn|pa|pp|p\.a\.|p\.w\.)(?![\w])", lambda m: f"{m[1]} {_RENTS[m[2]]}"),
    (rf"(?<![\w.,£$€-])(?P<us>US)?(?:(?P<low>\d{{1,3}}(?:\.\d+)?)[pc]?{DASH})?(?P<amount>\d{{1,3}}(?:\.\d+)?)"
     rf"(?P<coin>p(?=[-\s,;.!?)/]|$)|(?:(?<=\.\d)|(?<=\.\d\d)|(?<=US\d)|(?<=US\d\d))c(?!\w)|(?<=\d)c(?!\w){_COINS_NEAR})",
     _say_pence),
    (r"(?<![\w.,])(\d{1,2}) (\d)/(\d)d\b", lambda m: f"{cardinal(m[1])} and {fraction(m[2], m[3])} pence"),
    (r"(?:£(?P<pounds>\d[\d,]*)\.?,?\s)?\b(?P<shillings>\d{1,2})s\.?,?\s?(?P<pence>\d{1,2})d(?:\.|\b)", _say_shillings),
    (r"£(?P<pounds>\d[\d,]*)\.?,?\s(?P<shillings>\d{1,2})s(?:\.|\b)", _say_shillings),
    (r"(?<![\w.,/⁄])(?P<pence>\d{1,2})d\.", _say_shillings),
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
