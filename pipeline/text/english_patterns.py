"""How numbers are written in English text, for the patterns of its rules."""

from __future__ import annotations

from re import Match

NUMBER = r"(?>\d++(?:,\d{3}(?!\d))*+(?:\.\d++)?+|(?<![.\d])\.\d++)"
START = r"(?<![\d.,])(?<![A-Za-z]\.)"
SIGN = r"(?:(?<![\w)\]\-–—−])[-−](?=[.\d]))?"
DASH = r"(?: [-–—~] |[-–—~])"
NO_NOUN = frozenset(
    "a an and as at back but by each even every extra for from in into is less like more of off on only or out over per"
    " plus so than that the then through to too towards under up was were when which who will with while within if"
    " would could should has had have did does do are be been because until since after before ago here there now today"
    " tomorrow yesterday he she it they we i you worth paid due owed spent lent left given lost made sent won bought"
    " sold".split()
)


def before(match: Match[str], length: int) -> str:
    """Return so many characters before a match; a slice up to its beginning would copy the text for each."""
    return match.string[max(0, match.start() - length) : match.start()]


def after(match: Match[str], length: int = 40) -> str:
    """Return so many characters behind a match."""
    return match.string[match.end() : match.end() + length]
