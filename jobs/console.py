"""What every command shares: logging, the exit code of each kind of error, and what is printed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from jobs.signals import interruptible
from jobs.streams import lost_output
from pipeline.config.printable import printable
from pipeline.config.secrets import RedactingFormatter, redact
from pipeline.errors import DamagedCommit, RunStopped, StorageError, SynthesisError

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
RESUME = "Committed work is safe; run the same command again to go on."
"""For a command that commits work, and was stopped."""
_NOTICE = "stopping: ending what is being written (again to stop at once)"


class _Committing:
    """Whether this process commits work, and whom to tell: `jobs.guard` speaks for one that ends without a word."""

    begun = False
    tell: Callable[[], object] | None = None


committing = _Committing()


def say(text: str = "", *, error: bool = False) -> None:
    """Print lines that may hold what others wrote: ids, titles, paths."""
    print(printable(text), file=sys.stderr if error else sys.stdout, flush=error)


def say_whose_voice(weights: str) -> None:
    """Say that the demo's voice is not the real one; nothing of other weights."""
    if weights == "demo":
        say('This is the small demo voice. For the real one see docs/voices.md, "Bring the official weights".')


def say_damaged(status: Mapping[str, Any]) -> None:
    """Say which commits of an output cannot be read; the counts of `status` are without them."""
    if status["num_damaged_commits"]:
        say(f"{status['num_damaged_commits']:,} commit(s) cannot be read, and are counted nowhere:", error=True)
        for text in status["damaged"]:
            say(f"  {redact(text)}", error=True)


def run_command(command: Callable[[], int], notice: str | None = None, *, commits: bool = False) -> int:
    """Run a command and turn its errors into messages and exit codes, see `EXIT_CODES`.

    Args:
        command: returns its exit code.
        notice: shown when a signal asks for the end.
        commits: it commits work to an output, which the same command goes on with; else nothing is said of that.
    """
    committing.begun = commits
    if commits and committing.tell is not None:
        committing.tell()
    if notice is None:
        notice = _NOTICE if commits else "stopping (again to stop at once)"
    resume = RESUME if commits else "Run the same command again."
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("httpx", "botocore", "boto3", "urllib3", "azure", "msal", "google", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        with interruptible(notice, EXIT_INTERRUPTED):
            return command()
    except DamagedCommit as error:  # The same command would stop at it again.
        say(f"stopped: {redact(str(error))}", error=True)
        return EXIT_STOPPED
    except (RunStopped, StorageError) as error:
        say(f"stopped: {redact(str(error))}\n{resume}", error=True)
        return EXIT_STOPPED
    except FileNotFoundError as error:  # What may be missing is reported where it is read: this was there when listed.
        say(f"stopped: {redact(str(error))}: deleted since it was listed; find out who else writes there", error=True)
        return EXIT_STOPPED
    except PermissionError as error:
        say(f"stopped: {redact(str(error))}; fix the permissions or choose another place", error=True)
        return EXIT_STOPPED
    except SynthesisError as error:
        say(f"error: {redact(str(error))}", error=True)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print(f"interrupted: {RESUME[0].lower()}{RESUME[1:]}" if commits else "interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def settle(code: int) -> int:
    """Write what is left of standard output; return the code to end with, 3 if some of what was asked for is lost."""
    problem = lost_output()
    if problem is None or code not in (EXIT_OK, EXIT_REJECTIONS):
        return code
    remedy = "make room, then run the same command again"
    print(f"stopped: standard output cannot be written ({problem.strerror}); {remedy}", file=sys.stderr)
    return EXIT_STOPPED
