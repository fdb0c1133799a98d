"""What the numbers of chapters come to: digits, Roman and Chinese numerals, words of English and its neighbors."""

from __future__ import annotations

import re
import unicodedata

from pipeline.text.english_numbers import roman_value

_ONES = (
    "one first un une premier première eins erstes erster erste uno una primero primera primer primo prima um uma "
    "primeiro primeira первая первый",
    "two second deux deuxième second seconde zwei zweites dos segundo segunda due secondo seconda dois вторая второй",
    "three third trois troisième drei drittes tres tercero tercera tre terzo terza três terceiro terceira "
    "третья третий",
    "four fourth quatre quatrième vier viertes cuatro cuarto cuarta quattro quarto quarta "
    "четвёртая четвертая четвёртый",
    "five fifth cinq cinquième fünf fünftes cinco quinto quinta cinque пятая пятый",
    "six sixth six sixième sechs sechstes seis sexto sexta sei sesto sesta шестая шестой",
    "seven seventh sept septième sieben siebentes siebtes siete séptimo séptima sette settimo settima sétimo sétima "
    "седьмая седьмой",
    "eight eighth huit huitième acht achtes ocho octavo octava otto ottavo ottava oito oitavo oitava восьмая восьмой",
    "nine ninth neuf neuvième neun neuntes nueve noveno novena nove nono nona девятая девятый",
    "ten tenth dix dixième zehn zehntes diez décimo décima dieci decimo decima dez десятая десятый",
    "eleven eleventh onze onzième elf elftes undécimo undécima undici undicesimo undicesima одиннадцатая",
    "twelve twelfth douze douzième zwölf zwölftes doce duodécimo dodici dodicesimo dodicesima doze двенадцатая",
    "thirteen thirteenth treize treizième dreizehn trece tredici tredicesimo treze",
    "fourteen fourteenth quatorze quatorzième vierzehn catorce quattordici quattordicesimo catorze",
    "fifteen fifteenth quinze quinzième fünfzehn quince quindici quindicesimo",
    "sixteen sixteenth seize seizième sechzehn dieciséis sedici sedicesimo dezesseis",
    "seventeen seventeenth dix-sept dix-septième siebzehn diecisiete diciassette diciassettesimo dezessete",
    "eighteen eighteenth dix-huit dix-huitième achtzehn dieciocho diciotto diciottesimo dezoito",
    "nineteen nineteenth dix-neuf dix-neuvième neunzehn diecinueve diciannove diciannovesimo dezenove",
    "twenty twentieth vingt vingtième zwanzig veinte vigésimo venti ventesimo vinte",
)
_TENS = {"thirty": 30, "thirtieth": 30, "forty": 40, "fortieth": 40, "fifty": 50, "fiftieth": 50}
_WORDS = {word: value for value, words in enumerate(_ONES, 1) for word in words.split()} | _TENS
_LAST = "last dernier dernière último última ultimo ultima последняя"
_GERMAN_ORDINAL = (
    r"(?:erst|zweit|dritt|viert|fünft|sechst|siebent|siebt|acht|neunt|zehnt|elft|zwölft|\w{3,8}zehnt|"
    r"\w{0,12}(?:zwan|drei|vier|fünf)[zß]igst|letzt)e[rsn]?"
)
NUMBER_WORDS = "|".join(
    [_GERMAN_ORDINAL, *(rf"{re.escape(word)}(?:-\w+)?" for word in sorted((*_WORDS, *_LAST.split()), reverse=True))]
)
"""A pattern of numbers in words, those of English joined as in `twenty-one`."""
_GERMAN_ENDING = re.compile(r"(?:t|st)?e[rsn]?$")
_CHINESE_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1_000}


def value_of(number: str) -> int | None:
    """Return the value of a number as a heading may have it; None for other words."""
    number = unicodedata.normalize("NFKC", number).strip().lower()
    number = re.sub(r"^the\s+", "", number)
    if number.isdecimal():
        return int(number) if len(number) <= 4 else None
    if number and all(sign in _CHINESE_DIGITS or sign in _CHINESE_UNITS for sign in number):
        return _chinese_value(number)
    for word in (number, _GERMAN_ENDING.sub("", number)):
        if word in _WORDS:  # French "dix" is no Roman number.
            return _WORDS[word]
    if (value := roman_value(number.upper())) is not None:
        return value
    tens, _, ones = number.replace(" ", "-").partition("-")
    if tens in ("twenty", *_TENS) and 0 < _WORDS.get(ones, 0) < 10:
        return _WORDS[tens] + _WORDS[ones]
    return None


def _chinese_value(number: str) -> int:
    if not any(sign in _CHINESE_UNITS for sign in number):
        return int("".join(str(_CHINESE_DIGITS[sign]) for sign in number))
    total = digit = 0
    for sign in number:
        if sign in _CHINESE_UNITS:
            total, digit = total + (digit or 1) * _CHINESE_UNITS[sign], 0
        else:
            digit = _CHINESE_DIGITS[sign]
    return total + digit
