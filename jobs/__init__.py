"""The commands, one file each."""

import os
import sys
import traceback
from types import TracebackType


def _stop(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End a command that cannot even be imported: Python's own exit code, 1, means that a run finished."""
    if issubclass(kind, KeyboardInterrupt):
        os._exit(130)
    traceback.print_exception(kind, error, trace)
    print("stopped: this command cannot start; see that all of it is installed and can be read", file=sys.stderr)
    sys.stderr.flush()
    os._exit(3)


if sys.argv and sys.argv[0] == "-m":  # As `python -m jobs.NAME` is while it is looked for; else this is a library.
    sys.excepthook = _stop
