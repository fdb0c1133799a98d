"""What every command shares: logging, the exit code of each kind of error, and what is printed."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from pipeline.config.printable import printable
from pipeline.config.secrets import RedactingFormatter, redact
from pipeline.errors import RunStopped, StorageError, SynthesisError

EXIT_OK = 0
EXIT_REJECTIONS = 1
EXIT_BAD_INPUT = 2
EXIT_STOPPED = 3
EXIT_INTERRUPTED = 130
EXIT_CODES = (
    "exit codes: 0 done; 1 done, but something is rejected, missing or different; 2 wrong options, config or input; "
    "3 stopped, and the same command goes on; 130 interrupted"
)
"""For the end of each command's help."""
_LONGEST_STOP_S = 20.0
_NOTICE = "stopping: ending what is being written (again to stop at once)"


def say(text: str = "", *, error: bool = False) -> None:
    """Print lines that may hold what others wrote: ids, titles, paths."""
    print(printable(text), file=sys.stderr if error else sys.stdout, flush=error)


def run_command(command: Callable[[], int], notice: str = _NOTICE) -> int:
    """Run a command and turn its errors into messages and exit codes, see `EXIT_CODES`.

    Args:
        command: returns its exit code.
        notice: shown when a signal asks for the end.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("httpx", "botocore", "boto3", "urllib3", "azure", "msal", "google", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A preempted machine sends SIGTERM: the same orderly end as Ctrl-C.
    interrupts = _Interrupts(notice)
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, interrupts) for number in (signal.SIGTERM, signal.SIGINT)}
    else:
        before = {}
    try:
        return command()
    except (RunStopped, StorageError) as error:
        say(f"stopped: {redact(str(error))}\nCommitted work is safe; run the same command again to go on.", error=True)
        return EXIT_STOPPED
    except FileNotFoundError as error:  # What may be missing is reported where it is read: this was there when listed.
        say(f"stopped: {redact(str(error))}: deleted since it was listed; find out who else writes there", error=True)
        return EXIT_STOPPED
    except SynthesisError as error:
        say(f"error: {redact(str(error))}", error=True)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted: committed work is safe; run the same command again to go on.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has seen enough.
        sys.stderr.close()
        return EXIT_OK
    finally:
        interrupts.end()
        for number, previous in before.items():
            signal.signal(number, previous)


class _Interrupts:
    """The first signal asks for an orderly end, the second ends the process at once."""

    def __init__(self, notice: str) -> None:
        self._notice = notice
        self._num_seen = 0
        self._timer: threading.Timer | None = None

    def end(self) -> None:
        """Forget the signals: the command has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self._num_seen += 1
        if self._num_seen > 1:
            os._exit(EXIT_INTERRUPTED)
        print(self._notice, file=sys.stderr, flush=True)
        # If the orderly end itself hangs, a preempted machine must not.
        self._timer = threading.Timer(_LONGEST_STOP_S, os._exit, (EXIT_INTERRUPTED,))
        self._timer.daemon = True
        self._timer.start()
        raise KeyboardInterrupt
