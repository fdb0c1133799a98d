"""When two texts are the same: case, punctuation and the way numbers are written do not count.

A text is told from others by two hashes with the corpus's salt: of its words as they are spoken, and of its words as
they are written. The second does not change when a later version of this program reads numbers in another way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from pipeline.config.run import TextConfig
from pipeline.errors import RejectionCode, UtteranceError
from pipeline.text import TextSupport, detect_language, estimate_seconds, normalize_text

HASH_BYTES = 16
_APOSTROPHES = regex.compile(r"['’ʼ`´]")
_BY_CHARACTER = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
_WORDS = regex.compile(rf"[{_BY_CHARACTER}]\p{{M}}*|[\p{{L}}\p{{M}}\p{{N}}--[{_BY_CHARACTER}]]+", regex.V1)
# Words of letters alone, small but for the first one, and no mark that may belong to a short form: nothing in it is
# said otherwise than it is written. Most lines of a story are so, and cost a hundredth of what others cost.
_WORD = r"[a-z]+(?:'[a-z]+)?"
# Nor a Roman number, such as that of a chapter.
_ROMAN = r"\b(?!I\b)[IVXLCivxlc][ivxlc]*(?![a-z])"
_PLAIN = re.compile(rf"(?!.*{_ROMAN})(?:[A-Z][a-z]*|[a-z]+)(?:'[a-z]+)?(?:[,;:!?]? (?:I|{_WORD}))*[.!?]?")


@dataclass(frozen=True)
class SpokenText:
    """A text as it will be spoken."""

    words: tuple[str, ...]
    """In small letters, without marks."""
    expected_s: float
    """How long it takes to say, at moderate speed."""


def find_words(text: str) -> tuple[str, ...]:
    """Return the words of a text in small letters, without marks; characters where a script has no spaces."""
    return tuple(_WORDS.findall(_APOSTROPHES.sub("", text.casefold())))


class TextReader:
    """Reads texts as a run will.

    Args:
        settings: how texts become what is spoken.
        lexicon: how to say certain words.
        support: what the weights were taught to read.
    """

    def __init__(self, settings: TextConfig, lexicon: Mapping[str, str], support: TextSupport) -> None:
        self._settings, self._lexicon = settings, lexicon
        self._languages = settings.languages or support.languages

    def describe(self) -> list[Any]:
        """Return what its answers depend on."""
        settings = self._settings
        return [settings.model_dump(), sorted(self._lexicon.items()), list(self._languages)]

    def read(self, text: object, language: str | None, *, check_language: bool = True) -> SpokenText:
        """Return what is spoken of a text.

        Args:
            text: as it was written.
            language: ISO 639 code; none takes that of the settings.
            check_language: whether the weights must speak it.

        Raises:
            UtteranceError: a run would reject it; says why.
        """
        settings, language = self._settings, language or self._settings.language
        if isinstance(text, str) and not self._lexicon and len(text) <= settings.max_text_chars:
            if _PLAIN.fullmatch(text) and (language == "en" or (language == "auto" and detect_language(text) == "en")):
                return SpokenText(find_words(text), estimate_seconds(text, "en"))
        spoken = normalize_text(
            text,
            language=language,
            lexicon=self._lexicon,
            max_chars=settings.max_text_chars,
            footnote_marks=settings.footnote_marks == "read",
            known_languages=self._languages,
        )
        if check_language and settings.other_languages == "reject" and spoken.language not in self._languages:
            raise UtteranceError(
                RejectionCode.UNSUPPORTED_LANGUAGE,
                f"the text's language is {spoken.language}, but the weights speak {', '.join(self._languages)}",
            )
        return SpokenText(find_words(spoken.text), estimate_seconds(spoken.text, spoken.language))


def hash_words(kind: str, words: Sequence[str], salt: bytes) -> bytes:
    """Return the hash of words.

    Args:
        kind: hashes of different kinds are never equal.
        words: in reading order.
        salt: of the corpus.
    """
    data = "\0".join([kind, *words]).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=HASH_BYTES, key=salt).digest()
