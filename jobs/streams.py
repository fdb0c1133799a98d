"""Standard streams that cannot change what a command's exit code says: closed ones, full disks, readers that left."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any


class Stream(io.TextIOWrapper):
    """Standard output or error; what it cannot write is dropped, and kept in mind.

    A reader that left (`| head`) has seen enough: that is no problem. A character that the encoding does not have is
    written as an escape.
    """

    problem: OSError | None = None
    """Why something that was printed is lost."""
    before: Any = None
    """What stood in this place, which others may hold; it has the same buffer, and closes it when it goes."""

    def write(self, text: str, /) -> int:
        """Write a text; returns its length, also if it is lost."""
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):
            self.problem = self.problem or error
        # What is buffered and what comes yet goes nowhere, so that nothing fails a second time.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def secure_streams() -> None:
    """Put a `Stream` in the place of standard output and error, and open what was closed; once for a process.

    A closed stream would give its number to the next file that is opened, which prints would then go into.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # Takes the lowest free number, which is this one.
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)
    for name, number in (("stdout", 1), ("stderr", 2)):
        before = getattr(sys, name)
        if isinstance(before, Stream):
            continue
        if before is None:
            stream = Stream(io.BufferedWriter(io.FileIO(number, "w", closefd=False)), "utf-8", "backslashreplace")
        else:
            with suppress(OSError):
                before.flush()
            stream = Stream(
                before.buffer, before.encoding, "backslashreplace",
                line_buffering=before.line_buffering, write_through=before.write_through,
            )  # fmt: skip
            stream.before = before
        setattr(sys, name, stream)


def lost_output() -> OSError | None:
    """Write what is left of standard output; return why some of it is lost, if it is."""
    sys.stdout.flush()
    return sys.stdout.problem if isinstance(sys.stdout, Stream) else None
