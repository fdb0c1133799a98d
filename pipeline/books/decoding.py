"""Bytes of a book's file become text: which encoding it is in, and whether it is text at all."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from pipeline.errors import ManifestError

_WIDE = (b"\xff\xfe", b"\xfe\xff")
_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}?encoding=["']([\w.:-]+)|<meta[^>]{0,200}?charset=["']?([\w.:-]+)""", re.I)
_DECLARED_WITHIN = 4_096
# Those of the web, as Python calls them. Others (UTF-7, escapes) hide text from whoever looks at the file.
_ENCODINGS = re.compile(
    r"(?:us-)?ascii|utf-?8|latin-?1|iso-?8859-\d{1,2}|windows-(?:874|125\d)|cp(?:874|125\d)|koi8-[ru]|gb(?:2312|k|18030)|"
    r"big5(?:-hkscs)?|shift[-_]jis|euc-(?:jp|kr)|macintosh|mac-?roman",
    re.I,
)
# What is called by the first is read as the second, which has all of it and what people write besides.
_WIDER = {
    "gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "big5-hkscs": "big5hkscs", "shift_jis": "cp932",
    "shift-jis": "cp932", "euc-kr": "cp949", "ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-1": "cp1252",
    "latin-1": "cp1252", "latin1": "cp1252",
}  # fmt: skip
_GUESSED = [
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r", "iso8859_2", "iso8859_5",
    "iso8859_7", "gb18030", "big5", "shift_jis", "cp932", "euc_jp", "euc_kr", "mac_roman",
]  # fmt: skip
_UNREADABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_FEW_UNREADABLE, _MAX_UNREADABLE = 20, 0.05
"""Number and share of characters; of encrypted or packed bytes an eighth is unreadable."""
_FEW_BYTES = 0.06
"""Share of bytes past ASCII up to which a text is in Western letters: English with quotation marks, French, German."""
_SAMPLE_BYTES = 200_000
_LONE_LETTER = re.compile(rb"[\x91-\x94\xc0\xc1\xc4-\xe1\xe3-\xff]")
_WRONG_BYTES = re.compile("[\udc80-\udcff]+")
_ASCII = bytes(range(128))
_MAX_SHOWN = 3
_TWICE = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122\u20ac]{1,3}"
)
_MIN_TWICE, _MAX_ACCENTED = 3, 0.4
_PLAIN_LETTER, _ACCENTED_LETTER = re.compile("[A-Za-z]"), re.compile("[\u00c0-\u024f]")


@dataclass(frozen=True)
class Decoded:
    """A file's text.

    Attributes:
        text: all of it.
        guess: the encoding, where nothing says it and it had to be guessed; else empty.
        damage: which bytes of a text in UTF-8 are none, and how they were read; else empty.
    """

    text: str
    guess: str = ""
    damage: str = ""


def decode_text(data: bytes, place: str, *, is_markup: bool = False) -> Decoded:
    """Return the text of a file.

    UTF-16 with a mark, else UTF-8, in which a few bytes may be wrong, else what markup declares, else Windows-1252 for
    Western letters, in which old Gutenberg files are, else what charset-normalizer finds.

    Args:
        data: the whole file.
        place: what messages call it.
        is_markup: it may declare its encoding, as HTML and XML do.

    Raises:
        ManifestError: it is not text, or text that somebody has read and written in a wrong encoding.
    """
    guess = damage = ""
    if data.startswith(_WIDE):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text, damage = _mend_utf8(data)
            if not damage:
                declared = _declared_encoding(data) if is_markup else ""
                guess = "" if declared else _guess_encoding(data)
                text = data.decode(declared or guess, "replace")
    num_unreadable = len(_UNREADABLE.findall(text))
    if num_unreadable > max(_FEW_UNREADABLE, _MAX_UNREADABLE * len(text)):
        if text.count("\0") > 0.9 * num_unreadable and _is_wide(data):
            raise ManifestError(
                f"{place}: every other byte is zero, as in UTF-16 text without its mark; save the book again as UTF-8"
            )
        raise ManifestError(
            f"{place}: not text: {num_unreadable:,} of {len(text):,} characters cannot be read; is it encrypted, "
            "packed or damaged?"
        )
    _refuse_mojibake(text, place)
    return Decoded(text, guess, damage)


