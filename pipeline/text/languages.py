"""The language of a text: from its script, from English's own words, else from lingua.

Where nothing speaks clearly for another language it is English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import regex

from pipeline.errors import RejectionCode, UtteranceError

_LANGUAGE_NAMES = {"english": "en", "chinese": "zh", "mandarin": "zh", "cmn": "zh", "yue": "zh",
                   "zho": "zh", "chi": "zh", "eng": "en", "japanese": "ja", "korean": "ko",
                   "french": "fr", "german": "de", "spanish": "es", "italian": "it", "portuguese": "pt", "dutch": "nl",
                   "russian": "ru", "jpn": "ja", "kor": "ko", "fra": "fr", "fre": "fr", "deu": "de", "ger": "de",
                   "spa": "es", "ita": "it", "por": "pt", "nld": "nl", "rus": "ru"}  # fmt: skip
_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}")
_SCRIPTS = (
    ("ko", re.compile("[\uac00-\ud7a3\u1100-\u11ff]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
)
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3041-\u309f\u30a1-\u30fa\uff66-\uff9d]")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]")
_LATIN_WORD = re.compile(r"[A-Za-zÀ-ɏ]+(?:['’][A-Za-z]+)?")
ENGLISH_FUNCTION_WORDS = frozenset(
    "the a an of and or to in is are was were be been it he she they we you i this that with for on at by from as not"
    " but have has had do does did my your his her its our their will would can could what when where who how if"
    " there means"
    .split()
)  # fmt: skip
_ENGLISH_WORDS = ENGLISH_FUNCTION_WORDS - {
    "a",
    "an",
    "in",
    "is",
    "was",
    "i",
    "on",
    "as",
    "not",
    "we",
    "has",
    "do",
    "to",
    "at",
    "by",
} | frozenset(
    "mr mrs miss dr sir yes hello please thank thanks said says went came made know think about which because into than"
    " then them him just like very some any more other only over after before down up out off back chapter part one two"
    " three there's it's i'm don't didn't can't won't isn't that's he's she's you're they're we're i've i'll let's good"
    " time call see room street number mix turn wait open meet send".split()
)
_SHARED_WORDS = frozenset("a an in is was i on as not we has do to at by".split())
"""English words that other languages have, too: each proves half."""
_GERMAN_IN_ED = frozenset("abschied unterschied mitglied schmied tausend".split())
_HALF = 0.5
_NAME_STARTS = frozenset(
    "los las el la le les san santa monsieur madame señor señora signor signora frau herr mon mein van".split()
)
_PARTICLES = frozenset("van von de der den del della di da du des la le ter y zu".split())
# Words that are frequent in one language and (nearly) never stand in English text.
_FOREIGN_WORDS = {
    "de": "der das und ist nicht ich ein eine einen einem einer mit auf für sich auch dem den wir wird haben über nach"
    " bei zum zur vom im als aber wenn noch nur wie kann sind war's sie er es ihr mein dein sein guten morgen abend"
    " danke vielen bitte nein ja doch schon sehr uhr kapitel von zu aus um kostet geht wo wer warum heute hier dort",
    "fr": "le les et est une des dans que qui avec vous nous je il elle ce cette sont été aux du au très la un ne"
     " pas sur"
    " mais où c'est n'est j'ai d'un d'une l'on qu'il oui non merci bonjour madame monsieur ça être avoir fait sans"
    " mon ma mes sais suis chez leur aussi comme",
    "es": "el los las una es que por con para como está pero muy más del al lo su se y yo mi son también la un de"
     " qué sé"
    " nada sí no gracias hola buenos buenas días hasta dónde cuándo hay tengo tiene todo esta este muchas señor amigo"
    " quiero",
    "it": "il gli che di è una con non sono della del nel questo anche ho mi più alla dei la un lo le si ma cosa"
    " grazie buongiorno alle dello ciao quanto sì dove perché signore treno parte mille",
    "pt": "os uma não que com em é da dos das você mais muito por são ao também eu isso bom dia obrigado obrigada ela"
    " ele tem às sei uns um o mas para está sim senhor anos",
    "nl": "het een en van ik niet dat zijn met voor er maar ook aan wij hij deze naar goedemorgen goedendag dank je wat"
    " waar wie geen wel nog bij uit",
}  # fmt: skip
_WORD_LANGUAGES = {
    word: [code for code, others in _FOREIGN_WORDS.items() if word in others.split()]
    for words in _FOREIGN_WORDS.values()
    for word in words.split()
}
DETECTED_LANGUAGES = frozenset(("en", "zh", "ja", *_FOREIGN_WORDS, *(code for code, _ in _SCRIPTS)))
"""Those that `detect_language` can tell."""
_FOREIGN_LETTERS = re.compile(r"[À-ÖØ-öø-ɏ¿¡]")
_MAX_DETECTION_CHARS = 2_000
_WORD_WEIGHT = 0.25
_MIN_SCORE = 0.55
_MIN_LONE_SCORE = 0.8
_MIN_MARGIN = 0.25


def detect_language(text: str) -> str:
    """Tell the language of a text from its script, and of Latin text from its words.

    Args:
        text: any text; the first 2,000 characters count.

    Returns:
        ISO 639-1 code; `en` where nothing speaks clearly for another language. Mixed Chinese and English is `zh` unless
        the English words outweigh the Chinese characters.
    """
    text = text[:_MAX_DETECTION_CHARS]
    if text.isascii():
        return _detect_latin(text)
    num_han, num_kana, num_latin = (len(script.findall(text)) for script in (_HAN, _KANA, _LATIN))
    if num_kana and num_kana * 10 >= num_han and num_kana * 2 >= num_latin // 5:
        return "ja"
    for code, script in _SCRIPTS:
        count = len(script.findall(text))
        if count > num_han and count > num_latin:
            return code
    if num_han:
        num_words, num_function_words = count_english_words(text)
        first = regex.search(r"\p{L}", text)
        starts_chinese = bool(first and _HAN.match(first[0]))
        english = num_words if num_function_words else num_words / 2
        return "zh" if num_han + starts_chinese >= english + (not starts_chinese) * (num_function_words > 0) else "en"
    return _detect_latin(text)


def is_mostly_han(text: str) -> bool:
    """Tell whether a text has more Chinese or Japanese characters than words in Latin letters."""
    return len(_HAN.findall(text)) + len(_KANA.findall(text)) > len(_LATIN_WORD.findall(text))


def language_code(name: str) -> str | None:
    """Return the ISO 639 code of a language's code or English name; None of what is neither, as of nothing."""
    code = name.strip().lower().replace("_", "-").split("-")[0]
    code = _LANGUAGE_NAMES.get(code, code)
    return code if _LANGUAGE_CODE.fullmatch(code) else None


