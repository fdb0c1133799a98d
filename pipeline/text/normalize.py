"""A row's text becomes what is spoken: cleaned, its language found, its numbers and signs in words, cut into segments.

Knows nothing of tokens or models, except that spelled-out control tokens must not reach the tokenizer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import regex

from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError, RejectionCode, UtteranceError
from pipeline.text.spoken_forms import count_english_words, spell_out

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028]")
# Controls, formats (zero width, bidi, BOM), lone surrogates, private and unassigned code points.
_INVISIBLE = regex.compile(r"[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}--\n\t]|[\uFE00-\uFE0F\u034F\u115F\u1160\u3164]", regex.V1)
_COMPATIBILITY = re.compile(
    "[\uff01-\uff5e\uffe0-\uffe6\ufb00-\ufb06\u2100-\u2101\u2160-\u217f\u2460-\u24ff\U0001d400-\U0001d7ff]+"
)
_FULL_WIDTH_MARKS = frozenset("！，：；？（）～．＂＇")
_EMOJI = regex.compile(
    r"[\p{Extended_Pictographic}\p{Regional_Indicator}\p{Emoji_Modifier}\u20e3\U0001F000-\U0001FAFF\u2600-\u27BF--©®™↔\d#*]+",
    regex.V1,
)
_MARK_PILE = regex.compile(r"(\p{M}{4})\p{M}+")
_FOREIGN_DIGITS = regex.compile(r"[\p{Nd}--0-9]", regex.V1)
# Control tokens are `<|name|>` or `<name>`: without the bracket next to the name nothing is left of them but words.
_TOKEN_START = re.compile(r"<\|+|<(?=[/A-Za-z_!])|<(?=\s*\|)")
_TOKEN_END = re.compile(r"\|+>|(?<=[A-Za-z_/\"'])>")
_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n|\u2029")
_SPEAKABLE = regex.compile(r"[\p{L}\p{N}]|[%$€£¥₹&@+=°]")
WORD_CHARACTER = regex.compile(r"[\p{L}\p{N}]")
_SPACE_BEFORE_MARK = re.compile(r"(?<=\w) +(?=[,;:!?.](?:\s|$))")

_LANGUAGE_NAMES = {"english": "en", "chinese": "zh", "mandarin": "zh", "cmn": "zh", "yue": "zh",
                   "zho": "zh", "chi": "zh", "eng": "en", "japanese": "ja", "korean": "ko",
                   "french": "fr", "german": "de", "spanish": "es",
                   "jpn": "ja", "kor": "ko", "fra": "fr", "deu": "de", "spa": "es"}  # fmt: skip
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
_LATIN_WORD = re.compile(r"[A-Za-zÀ-ɏ]+")
# Words that are frequent in one language and (nearly) never stand in English text.
_STOP_WORDS = {
    "de": "der das und ist nicht ich ein eine einen mit auf für sich auch dem den wir wird haben über nach bei zum",
    "fr": "le les et est une des dans pour que qui pas sur avec vous nous je il elle ce cette sont été aux du au très",
    "es": "el los las una es en que por con para como está pero muy más del al lo su se y yo mi son también",
    "it": "il gli che di è una per con non sono della del nel questo anche ho mi più come alla dei",
    "pt": "os uma não que com para em é do da dos das você mais muito por como são ao também eu isso",
    "nl": "het een en van ik niet dat die zijn op te met voor er maar ook aan wij hij deze naar",
}  # fmt: skip
_STOP_WORD_LANGUAGES = {
    word: [code for code, others in _STOP_WORDS.items() if word in others.split()]
    for words in _STOP_WORDS.values()
    for word in words.split()
}
_MAX_DETECTION_CHARS = 2_000


@dataclass(frozen=True)
class NormalizedText:
    """What is spoken.

    Attributes:
        text: words and punctuation only; paragraphs are parted by an empty line.
        language: ISO 639 code, `en` or `zh` for most rows.
    """

    text: str
    language: str


class Lexicon(Mapping[str, str]):
    """How to say certain words; whole words only, and the longest entry wins.

    An entry without capitals matches in any case; one with capitals only as written.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._entries = dict(entries)
        self._folded = {word.lower(): spoken for word, spoken in entries.items() if word == word.lower()}
        # A Latin word ends at the next letter or digit; Chinese has no word ends to look for.
        edge = r"A-Za-z0-9À-ɏ"
        self._pattern = (
            regex.compile(
                rf"(?:(?<![{edge}])(?=[{edge}])|(?![{edge}]))(?:\L<exact>|(?i:\L<folded>))"
                rf"(?:(?<=[{edge}])(?![{edge}])|(?<![{edge}]))",
                exact=sorted(set(entries) - set(self._folded)) or ["\0"],
                folded=sorted(self._folded) or ["\0"],
            )
            if entries
            else None
        )

    def __getitem__(self, word: str) -> str:
        return self._entries[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def apply(self, text: str) -> str:
        """Replace every entry's word in `text`."""
        if self._pattern is None:
            return text
        return str(self._pattern.sub(lambda match: self._entries.get(match[0]) or self._folded[match[0].lower()], text))


def clean_text(text: object) -> str:
    r"""Remove what cannot be spoken and must not reach the tokenizer; the words stay.

    The result is NFC; without control, zero-width and bidi characters, emoji or lone surrogates; with single spaces
    and `\\n\\n` between paragraphs; full-width letters and digits are ASCII; spelled-out control tokens have lost
    their brackets.

    Raises:
        UtteranceError: `empty_text` where nothing but white space and invisible characters is there, `invalid_text`
            where it is no text or nothing in it can be spoken.
    """
    if text is None:
        raise UtteranceError(RejectionCode.EMPTY_TEXT, "text is missing; expected at least one word")
    if not isinstance(text, str):
        raise UtteranceError(
            RejectionCode.INVALID_TEXT,
            f"text is of type {type(text).__name__}; expected a string with at least one word",
        )
    visible = _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text))
    if not visible.strip():
        raise UtteranceError(RejectionCode.EMPTY_TEXT, "text is empty; expected at least one word")
    cleaned = visible
    if not cleaned.isascii():
        cleaned = _COMPATIBILITY.sub(_fold_compatibility, cleaned)
        cleaned = _FOREIGN_DIGITS.sub(lambda match: str(unicodedata.digit(match[0])), cleaned)
        cleaned = _MARK_PILE.sub(r"\1", unicodedata.normalize("NFC", _EMOJI.sub(" ", cleaned)))
    cleaned = _fold_spaces(_disarm(cleaned))
    if not _SPEAKABLE.search(cleaned):
        raise UtteranceError(
            RejectionCode.INVALID_TEXT,
            f"text {text[:40]!r} has only punctuation, symbols or emoji; expected at least one word",
        )
    return cleaned