def _mend_utf8(data: bytes) -> tuple[str, str]:
    """Return a text of which most letters past ASCII are UTF-8, and which bytes are not; both empty of another text.

    A byte alone that is a letter or a quotation mark in Windows-1252 is read so; what is left of a longer sign is not.
    """
    text = data.decode("utf-8-sig", "surrogateescape")
    wrong = list(_WRONG_BYTES.finditer(text))
    num_wrong = sum(len(match[0]) for match in wrong)
    if 2 * num_wrong >= len(data.translate(None, _ASCII)):
        return "", ""
    places = [
        f"{match[0].encode('ascii', 'surrogateescape').hex(' ').upper()} in line "
        f"{text.count(chr(10), 0, match.start()) + 1:,}"
        for match in wrong[:_MAX_SHOWN]
    ]
    shown = ", ".join(places) + (", ..." if len(wrong) > len(places) else "")
    return _WRONG_BYTES.sub(_read_wrong, text), (
        f"{num_wrong:,} byte(s) of it are not UTF-8 ({shown}); letters of Windows-1252 among them were read, the rest "
        "is left out"
    )


def _read_wrong(match: re.Match[str]) -> str:
    data = match[0].encode("ascii", "surrogateescape")
    return data.decode("cp1252") if _LONE_LETTER.fullmatch(data) else "\ufffd"


def _is_wide(data: bytes) -> bool:
    """Return whether zeros stand at even or at odd places alone."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    return min(even, odd) < 0.02 * max(even, odd)


def _declared_encoding(data: bytes) -> str:
    match = _DECLARED.search(data, 0, _DECLARED_WITHIN)
    name = (match[1] or match[2]).decode("ascii", "replace").lower() if match else ""
    if not _ENCODINGS.fullmatch(name) or re.fullmatch(r"utf-?8", name):
        return ""
    return _WIDER.get(name, name)


def _guess_encoding(data: bytes) -> str:
    sample = data[:_SAMPLE_BYTES]
    num_high = sum(byte > 127 for byte in sample)
    if num_high < _FEW_BYTES * len(sample):
        return "cp1252"
    from charset_normalizer import from_bytes  # Of an extra; `check_libraries` has reported where it is missing.

    best = from_bytes(sample, cp_isolation=_GUESSED).best()
    return best.encoding if best is not None else "cp1252"


def _refuse_mojibake(text: str, place: str) -> None:
    """Refuse text whose letters were read in a wrong encoding and kept so, and say which one it may have been.

    Raises:
        ManifestError: it is such text.
    """
    if text.isascii():
        return
    pairs = Counter(match[0] for match in _TWICE.finditer(text[: 4 * _SAMPLE_BYTES]))
    mended = {pair: _read_again(pair) for pair in pairs}
    num_twice = sum(count for pair, count in pairs.items() if mended[pair])
    if num_twice >= _MIN_TWICE and num_twice > 0.8 * pairs.total():
        pair = next(pair for pair, _ in pairs.most_common() if mended[pair])
        raise ManifestError(
            f"{place}: {num_twice:,} letters such as {pair!r} were once UTF-8 ({mended[pair]!r}) and were read as "
            "Windows-1252; save the book again as UTF-8"
        )
    num_accented = len(_ACCENTED_LETTER.findall(text[:_SAMPLE_BYTES]))
    num_letters = num_accented + len(_PLAIN_LETTER.findall(text[:_SAMPLE_BYTES]))
    if num_accented > max(_MIN_TWICE, _MAX_ACCENTED * num_letters):
        sample = text[:_SAMPLE_BYTES].encode("cp1252", "ignore")
        guess = _guess_encoding(sample)
        said = (
            ""
            if guess == "cp1252"
            else f"; it may be {guess}: {' '.join(sample.decode(guess, 'replace').split())[:60]!r}"
        )
        raise ManifestError(
            f"{place}: {num_accented:,} of {num_letters:,} letters have accents, as when a text is read in a wrong "
            f"encoding{said}; save the book again as UTF-8"
        )


def _read_again(pair: str) -> str:
    try:
        mended = pair.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return ""
    return mended if len(mended) == 1 else ""
