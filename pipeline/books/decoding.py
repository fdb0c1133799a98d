"""Bytes of a book's file become text: which encoding it is in, and whether it is text at all."""

from __future__ import annotations

import re

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
_UNREADABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_FEW_UNREADABLE, _MAX_UNREADABLE = 20, 0.05
"""Number and share of characters; of encrypted or packed bytes an eighth is unreadable."""


def decode_text(data: bytes, place: str, *, is_markup: bool = False) -> str:
    """Return the text of a file.

    UTF-16 with a mark, else UTF-8, else what markup declares, else Windows-1252, in which old Gutenberg files are.

    Args:
        data: the whole file.
        place: what messages call it.
        is_markup: it may declare its encoding, as HTML and XML do.

    Raises:
        ManifestError: it is not text.
    """
    if data.startswith(_WIDE):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode(_declared_encoding(data) if is_markup else "cp1252", "replace")
    num_unreadable = len(_UNREADABLE.findall(text))
    if num_unreadable > max(_FEW_UNREADABLE, _MAX_UNREADABLE * len(text)):
        raise ManifestError(
            f"{place}: not text: {num_unreadable:,} of {len(text):,} characters cannot be read; is it encrypted, "
            "packed or damaged?"
        )
    return text


def _declared_encoding(data: bytes) -> str:
    match = _DECLARED.search(data, 0, _DECLARED_WITHIN)
    name = (match[1] or match[2]).decode("ascii", "replace") if match else ""
    return name if _ENCODINGS.fullmatch(name) else "cp1252"
