"""A row's text becomes what is spoken: cleaned, spelled out, cut into segments.

Imports no torch and no Ray. May import `storage`, `config` and `errors`.
"""

from pipeline.text.normalize import (
    Lexicon,
    NormalizedText,
    clean_text,
    detect_language,
    load_lexicon,
    normalize_text,
)
from pipeline.text.segments import Boundary, Segment, estimate_seconds, split_into_segments

__all__ = [
    "Boundary",
    "Lexicon",
    "NormalizedText",
    "Segment",
    "clean_text",
    "detect_language",
    "estimate_seconds",
    "load_lexicon",
    "normalize_text",
    "split_into_segments",
]
