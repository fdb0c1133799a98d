"""What `python -m jobs.benchmark` measures, and against what. Nothing but that command imports it.

`data/` holds the configuration and tokenizer of the official size, and a chapter to speak; every network's weights are
random and made on the spot.
"""

from pathlib import Path

_DATA = Path(__file__).parent / "data"
OFFICIAL_SIZES = _DATA / "official"
"""A model directory without weights: configurations, and the tokenizer, compressed."""
BOOK = _DATA / "alice-extract.txt"
"""The beginning of *Alice's Adventures in Wonderland*, as Project Gutenberg has it."""
