"""Keep credentials out of whatever is written or shown: logs, run.json, metadata, errors."""

from __future__ import annotations

import logging
import os
import re
from typing import Any

_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|ACCOUNT_KEY|ACCESS_KEY|CONNECTION_STRING|CREDENTIAL", re.I)
_MIN_SECRET_CHARS = 8
_PATTERNS = (
    # What stands before the host of a URI.
    (re.compile(r"(\w://)[^/@\s'\"]+@"), r"\1...@"),
    # Signed queries.
    (re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+"), r"\1?..."),
    (re.compile(r"(?i)(secret|token|signature|password|access_?key)([\w-]*['\"]?\s*[=:]\s*)[^\s,;}]{4,}"), r"\1\2..."),
)


def redact(text: str) -> str:
    """Return a text without credentials of URIs, signed queries, or the values of secret environment variables."""
    for name, value in os.environ.items():
        if len(value) >= _MIN_SECRET_CHARS and _SECRET_NAME.search(name) and not value.startswith("/"):
            text = text.replace(value, "...")
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_all(value: Any) -> Any:
    """Redact every text of nested mappings and lists."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: redact_all(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(item) for item in value]
    return value


def has_credentials(uri: str) -> bool:
    """Tell whether a URI names a user or a key before its host."""
    scheme, separator, rest = uri.partition("://")
    return bool(separator) and scheme.lower() != "file" and "@" in rest.partition("/")[0]


class RedactingFormatter(logging.Formatter):
    """A log format whose lines hold no secret, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, then redact it."""
        return redact(super().format(record))
