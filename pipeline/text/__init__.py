"""A row's text becomes what is spoken: cleaned, spelled out, cut into segments.

Imports no torch and no Ray. May import `storage`, `config` and `errors`.
"""

from pipeline.text.languages import detect_language
from pipeline.text.marks import end_with_mark, use_known_marks
from pipeline.text.normalize import (
    Lexicon,
    NormalizedText,
    clean_text,
    load_lexicon,
    normalize_text,
)
from pipeline.text.pace import estimate_seconds
from pipeline.text.readable import Unread, describe_unread
from pipeline.text.segments import Boundary, Segment, split_into_segments
from pipeline.text.support import TextSupport, read_text_support

__all__ = [
    "Boundary",
    "Lexicon",
    "NormalizedText",
    "Segment",
    "TextSupport",
    "Unread",
    "clean_text",
    "describe_unread",
    "detect_language",
    "end_with_mark",
    "estimate_seconds",
    "load_lexicon",
    "normalize_text",
    "read_text_support",
    "split_into_segments",
    "use_known_marks",
]
