"""Keep credentials out of whatever is written or shown: logs, run.json, metadata, errors."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from typing import Any

from pipeline.config.printable import printable

_SECRET_NAME = re.compile(
    r"SECRET|TOKEN(?!IZER)|PASSW|ACCOUNT_KEY|ACCESS_KEY|API_?KEY|PRIVATE_KEY|CONNECTION_STRING|CREDENTIAL", re.I
)
# The value is a place, not the secret itself.
_PLACE_NAME = re.compile(r"_(FILE|PATH|DIR|URI|URL)$", re.I)
_SECRET_VALUE = re.compile(r"-----BEGIN |\b(AKIA|ASIA)[0-9A-Z]{16}\b|\b(hf_|ghp_|xox[bp]-)\w{16,}")
# What signs an address is new each time, and opens what it names: of S3 and Google, Tencent, Akamai, Backblaze,
_SIGNED_FIELD = re.compile(
    r"x-(amz|goog|oss|cos|obs)-.*|sig|signature|q-(sign|ak|key|header|url)\b.*|q-signature|hdn(ts|ea|tl)|authorization",
    re.I,
)
# and, beside a field of that name, of Azure, CloudFront and older ones of S3 and Google.
_BESIDE_SIGNATURE = re.compile(
    r"s[eprstv]|spr|srt|sip|sdd|sk\w{1,4}|saoid|suoid|scid|expires|policy|key-pair-id|\w*access_?(key)?id", re.I
)
_MIN_SECRET_CHARS = 8
_BEFORE_HOST = r"(\b(?:https?|ftp|s3a?|gs|az):/{1,3}|(?<!/)//)(?!/)"
# A name, then a colon and no port. What follows is a password, which may hold what belongs into no address: slashes,
# quotes, spaces; its end may be written otherwise.
_NAME_AND_PASSWORD = (
    r"[^\s/@:'\"\[]*:(?!\d{1,5}(?:[\s/?#'\"),;]|$))(?=\S)[\s\S]{1,200}?(?:@|\uff20|%40)(?:[^/@\s'\"]*@)*"
)
_PASSWORD = re.compile(rf"(?:[\w.+-]*:)?(?i:{_BEFORE_HOST}){_NAME_AND_PASSWORD}")
_PATTERNS = (
    # What stands before the host of a URI.
    (re.compile(rf"(?i){_BEFORE_HOST}(?:[^/\s'\"]+@|{_NAME_AND_PASSWORD})"), r"\1...@"),
    (re.compile(r"(?i)(\bbearer\s+)[\w.~+/-]{8,}"), r"\1..."),
    # Signed queries.
    (re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+"), r"\1?..."),
    (re.compile(r"(?i)([?&;#](?:x-(?:amz|goog)-\w+|sig|signature)=)[^&\s'\"]+"), r"\1..."),
    (
        re.compile(
            r"(?i)(secret|token|signature|password|api_?key|access_?key|account_?key)([\w-]*['\"]?\s*[=:]\s*)[^\s,;}]{4,}"
        ),
        r"\1\2...",
    ),
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
    scheme, separator, rest = uri.partition("//")
    is_address = bool(separator) and (not scheme or scheme.endswith(":"))
    return (is_address and "@" in rest.partition("/")[0]) or _PASSWORD.match(uri) is not None


def is_signed(uri: str) -> bool:
    """Tell whether an address carries a signature, which opens what it names."""
    fields = uri.partition("?")[2].partition("#")[0].split("&")
    return any(_SIGNED_FIELD.fullmatch(field.partition("=")[0]) for field in fields)


def without_signature(uri: str) -> str:
    """Return an address that is the same each time it is signed, and shows nothing that opens what it names.

    The fields of a signature are left out. What else an `http` address asks for shows as a hash: it may tell two files
    apart, and it may be a key.
    """
    place, mark, query = uri.partition("?")
    if not mark or "://" not in place:
        return redact(uri)
    fields = [field for field in query.partition("#")[0].split("&") if field]
    kept = [field for field in fields if not _signs(field, is_signed(uri))]
    if place.startswith(("http://", "https://")) and kept:
        kept = [hashlib.sha256("&".join(kept).encode("utf-8", "surrogatepass")).hexdigest()[:16]]
    return redact(place) + (f"?{'&'.join(kept)}" if kept else "")


def _signs(field: str, is_beside: bool) -> bool:
    name = field.partition("=")[0]
    return bool(
        _SIGNED_FIELD.fullmatch(name)
        or (is_beside and _BESIDE_SIGNATURE.fullmatch(name))
        or _SECRET_NAME.search(name)
        or _SECRET_VALUE.search(field)
    )


def looks_secret(name: str, value: str) -> bool:
    """Tell whether a setting looks like a credential, by its name or its value."""
    is_named_so = bool(_SECRET_NAME.search(name)) and not _PLACE_NAME.search(name)
    return is_named_so or bool(_SECRET_VALUE.search(value)) or redact(value) != value


class RedactingFormatter(logging.Formatter):
    """A log format whose lines hold no secret and nothing that steers a terminal, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, then redact it."""
        return printable(redact(super().format(record)))
