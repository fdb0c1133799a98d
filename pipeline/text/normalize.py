"""A row's text becomes what is spoken: cleaned, its language found, its numbers and signs in words, cut into segments.

Knows nothing of tokens or models, except that spelled-out control tokens must not reach the tokenizer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import regex

from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError, RejectionCode, UtteranceError
from pipeline.text.footnotes import drop_footnote_marks
from pipeline.text.languages import resolve_language
from pipeline.text.markup import decode_entities, take_markup
from pipeline.text.readable import Unread, find_unread, make_readable, name_of
from pipeline.text.spoken_forms import spell_out

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028]")
# Controls, formats (zero width, bidi, BOM), lone surrogates, private and unassigned code points.
_INVISIBLE = regex.compile(r"[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}--\n\t]|[\uFE00-\uFE0F\u034F\u115F\u1160\u3164]", regex.V1)
_COMPATIBILITY = re.compile(
    "[\uff01-\uff5e\uffe0-\uffe6\ufb00-\ufb06\u2100-\u2101\u210a-\u2115\u2119-\u211d\u2124\u212c-\u2131\u2133-\u2139\u2160-\u217f"
    "\u24b6-\u24e9\u249c-\u24b5\U0001d400-\U0001d7ff\u02b0-\u02b8\u1d2c-\u1d6a\u2071\u207f\u2090-\u209c\ufe62-\ufe66\u3220-\u3247"
    "\u3280-\u32b0\u32c0-\u32cb\u3358-\u337a\u3380-\u33df\u33e0-\u33fe]+"
)
# Raised letters behind a number or a lone letter are powers, lowered ones name a variable; others shorten a word (1ˢᵗ).
_RAISED_POWER = re.compile(
    "(?:(?<=[0-9)])|(?<=(?<![A-Za-z])[A-Za-z]))([⁰¹²³⁴-⁹⁻⁺]*[ⁿˣʸᵏᵐⁱ][⁰¹²³⁴-⁹⁻⁺ⁿˣʸᵏᵐⁱ]*)(?![\u02b0-\u02e3\u1d2c-\u1d6a])"
)
_LOWERED = re.compile("(?<=[A-Za-zα-ω0-9])[\u2090-\u209c\u1d62-\u1d6a]+")
_FULL_WIDTH_MARKS = frozenset("！，：；？（）～．＂＇")
_EMOJI = regex.compile(
    r"[\p{Extended_Pictographic}\p{Regional_Indicator}\p{Emoji_Modifier}\u20e3\U0001F000-\U0001FAFF\u2600-\u27BF--©®™↔‼⁉♭♯\u2776-\u2793\d#*]+",
    regex.V1,
)
_PICTURE = regex.compile(r"[\p{Extended_Pictographic}\p{Regional_Indicator}\U0001F000-\U0001FAFF]")
_MARK_PILE = regex.compile(r"(\p{M}{4})\p{M}+")
_FOREIGN_DIGITS = regex.compile(r"[\p{Nd}--0-9]", regex.V1)
# Control tokens are `<|name|>` or `<name>`: without the bracket next to the name nothing is left of them but words.
# A bracket between two words that closes nowhere compares them: a space behind it disarms it, too.
_LESS_THAN = re.compile(r"(?<=[\w)])<(?=\w[^\s<>|]*(?![^\s<>]*>))")
_MORE_THAN = re.compile(r"(?<![\w<>/|\"'])([\w)]{1,8})>(?=[\w(])")
_TOKEN_START = re.compile(r"<\|+|</?(?=[/A-Za-z_!])|<(?=\s*\|)")
_TOKEN_END = re.compile(r"(?<!\|\w)\|+>|(?<=[A-Za-z_/\"'])/?>(?!=)(?!\s?\d)")
_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n|\u2029")
WORD_CHARACTER = regex.compile(r"[\p{L}\p{N}]")
_SPACE_BEFORE_MARK = re.compile(r"(?<=\w) +(?=[,;:!?.](?:\s|$)|[，。！？；：、）》」』])")
_COVERED = frozenset({"en", "zh"})
_MAX_NAMED_EMOJI = 5


@dataclass(frozen=True)
class NormalizedText:
    """What is spoken.

    Attributes:
        text: letters and punctuation only; paragraphs are parted by an empty line.
        language: ISO 639 code, `en` or `zh` for most rows.
        unread: what of the row is not spoken, or reaches a model that was not taught it.
    """

    text: str
    language: str
    unread: tuple[Unread, ...] = ()


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
        self.allowed = "".join(sorted({c for spoken in entries.values() for c in spoken if not c.isspace()}))
        """Characters that the entries' readings hold: they may be spoken as they are."""

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
    cleaned = _fold_spaces(_EMOJI.sub(" ", _clean_characters(text)))
    _check_speakable(cleaned, text)
    return cleaned