def _fold_compatibility(match: re.Match[str]) -> str:
    return "".join(c if c in _FULL_WIDTH_MARKS else unicodedata.normalize("NFKC", c) for c in match[0])


def _disarm(text: str) -> str:
    """Break spelled-out control tokens; the spaces put in cannot form new ones."""
    if "<" in text or ">" in text:
        text = _TOKEN_END.sub(" ", _TOKEN_START.sub(" ", text))
    return text


def _fold_spaces(text: str) -> str:
    paragraphs = (" ".join(paragraph.split()) for paragraph in _PARAGRAPH_BREAK.split(text))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def detect_language(text: str) -> str:
    """Tell the language of a text from its script, and of Latin text from its commonest words.

    Args:
        text: any text; the first 2,000 characters count.

    Returns:
        ISO 639-1 code; `en` where nothing speaks for another language. Mixed Chinese and English is `zh` unless the
        English words outweigh the Chinese characters.
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


def _detect_latin(text: str) -> str:
    words = [word.lower() for word in _LATIN_WORD.findall(text)]
    scores: dict[str, int] = {}
    for word in words:
        for code in _STOP_WORD_LANGUAGES.get(word, ()):
            scores[code] = scores.get(code, 0) + 1
    if not scores:
        return "en"
    best = max(sorted(scores), key=lambda code: scores[code])
    _, num_english = count_english_words(text)
    # Two hits and a quarter of the words: a foreign name or quotation in English text has fewer.
    is_foreign = scores[best] >= 2 and scores[best] > num_english and scores[best] * 4 >= len(words)
    return best if is_foreign else "en"


def _resolve_language(language: str | None, text: str) -> str:
    name = (language or "auto").strip().lower().replace("_", "-")
    if name in ("auto", ""):
        return detect_language(text)
    code = name.split("-")[0]
    code = _LANGUAGE_NAMES.get(code, code)
    if not _LANGUAGE_CODE.fullmatch(code):
        raise UtteranceError(
            RejectionCode.UNSUPPORTED_LANGUAGE,
            f"language {str(language)[:40]!r} is no language code; expected one like 'en' or 'zh', or 'auto'",
        )
    return code


def normalize_text(
    text: object,
    *,
    language: str | None = "auto",
    normalize: bool = True,
    lexicon: Mapping[str, str] | None = None,
    max_chars: int = 20_000,
) -> NormalizedText:
    """Turn a row's text into what is spoken.

    Args:
        text: as in the manifest.
        language: ISO 639 code of the row; `auto` (or none) detects it.
        normalize: whether to spell out numbers, dates, money, units and abbreviations; cleaning is always done.
        lexicon: word to how it is said, applied to whole words before anything else.
        max_chars: longest text accepted, in characters as given.

    Raises:
        UtteranceError: `text_too_long`, `empty_text`, `invalid_text` or `unsupported_language`.
    """
    if isinstance(text, str) and len(text) > max_chars:
        raise UtteranceError(
            RejectionCode.TEXT_TOO_LONG,
            f"text has {len(text):,} characters, at most {max_chars:,} are accepted; split the row or raise"
            " text.max_text_chars",
        )
    spoken = clean_text(text)
    code = _resolve_language(language, spoken)
    if lexicon:
        entries = lexicon if isinstance(lexicon, Lexicon) else _lexicon_of(tuple(lexicon.items()))
        spoken = entries.apply(spoken)
    if normalize:
        spoken = spell_out(spoken, code)
        spoken = _SPACE_BEFORE_MARK.sub("", spoken)
    # Once more: a reading or a lexicon entry may have put brackets or spaces together.
    spoken = _fold_spaces(_disarm(spoken))
    if not WORD_CHARACTER.search(spoken):
        raise UtteranceError(
            RejectionCode.INVALID_TEXT, f"text {str(text)[:40]!r} has nothing to say; expected at least one word"
        )
    return NormalizedText(spoken, code)


@lru_cache(maxsize=8)
def _lexicon_of(items: tuple[tuple[str, str], ...]) -> Lexicon:
    return Lexicon(dict(items))


def load_lexicon(source: str | Mapping[object, object], name: str = "lexicon") -> Lexicon:
    """Check a pronunciation lexicon.

    Args:
        source: YAML text `word: how to say it`, or the mapping itself.
        name: of the file, for messages.

    Raises:
        ConfigError: it is no mapping of words to words; the message names every wrong entry.
    """
    entries: object = source
    if isinstance(source, str):
        entries = read_yaml(source, name)
    if entries is None:
        return Lexicon({})
    if not isinstance(entries, Mapping):
        raise ConfigError(f"{name}: expected a mapping `word: how to say it`, found {type(entries).__name__}")
    problems = []
    checked: dict[str, str] = {}
    for word, spoken in entries.items():
        if not isinstance(word, str) or not isinstance(spoken, str):
            problems.append(
                f"{word!r}: {spoken!r}: both must be text; put numbers and words like no, yes, on in quotes"
            )
            continue
        try:
            checked[clean_text(word)] = clean_text(spoken)
        except UtteranceError as error:
            problems.append(f"{word!r}: {spoken!r}: {error.message}")
    if problems:
        raise ConfigError(
            f"{name}: {len(problems)} wrong entries:\n" + "\n".join(f"  {problem:.300}" for problem in problems[:20])
        )
    return Lexicon(checked)
