"""The commands, one file each."""

import os
import sys
import traceback
from types import FrameType, TracebackType
from typing import NoReturn

from jobs.signals import answer_signals
from jobs.streams import secure_streams


def _end_interrupted() -> NoReturn:
    os.write(2, b"interrupted before any work was begun\n")
    os._exit(130)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End at once until a command begins: of an exception in an import, native code may make another, or nothing."""
    _end_interrupted()


def _stop(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End a command that cannot even be imported: Python's own exit code, 1, means that a run finished."""
    if issubclass(kind, KeyboardInterrupt):
        _end_interrupted()
    traceback.print_exception(kind, error, trace)
    print("stopped: this command cannot start; see that all of it is installed and can be read", file=sys.stderr)
    sys.stderr.flush()
    os._exit(3)


# `python -m jobs.NAME` while it is looked for, or the command for all; else this is a library.
if os.path.basename((sys.argv or [""])[0]) in ("-m", "spark-tts-batch"):
    secure_streams()
    sys.excepthook = _stop
    answer_signals(_interrupt)
