"""The parts that the patterns of Chinese readings share."""

from __future__ import annotations

from collections.abc import Callable
from re import Match

NUMBER = r"(?>\d++(?:,\d{3}(?!\d))*+(?:\.\d++)?+)"
START = r"(?<![\d.])(?<!\d,)"
SIGN = r"(?:(?<![A-Za-z0-9)）\]])[-−](?=\d))?"
TO = r"(?: [-–—~～至到] |[-–—~～至到]|——)"
HAN = r"㐀-鿿"

Reading = Callable[[Match[str]], str]
Rules = tuple[tuple[str, Reading], ...]
"""Patterns and their readings, in order."""
