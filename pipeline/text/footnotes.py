"""Footnote marks: `[15]`, `¹²`, and the `11` of "consultation.11 Take", which printed pages have and nobody reads."""

from __future__ import annotations

import re
from re import Match

_BRACKETED = re.compile(
    r"(?<=[\w.,;:!?”\"’')\]。，；！？」』》）])\[(?:\d{1,3}(?:\s?[,–-]\s?\d{1,3})*|(?i:note|nb|fn)\s?\d{1,3}"
    r"|citation needed|clarification needed|sic)\]|\[\^[\w-]{1,20}\]"
    r"|(?:(?<=[^\W\d_]{3})|(?<=[.,;:!?”\"’')]))\[[a-m]\](?!\w)"
)
# Letters of a word that an editor put in, or wrote otherwise: "[T]he", "Ep[p]ing", "law[s]", "walk[ed]".
_EDITED = re.compile(
    r"\[(?!(?:sic|nb|fn)\])([A-Za-z]{1,6})\](?=[a-z])|(?<=[a-z]{2})\[(s|es|t|n|r|y|ed|er|ing|ly|en|ies)\](?!\w)"
)
_RAISED = re.compile(
    r"(?:(?<=[A-Za-z]{4})|(?<=[.,;:!?”\"’\]。，；：！？」』》）])|(?<=[㐀-鿿])|(?<=\))(?![²³]))"
    r"[⁰¹²³⁴-⁹]+(?:[,–⁻ ]+[⁰¹²³⁴-⁹]+)*"
)
# A word's full stop with a number set to it, where a new sentence or nothing follows: "consultation.11 12 Take".
_ATTACHED = re.compile(r"(?<=[a-z]{3})([.!?][\"”’)]?|[\"”’])(\d{1,3}(?:(?:, ?| )\d{1,3})*)(?=\s+[A-Z“\"]|\s*$|\n)")
_NUMBERED = re.compile(
    r"\b(?:vol|fig|sec|art|chap|page|nos|num|ver|app|apt|ext|tel|fax|part|chs|pts|figs|vols|ref|eqs|sect|approx)$", re.I
)
_MAY_HAVE = re.compile(r"\w[.!?\"”’)]{1,2}\d|[⁰¹²³⁴-⁹]|\S\[|\[\^|\[[A-Za-z]+\][a-z]")


def drop_footnote_marks(text: str) -> str:
    """Leave out marks of footnotes that stand on a word or behind its full stop; exponents, units and letters stay."""
    if not _MAY_HAVE.search(text):
        return text
    text = _EDITED.sub(lambda match: match[1] or match[2], text)
    text = _BRACKETED.sub("", text)
    text = _RAISED.sub("", text)
    return _ATTACHED.sub(_drop_attached, text)


def _drop_attached(match: Match[str]) -> str:
    is_number = _NUMBERED.search(match.string[max(0, match.start() - 8) : match.start()])
    return match[0] if is_number and match[1] == "." else match[1]