def _clean_characters(text: object) -> str:
    """Do all of `clean_text` but the emoji, which a lexicon may know how to say."""
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
        cleaned = _RAISED_POWER.sub(lambda match: f"^{{{unicodedata.normalize('NFKC', match[1])}}}", cleaned)
        cleaned = cleaned.replace("∶", ":")  # The sign of a ratio.
        cleaned = _LOWERED.sub(lambda match: " " + unicodedata.normalize("NFKC", match[0]), cleaned)
        cleaned = _COMPATIBILITY.sub(_fold_compatibility, cleaned)
        cleaned = _FOREIGN_DIGITS.sub(lambda match: str(unicodedata.digit(match[0])), cleaned)
        cleaned = _MARK_PILE.sub(r"\1", unicodedata.normalize("NFC", cleaned))
    return _fold_spaces(_disarm(cleaned))


def _take_markup(text: object, normalize: bool) -> tuple[object, tuple[Unread, ...]]:
    """Return a row's text without its markup, which stays without `normalize`, and what of it is not spoken."""
    if not isinstance(text, str):
        return text, ()
    plain = decode_entities(_LINE_ENDS.sub("\n", text))
    taken, markup = take_markup(plain)
    if not normalize:
        return plain, markup
    if markup and not WORD_CHARACTER.search(taken):
        raise UtteranceError(
            RejectionCode.INVALID_TEXT,
            f"text {text[:40]!r} has only {markup[0].name} ({markup[0].text!r}); expected at least one word",
        )
    return taken, markup


def _check_speakable(cleaned: str, text: object) -> None:
    if not WORD_CHARACTER.search(cleaned):
        raise UtteranceError(
            RejectionCode.INVALID_TEXT,
            f"text {str(text)[:40]!r} has only punctuation, symbols or emoji; expected at least one word",
        )


def _fold_compatibility(match: re.Match[str]) -> str:
    return "".join(c if c in _FULL_WIDTH_MARKS else unicodedata.normalize("NFKC", c) for c in match[0])


def _disarm(text: str) -> str:
    """Break spelled-out control tokens; the spaces put in cannot form new ones."""
    if "<" in text or ">" in text:
        text = _MORE_THAN.sub(_part_operands, _LESS_THAN.sub(" < ", text))
        text = _TOKEN_END.sub(" ", _TOKEN_START.sub(" ", text))
    return text


def _part_operands(match: re.Match[str]) -> str:
    """Tell `a>b` from the end of a tag: what a bracket opened is not compared."""
    opened = match.string.rfind("<", 0, match.start())
    is_tag = opened > match.string.rfind(">", 0, match.start()) and not match.string[opened + 1].isspace()
    return match[0] if is_tag else f"{match[1]} > "


def _fold_spaces(text: str) -> str:
    paragraphs = (" ".join(paragraph.split()) for paragraph in _PARAGRAPH_BREAK.split(text))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _drop_emoji(text: str) -> tuple[str, tuple[Unread, ...]]:
    found: dict[str, Unread] = {}

    def drop(match: re.Match[str]) -> str:
        if len(found) < _MAX_NAMED_EMOJI and _PICTURE.search(match[0]):
            found.setdefault(match[0], Unread("emoji", match[0][:40], name_of(match[0][0])))
        return " "

    return _fold_spaces(_EMOJI.sub(drop, text)), tuple(found.values())


