"""Entities that a document declares for itself: short texts are put in their place, everything else is refused."""

from __future__ import annotations

import html
import re

from pipeline.books.limits import check_limit
from pipeline.errors import ManifestError

_ANY = re.compile(r"<!ENTITY", re.I)
_TEXT = re.compile(r"""<!ENTITY\s+([\w.:-]{1,100})\s+(?:"([^"<]{0,200})"|'([^'<]{0,200})')\s*>""")
_SUBSET = re.compile(r"<!DOCTYPE[^>\[]{0,1000}\[[^\]]{0,100000}\]\s*>", re.I)
_OTHERS = re.compile(r"&(?!#)")


def expand_entities(text: str, place: str) -> str:
    """Return a document without declarations of entities, and with their texts where it uses them.

    Args:
        text: XML or HTML.
        place: what messages call it.

    Raises:
        ManifestError: an entity stands for a file, an address, markup or other entities, which could hide anything.
    """
    if not _ANY.search(text):
        return text
    declared = {match[1]: match[2] or match[3] or "" for match in _TEXT.finditer(text)}
    text = _TEXT.sub("", text)
    if _ANY.search(text) or any(_OTHERS.search(value) for value in declared.values()):
        raise ManifestError(
            f"{place}: declares entities of its own that are more than a short text, which can hide files or text; "
            "remove <!ENTITY ...>"
        )
    text = _SUBSET.sub("", text)
    if not declared:
        return text
    used = re.compile("&(" + "|".join(map(re.escape, declared)) + ");")
    num_chars = len(text) + sum(len(declared[match[1]]) for match in used.finditer(text))
    check_limit("max_text_bytes", num_chars, place, "characters with its entities")
    return used.sub(lambda match: html.escape(html.unescape(declared[match[1]])), text)
