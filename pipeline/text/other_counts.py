"""What is counted in other languages: the form of a number before its noun, Korean counters, kings and centuries.

The gender of a noun is told by its ending or from a short list; where neither tells, the number keeps its plain form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

from pipeline.text.english_numbers import roman_value

Say = Callable[[str], str]
_ROMANCE_FEMININE = {
    "es": re.compile(
        r"(?!\w+istas?$)(?:\w+(?:as?|ción|ciones|sión|siones|dad|dades|tad|tades|tud|tudes)"
        r"|mujer(?:es)?|manos?|fotos?|motos?|noches?|ve(?:z|ces)|clases?|calles?|partes?|flor(?:es)?|lu(?:z|ces)|tardes?)"
    ),
    "pt": re.compile(
        r"(?!\w+istas?$)(?:\w+(?:as?|ãs?|ção|ções|são|sões|dades?|gem|gens)"
        r"|noites?|mulher(?:es)?|ve(?:z|zes)|mãos?|partes?)"
    ),
    "it": re.compile(r"(?!\w+ista$)(?:\w+(?:a|zione|sione|tà|tù)|notte|mano|parte|classe|madre|chiave)"),
    "fr": re.compile(
        r"(?:\w+(?:tion|sion|ette|ance|euse|trice)s?"
        r"|(?:femme|fille|maison|ville|voiture|page|année|heure|semaine|minute|seconde|table|chaise|école|église|rue"
        r"|route|porte|fenêtre|lettre|photo|pomme|rose|sœur|mère|tante|nuit|journée|tonne|personne|pièce)s?|fois"
        r"|livres? sterling)"
    ),
}
_GREEK = r"(?:proble|te|siste|progra|poe|idio|dile|esque|cli|fantas|dra|diagra|telegra|cine)mas?"
_ROMANCE_MASCULINE = {
    "es": re.compile(
        rf"(?!manos?$|fotos?$|motos?$|radios?$)(?:\w+(?:os?|ajes?)|{_GREEK}|hotel(?:es)?|mes(?:es)?|país(?:es)?|hombres?"
        r"|días?|mapas?|planetas?|árbol(?:es)?|cafés?|coches?|tren(?:es)?|bar(?:es)?|avión|aviones|por)"
    ),
    "pt": re.compile(rf"(?:{_GREEK}|dias?|mapas?|planetas?|avião|aviões)"),
    "it": re.compile(
        r"(?!mano$)(?:\w+o|problema|tema|sistema|programma|poema|dramma|clima|cane|mese|paese|giornale|fiore|mare|padre"
        r"|per)"
    ),
}
_NO_NOUN = frozenset(
    "o a e y u como para contra era cuando hasta sino pero no ya ahora cada toda todo lo la los las más mas otra otro"
    " gana queda llega hizo dijo vino fue está estaba hay había pela da pra sobre só numa na nas nos dos das uma ao aos"
    " ma ha era sono solo anche della dello alla allo ancora prima dopo contro fino poco molto quando pelo todos"
    " ambos entonces después antes además menos tras mientras os as mais ou".split()
)
_GERMAN_FEMININE = re.compile(
    r"(?:\w+(?:ung|heit|keit|schaft|ion|tät|ei|in)|(?!Junge|Name|Käse|Ende|Auge|Erbe|Löwe|Hase|Affe|Kunde|Neffe|Buchstabe"
    r"|Gedanke|Wille|Friede|Glaube|Funke|Getränk|Gebäude|Gemüse|Interesse|Finale|Café|Bote|Zeuge|Kollege|Ge)\w{2,}e"
    r"|Frau|Stadt|Hand|Nacht|Mutter|Tochter|Schwester|Wand|Tür|Nummer|Person|Bank|Kuh|Gans|Maus|Wurst|Regel|Gabel|Insel"
    r"|Feder|Zeit|Zahl|Milliarde|Antwort|Arbeit|Burg|Fahrt)"
)
_GERMAN_OTHERS = re.compile(
    r"(?:\w+(?:chen|lein|ling|ment|tum|ismus)|Hund|Kind|Mann|Haus|Tag|Jahr|Monat|Buch|Auto|Tisch|Stuhl|Brot|Bier|Apfel"
    r"|Ei|Freund|Sohn|Vater|Bruder|Baum|Berg|Fisch|Vogel|Pferd|Schaf|Schwein|Mal|Stück|Junge|Name|Auge|Ende|Zimmer|Bett"
    r"|Fenster|Teller|Messer|Löffel|Glas|Koffer|Brief|Schlüssel|Lehrer|Schüler|Computer|Spieler|Punkt|Schritt|Bild)"
)
# A number behind these is the name of a thing and counts nothing.
_NAMED_BEFORE = re.compile(
    r"(?i)(?:\b(?:el|del|al|do|il|le|der|die|das|día|dia|giorno|número|numero|n[.º°]+|nr\.?|nummer|capítulo|capitolo"
    r"|kapitel|chapitre|página|pagina|page|seite|teil|parte|platz|band|punkt|artículo|artigo|articolo|article|año|ano|anno"
    r"|tipo|nivel|nível|zona|línea|linha|linea|grupo|gruppo|fase|tomo|volumen))\s$"
)


def _is(pattern: re.Pattern[str] | None, noun: str) -> bool:
    return bool(pattern and pattern.fullmatch(noun))


def agree(words: str, noun: str, language: str) -> str:
    """Give the number `words` the form it has before `noun`: veintiún años, duas irmãs, eine Katze."""
    masculine = _is(_ROMANCE_MASCULINE.get(language), noun)
    feminine = not masculine and _is(_ROMANCE_FEMININE.get(language), noun)
    if language == "es" and (feminine or masculine):
        if feminine:
            return re.sub(r"uno$", "una", re.sub(r"cientos\b", "cientas", words))
        return re.sub(r"uno$", "un", re.sub(r"veintiuno$", "veintiún", words))
    if language == "pt" and feminine:
        return re.sub(r"\bum$", "uma", re.sub(r"\bdois$", "duas", re.sub(r"(?<=ent)os\b", "as", words)))
    if language == "fr" and feminine:
        return re.sub(r"\bun$", "une", words)
    if language == "it" and words == "uno" and (feminine or masculine):
        if feminine:
            return "una"
        return "uno" if re.match(r"s[^aeiou]|z|gn|ps|x|y", noun) else "un"
    if language == "de" and words == "eins":
        return "eine" if _is(_GERMAN_FEMININE, noun) else "ein" if _is(_GERMAN_OTHERS, noun) else words
    return words


def say_counted(match: Match[str], language: str, say: Say) -> str:
    """Read a number before a noun that tells its form."""
    number, noun = match["number"], match["noun"]
    before = match.string[max(0, match.start() - 16) : match.start()]
    is_many = number != "1"
    is_year = re.fullmatch(r"1[1-9]\d\d|20\d\d", number)
    is_plural = noun.endswith("s") or language in ("it", "de")
    if noun.lower() in _NO_NOUN or is_year or (is_many and not is_plural) or _NAMED_BEFORE.search(before):
        return match[0]
    words = say(number)
    formed = agree(words, noun, language)
    return match[0] if formed == words else f"{formed}{match['space']}{noun}"


_KOREAN_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_KOREAN_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
# 번, 대, 분 and 층 count and number alike, and stay as they are.
KOREAN_COUNTERS = (
    "시간|시(?![가-힣])|시(?=에|부터|까지|쯤|경|정각|입니다|이|의|가|를|로|와|반)|개(?!월|국|년|소)|살|명|마리|권|장(?!에|\\s?\\d)"
    "|잔|병(?!동|실)|사람|가지|그루|송이|켤레|벌|채|척|군데|자루|그릇|접시|바퀴|달(?!러)"
)


def _korean(number: int, counter: str, say: Say) -> str:
    """Read a number before a counter: native to 99, hours of the day to twelve."""
    limit = {"시": 12, "시간": 19}.get(counter, 99)
    if 0 < number <= limit:
        tens, ones = divmod(number, 10)
        return "스무" if number == 20 else _KOREAN_TENS[tens] + _KOREAN_ONES[ones]
    if number > 100 and limit == 99 and 0 < number % 100 < 10:
        return say(str(number - number % 100)) + _KOREAN_ONES[number % 100]
    return say(str(number))


def say_korean_count(match: Match[str], say: Say) -> str:
    """Read `3개` as 세 개 and `2-3명` as 두 명에서 세 명."""
    counter = match["counter"]
    low = f"{_korean(int(match['low']), counter, say)} {counter}에서 " if match["low"] else ""
    return f"{low}{_korean(int(match['number'].replace(',', '')), counter, say)} {counter}"


FRENCH_RULERS = (
    "Louis|Henri|Charles|François|Napoléon|Philippe|Jean-Paul|Benoît|Pie|Guillaume|Édouard|Georges?|Élisabeth|Richard|Jacques"
    "|Nicolas|Alexandre|Frédéric|Catherine|Grégoire|Clément|Innocent|Léon|Albert|Léopold|Ferdinand|Alphonse|Pierre|Ramsès"
    "|Ptolémée|Urbain|Boniface|Baudouin"
)


def say_french_ruler(match: Match[str], say: Say) -> str:
    """Read Louis XIV as a king's number; a lone I may be an initial."""
    value = roman_value(match["roman"])
    return match[0] if value is None or value < 2 else f"{match['name']} {say(str(value))}"