def normalize_text(
    text: object,
    *,
    language: str | None = "auto",
    normalize: bool = True,
    lexicon: Mapping[str, str] | None = None,
    max_chars: int = 20_000,
    footnote_marks: bool = False,
    known_languages: Collection[str] = ("en", "zh"),
) -> NormalizedText:
    """Turn a row's text into what is spoken.

    Args:
        text: as in the manifest.
        language: ISO 639 code of the row; `auto` (or none) detects it.
        normalize: whether to spell out numbers, dates, money, units and abbreviations; cleaning is always done.
        lexicon: word to how it is said, applied to whole words before anything else.
        max_chars: longest text accepted, in characters as given.
        footnote_marks: whether `[15]` and `¹²` behind a word are read.
        known_languages: ISO 639 codes of what the weights speak: letters of these scripts may be in any row.

    Returns:
        English and Chinese hold letters of known languages, marks that shape speech, and what the lexicon put in; all
        else was said in words, or is named. In other languages, and without `normalize`, it is named and stays.

    Raises:
        UtteranceError: `text_too_long`, `empty_text`, `invalid_text` or `unsupported_language`.
    """
    if isinstance(text, str) and len(text) > max_chars:
        raise UtteranceError(
            RejectionCode.TEXT_TOO_LONG,
            f"text has {len(text):,} characters, at most {max_chars:,} are accepted; split it or raise"
            " text.max_text_chars",
        )
    plain, markup = _take_markup(text, normalize)
    spoken = _clean_characters(plain)
    allowed = ""
    if lexicon:
        entries = lexicon if isinstance(lexicon, Lexicon) else _lexicon_of(tuple(lexicon.items()))
        code = resolve_language(language, spoken)
        spoken, allowed = entries.apply(spoken), entries.allowed
    emoji: tuple[Unread, ...] = ()
    if not spoken.isascii():
        spoken, emoji = _drop_emoji(spoken)
    _check_speakable(spoken, text)
    if not lexicon:
        code = resolve_language(language, spoken)
    if normalize:
        if not footnote_marks:
            spoken = drop_footnote_marks(spoken)
        spoken = spell_out(spoken, code)
    # Once more: a reading or a lexicon entry may have put brackets or spaces together.
    spoken = _disarm(spoken)
    languages = {*known_languages, code}
    if normalize:
        spoken, unread = make_readable(spoken, languages, extra=allowed, keep=code not in _COVERED)
        spoken = _SPACE_BEFORE_MARK.sub("", _fold_spaces(spoken))
    else:
        spoken = _fold_spaces(spoken)
        unread = find_unread(spoken, languages, extra=allowed)
    if not WORD_CHARACTER.search(spoken):
        raise UtteranceError(
            RejectionCode.INVALID_TEXT, f"text {str(text)[:40]!r} has nothing to say; expected at least one word"
        )
    return NormalizedText(spoken, code, markup + emoji + unread)


@lru_cache(maxsize=8)
def _lexicon_of(items: tuple[tuple[str, str], ...]) -> Lexicon:
    return Lexicon(dict(items))


def _clean_key(word: str) -> str:
    """Clean an entry's word, which may be an emoji or a symbol; marks alone are none."""
    cleaned = _clean_characters(word)
    if not _EMOJI.search(cleaned):
        _check_speakable(cleaned, word)
    return cleaned


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
            checked[_clean_key(word)] = clean_text(spoken)
        except UtteranceError as error:
            problems.append(f"{word!r}: {spoken!r}: {error.message}")
    if problems:
        raise ConfigError(
            f"{name}: {len(problems)} wrong entries:\n" + "\n".join(f"  {problem:.300}" for problem in problems[:20])
        )
    return Lexicon(checked)
