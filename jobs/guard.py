"""Exit codes that cannot lie: a command runs in a child process, and its parent believes the command's own word alone.

Ray ends a driver from C++ with exit code 1 when one of its daemons dies, and Python ends with 1 after an exception that
nobody caught; for this project 1 means that a run finished. So the child says its code through a pipe once the command
returned. A child that ends without a word was stopped, whatever its own exit code.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from jobs.call import call
from jobs.console import EXIT_INTERRUPTED, EXIT_STOPPED, RESUME, committing, say, settle
from jobs.signals import answer_signals, signals_to_end
from jobs.streams import secure_streams
from pipeline.config.secrets import redact

_PR_SET_PDEATHSIG = 1


def run_guarded(main: Callable[[], int]) -> int:
    """Run a command in a child of its own and return its exit code; 3 where the child ended without telling one.

    Signals that ask for its end are passed on. If this process is killed, so is the child: nothing goes on unseen.

    Args:
        main: the command; called in the child.
    """
    secure_streams()
    heard, said = os.pipe()
    os.set_blocking(heard, False)  # Somebody whom the child left behind may hold its other end.
    alive, kept = os.pipe()  # Nobody writes: the child reads its end when this process is gone.
    sys.stdout.flush()
    # A signal that comes before there is somebody to pass it on waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on := signals_to_end())
    parent, child = os.getpid(), os.fork()
    if child == 0:
        os.setpgid(0, 0)  # Ctrl-C reaches a terminal's whole group; the parent passes it on, once.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
        os.close(kept)
        _end_with(parent, alive)
        _run_child(main, said)
    os.close(said)
    os.close(alive)

    def pass_on(signum: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signum)

    answer_signals(pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:  # One long call would miss a signal just before it.
        time.sleep(0.02)
    answer_signals(signal.SIG_IGN)  # On its way out Python lets go of what it handles: the code would be the signal's.
    word = b""
    with suppress(BlockingIOError):
        word = os.read(heard, 64)
    code = word.lstrip(b"c")
    return int(code) if code else _explain(os.waitstatus_to_exitcode(ended[1]), commits=word != code)


def _explain(status: int, *, commits: bool) -> int:
    if status == EXIT_INTERRUPTED:
        return EXIT_INTERRUPTED  # A second signal ended it at once.
    how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    cause = "one of Ray's own processes may have died, or memory ran out: the lines above tell"
    hint = f"{cause}\n{RESUME}" if commits else "memory may have run out"
    print(f"stopped: the process that did the work ended {how} and named no result; {hint}", file=sys.stderr)
    return EXIT_STOPPED


def _run_child(main: Callable[[], int], said: int) -> NoReturn:
    committing.tell = lambda: os.write(said, b"c")  # Before its code: that it may commit work.
    for number in signals_to_end():
        if signal.getsignal(number) is signal.SIG_DFL:  # Else `jobs` looks after it until the command does.
            signal.signal(number, signal.default_int_handler)
    try:
        code = call(main)
    except KeyboardInterrupt:  # While packages were imported, before the command itself looks after it.
        print("interrupted before any work was begun", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except BaseException:
        problem = f"{traceback.format_exc()}stopped: an error that nobody foresaw; please report it"
        say(redact(problem) + f"\n{RESUME}" * committing.begun, error=True)
        code = EXIT_STOPPED
    os.write(said, str(code := settle(code)).encode())
    sys.exit(code)


def _end_with(parent: int, alive: int) -> None:
    """See to it that this process does not outlive its parent, however that ends."""
    if sys.platform == "linux":
        # At once, and also while C++ holds on to the interpreter.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(EXIT_STOPPED)

    def watch() -> None:
        os.read(alive, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
