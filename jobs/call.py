"""How a command's `main` is called: within a folder that exists, and with a code for each of its ends."""

from __future__ import annotations

import os
from collections.abc import Callable

from jobs.console import EXIT_BAD_INPUT, EXIT_OK, EXIT_STOPPED, say
from pipeline.config.secrets import redact


def call(main: Callable[[], int]) -> int:
    """Run a command; return its exit code, also where argparse ends it.

    Args:
        main: the command.
    """
    try:
        os.getcwd()
    except OSError as error:  # Native code ends a process that has none, and says that it lacks a library.
        remedy = "go to one that exists (`cd .` where it was made anew), then run the same command again"
        say(f"error: the working folder cannot be used ({error.strerror}); {remedy}", error=True)
        return EXIT_BAD_INPUT
    try:
        return main()
    except SystemExit as error:  # How argparse ends.
        if error.code is None or isinstance(error.code, int):
            return error.code or EXIT_OK
        say(redact(str(error.code)), error=True)
        return EXIT_STOPPED
