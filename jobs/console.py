"""What every command shares: logging, and the exit code of each kind of error."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType

from pipeline.errors import RunStopped, StorageError, VoicingError

EXIT_OK = 0
EXIT_REJECTIONS = 1
EXIT_BAD_INPUT = 2
EXIT_STOPPED = 3
EXIT_INTERRUPTED = 130


def run_command(command: Callable[[], int]) -> int:
    """Run a command and turn its errors into messages and exit codes.

    0 all ok, 1 finished with rejections, 2 bad config or input, 3 stopped and resumable, 130 interrupted.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for noisy in ("httpx", "botocore", "boto3", "urllib3", "smart_open", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A preempted machine sends SIGTERM: the same orderly end as Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return command()
    except (RunStopped, StorageError) as error:
        print(f"stopped: {error}\nCommitted work is safe; run the same command again to go on.", file=sys.stderr)
        return EXIT_STOPPED
    except VoicingError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted: committed work is safe; run the same command again to go on.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has seen enough.
        sys.stderr.close()
        return EXIT_OK


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
