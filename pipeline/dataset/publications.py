"""Where a corpus was published (publications.json): a takedown tells, and the next publication brings it there.

Knows nothing of how that is done.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.errors import ConfigError
from pipeline.storage import ObjectExists, PreconditionFailed, Storage

_PATH = "publications.json"


def read_publications(storage: Storage) -> dict[str, dict[str, Any]]:
    """Return the last publication by address: `night` and `revision`.

    Args:
        storage: the corpus.

    Raises:
        ConfigError: the object is damaged.
    """
    return _read(storage)[0]


def note_publication(storage: Storage, place: str, night: str, revision: int) -> None:
    """Note that a snapshot is at a place now, by compare-and-swap."""
    while True:
        known, etag = _read(storage)
        wanted = {**known, place: {"night": night, "revision": revision}}
        if wanted == known:
            return
        condition: dict[str, Any] = {"if_absent": True} if etag is None else {"if_match": etag}
        try:
            storage.put(_PATH, json.dumps(wanted, indent=1, sort_keys=True).encode(), **condition)
            return
        except (ObjectExists, PreconditionFailed):
            continue


def _read(storage: Storage) -> tuple[dict[str, dict[str, Any]], str | None]:
    try:
        data, etag = storage.get_with_etag(_PATH)
        return {str(place): dict(found) for place, found in json.loads(data).items()}, etag
    except FileNotFoundError:
        return {}, None
    except (ValueError, TypeError, AttributeError):
        raise ConfigError(f"{storage.uri_of(_PATH)}: damaged; delete it, or put back a copy of it") from None