def count_english_words(text: str) -> tuple[int, int]:
    """Return how many Latin words a text has, and how many of them only English prose uses (the, of, is)."""
    words = re.findall(r"[A-Za-z]+(?:['’][a-z]+)?", text)
    return len(words), sum(word.lower() in ENGLISH_FUNCTION_WORDS for word in words)


def _detect_latin(text: str) -> str:
    """Say `en` at once where one word in six is English's own; ask lingua about the rest."""
    written = _LATIN_WORD.findall(text.replace("’", "'"))
    words = [word.lower() for word in written]
    num_english = sum(word in _ENGLISH_WORDS for word in words)
    if not words or (num_english * 6 >= len(words) and not _FOREIGN_LETTERS.search(text)):
        return "en"
    named = _words_of_names(written)
    hits: dict[str, int] = {}
    for word in dict.fromkeys(word for at, word in enumerate(words) if at not in named):
        for code in _WORD_LANGUAGES.get(word, ()):
            hits[code] = hits.get(code, 0) + 1
    # Names prove nothing: without two small words behind the first, other languages' own words must speak.
    num_small = sum(word[0].islower() and at not in named for at, word in enumerate(written[1:], 1))
    is_word = len(words) == 1 and words[0] == written[0]
    if not hits and not is_word and (num_small == 0 or (num_small == 1 and not _FOREIGN_LETTERS.search(text))):
        return "en"
    english = num_english + _HALF * sum(word in _SHARED_WORDS or _is_past(word) for word in words)
    if english > sum(hits.values()) and english * 6 >= len(words):
        return "en"
    if not hits and english >= 1 and not _FOREIGN_LETTERS.search(text):
        return "en"
    return _weigh(text, num_english, tuple(sorted(hits.items())), len(words))


def _words_of_names(written: Sequence[str]) -> frozenset[int]:
    """Return the places of words that are part of names: `van` between capitals, `Los` and `Madame` before one."""
    capital = [word[0].isupper() for word in written]
    return frozenset(
        at
        for at, word in enumerate(written)
        if at + 1 < len(written)
        and capital[at + 1]
        and ((capital[at] and word.lower() in _NAME_STARTS) or (at and capital[at - 1] and word in _PARTICLES))
    )


def _is_past(word: str) -> bool:
    return len(word) > 4 and word.endswith("ed") and word not in _GERMAN_IN_ED


@lru_cache(maxsize=4_096)
def _weigh(text: str, num_english: int, hits: tuple[tuple[str, int], ...], num_words: int) -> str:
    """Add what a language's own words say to lingua's confidence; `en` where no other language is clearly ahead."""
    scores = {
        str(found.language.iso_code_639_1.name).lower(): float(found.value)
        for found in _lingua().compute_language_confidence_values(text)
    }
    english = scores.pop("en") + _WORD_WEIGHT * num_english
    for code, count in hits:
        scores[code] += _WORD_WEIGHT * min(count, 3)
    best = max(sorted(scores), key=lambda code: scores[code])
    enough = _MIN_SCORE if num_words > 1 else _MIN_LONE_SCORE
    return best if scores[best] >= enough and scores[best] - english >= _MIN_MARGIN else "en"


@lru_cache(maxsize=1)
def _lingua() -> Any:
    from lingua import Language, LanguageDetectorBuilder  # 200 MB and seconds: only for text that may be foreign

    return LanguageDetectorBuilder.from_languages(
        Language.ENGLISH, Language.GERMAN, Language.FRENCH, Language.SPANISH, Language.ITALIAN, Language.PORTUGUESE,
        Language.DUTCH,
    ).build()  # fmt: skip


def resolve_language(language: str | None, text: str) -> str:
    """Return the ISO 639 code of a row.

    Args:
        language: as the row has it, a code or a name; `auto` or none detects it.
        text: clean text.

    Raises:
        UtteranceError: `unsupported_language`, as it is no language.
    """
    if (language or "auto").strip().lower() in ("auto", ""):
        return detect_language(text)
    code = language_code(str(language))
    if code is None:
        raise UtteranceError(
            RejectionCode.UNSUPPORTED_LANGUAGE,
            f"language {str(language)[:40]!r} is no language code; expected one like 'en' or 'zh', or 'auto'",
        )
    return code
