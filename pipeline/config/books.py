"""The settings of a catalogue of books: what is read, by whom, and how its chapters sound."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from pipeline.config.extras import name_extra
from pipeline.config.settings import Address, Settings, setting
from pipeline.errors import ConfigError

Format = Literal["wav", "flac", "m4b", "opus", "mp3", "epub"]
_LIBRARIES = {
    "lxml": "lxml", "charset_normalizer": "charset-normalizer", "markdown_it": "markdown-it-py",
    "pyloudnorm": "pyloudnorm", "scipy": "scipy", "av": "av",
}  # fmt: skip
_LANGUAGES = frozenset(
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka "
    "kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng "
    "nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st "
    "su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu".split()
)
"""All of ISO 639-1."""
_NO_LANGUAGES = frozenset(("mul", "und", "zxx"))
# RMS -23 to -18 dBFS, peak -3 dBFS, noise floor -60 dBFS, 44.1 kHz, MP3.
ACX: dict[str, Any] = {
    "target_rms_dbfs": -20.5,
    "max_peak_dbfs": -3.5,
    "noise_gate_dbfs": -50.0,
    "sample_rate": 44_100,
    "lead_in_s": 0.75,
    "lead_out_s": 2.0,
    "formats": ("wav", "mp3"),
}


def check_libraries() -> None:
    """Check that what books need is installed: before the first book is read, not after the last is synthesized.

    Raises:
        ConfigError: something is missing.
    """
    missing = [name for module, name in _LIBRARIES.items() if find_spec(module) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)}: needed for books, but not installed; run: {name_extra('books')}")


class AssemblyConfig(Settings):
    """How chapters sound, and as what they are written."""

    pause_voice_s: float = setting(0.12, ge=0.0, le=10.0)
    """Seconds of silence where the voice changes within a sentence."""
    pause_line_s: float = setting(0.35, ge=0.0, le=10.0)
    """After a line of verse or of a list."""
    pause_sentence_s: float = setting(0.35, ge=0.0, le=10.0)
    """After a sentence."""
    pause_paragraph_s: float = setting(0.75, ge=0.0, le=10.0)
    """After a paragraph or a stanza."""
    pause_heading_s: float = setting(1.5, ge=0.0, le=10.0)
    """After a heading."""
    pause_scene_s: float = setting(2.0, ge=0.0, le=20.0)
    """Where a scene ends."""
    lead_in_s: float = setting(0.5, ge=0.0, le=10.0)
    """Before the first word of a chapter."""
    lead_out_s: float = setting(1.5, ge=0.0, le=10.0)
    """After the last."""
    target_lufs: float = setting(-19.0, ge=-60.0, le=-5.0)
    """Loudness of a chapter, BS.1770, mono."""
    target_rms_dbfs: float | None = setting(None, ge=-60.0, le=-5.0)
    """Aim at this level over everything instead."""
    max_peak_dbfs: float = setting(-3.0, ge=-20.0, le=-0.1)
    """No sample passes it; louder moments are turned down."""
    noise_gate_dbfs: float | None = setting(None, ge=-90.0, le=-30.0)
    """Between words, what is quieter than this in the chapter is turned down by 15 dB; none leaves it."""
    sample_rate: int | None = setting(None, ge=8_000, le=192_000)
    """Hz; none keeps the clips' own."""
    formats: tuple[Format, ...] = ("wav",)
    """What is written besides VTT, SRT and JSON; `m4b` is one file for the whole book, `epub` the book to read along:
    its pages, the times of their sentences, and its audio."""
    folders: Literal["book_id", "author"] = setting("book_id")
    """Where the files of a book lie: in a folder of its book_id, or in `Author/Series/Title`, as players expect it."""

    def pause_s(self, boundary: str) -> float:
        """Return the seconds of silence after a row, by what follows it."""
        return float(getattr(self, f"pause_{boundary}_s", self.pause_sentence_s))


class ChapterChoice(Settings):
    """Which chapters of a book are read, by number or title as a dry run shows them."""

    include: Literal["all"] | tuple[int | str, ...] = setting("all")
    """These, also front or back matter by its title; `all` takes what the import finds, as you have looked at it."""
    exclude: tuple[int | str, ...] = setting(())
    """Not these."""


def _check_language(code: str) -> str:
    # Three letters are a language as likely as not: there are thousands.
    is_known = len(code) == 3 and re.fullmatch("[a-z]{3}", code) and code not in _NO_LANGUAGES
    if not (is_known or code == "auto" or code in _LANGUAGES):
        raise PydanticCustomError(
            "language",
            "expected the code of a language in small letters (ISO 639: en for English, de for German, fr for French, "
            "es for Spanish, zh for Chinese), or `auto`",
        )
    return code


class ImportConfig(Settings):
    """What is read of books, and when an import stops to ask."""

    max_left_out: float = setting(0.1, ge=0.0, le=1.0)
    """Share of a book's words that may be left out; a book over it needs an entry of `chapters`. What a book itself
    marks as license, contents, notes, caption or hidden does not count."""
    chapters: dict[str, ChapterChoice] = setting({})
    """By book_id."""
    languages: dict[str, Annotated[str, AfterValidator(_check_language)]] = setting({})
    """By book_id, where what the book says, or most of its text, is not right; `auto` judges each row by itself."""


class AudiobookConfig(Settings):
    """A catalogue: books in, chapters out."""

    # Python has a word `import` of its own; a config that is written back has the name that it is read by.
    model_config = ConfigDict(serialize_by_alias=True)

    catalogue: Address = setting()
    """Folder or object-store prefix of books: EPUB, PDF, Word, FictionBook, HTML, Markdown, text."""
    chapters: Address = setting()
    """Where chapters go: a folder or an object-store prefix."""
    casting: Address | None = setting(None)
    """YAML file with the voices of each book."""
    import_: ImportConfig = setting(ImportConfig(), alias="import")
    """What is read of the books."""
    narrator: str = setting("narrator", min_length=1)
    """The speaker_id that reads books without a cast."""
    allow_missing: bool = setting(False)
    """Make chapters without their rejected sentences and, of an audition (`limit`), without those still to be made."""
    x_real_time: float | None = setting(None, gt=0.0)
    """Seconds of audio that one LLM replica makes in a second, where you know it: what a dry run counts with as long as
    no start of the output has measured it."""
    acx: bool = setting(False)
    """Begin with settings that meet ACX, which `assembly` may change, and count a chapter that does not as failed."""
    assembly: AssemblyConfig = AssemblyConfig()
    """Pauses, loudness and formats of the chapters."""

    @model_validator(mode="before")
    @classmethod
    def _begin_with_acx(cls, data: Any) -> Any:
        # Here and not where it is used, so that the copy that is kept with the output says what was used.
        if isinstance(data, dict) and data.get("acx") is True and isinstance(data.get("assembly", {}), dict):
            return {**data, "assembly": {**ACX, **data.get("assembly", {})}}
        return data
