"""Which form a file of a manifest has, by its name."""

from __future__ import annotations

import re

DELIMITED = (".csv", ".tsv", ".tab", ".psv")
TEXT = (".txt", ".text")
JSON = (".jsonl", ".ndjson", ".json")
EXCEL = (".xlsx", ".xlsm")
PARQUET = ".parquet"


def suffix_of_form(path: str) -> str | None:
    """Return the suffix that says a file's form, without that of packing; None where it says none."""
    found = re.search(r"(\.[a-z0-9]+)(\.(gz|bz2|xz))?$", path.lower())
    return found[1] if found and found[1] in (PARQUET, *DELIMITED, *TEXT, *JSON, *EXCEL) else None


def is_table(path: str) -> bool:
    """Tell whether a file of a folder without Parquet is taken for a table: not text, which may be about the others."""
    return suffix_of_form(path) not in (None, PARQUET, *TEXT)


def list_forms() -> str:
    """Return the suffixes of all forms, for messages."""
    return ", ".join((PARQUET, *DELIMITED, *JSON, *EXCEL, TEXT[0]))
