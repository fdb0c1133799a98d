"""How long a run goes on while its store fails: as long as something is committed every now and then."""

from __future__ import annotations

import logging
import time

from pipeline.errors import StorageError

logger = logging.getLogger(__name__)
DEFAULT_GIVE_UP_S = 300.0


class StorePatience:
    """Counts the time in which requests failed and nothing was committed.

    Args:
        give_up_after_s: `storage.give_up_after_s`.
    """

    def __init__(self, give_up_after_s: float = DEFAULT_GIVE_UP_S) -> None:
        self._give_up_after_s = give_up_after_s
        self._failing_since: float | None = None

    def note_commit(self) -> None:
        """The store took something."""
        self._failing_since = None

    def note_failure(self, error: StorageError, consequence: str) -> None:
        """Log a failed request and what becomes of it.

        Raises:
            StorageError: nothing was committed for too long.
        """
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since >= self._give_up_after_s:
            raise StorageError(
                f"{error}; nothing was committed for {self._give_up_after_s:g} s (storage.give_up_after_s)"
            ) from None
        logger.warning("%s; %s", error, consequence)
