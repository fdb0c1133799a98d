"""How a command ends when a signal asks for it: in order, and after a while at once."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

LONGEST_STOP_S = 20.0
"""For the orderly end; then the process ends hard."""
_AGAIN_S = 0.05


def signals_to_end() -> tuple[signal.Signals, ...]:
    """Return the signals that ask a command for its end.

    A terminal that closes sends SIGHUP, Ctrl and a backslash SIGQUIT. Where these were ignored when the command was
    started, as nohup and scripts with background jobs do, they stay so.
    """
    heeded = [each for each in (signal.SIGHUP, signal.SIGQUIT) if signal.getsignal(each) is not signal.SIG_IGN]
    return (signal.SIGTERM, signal.SIGINT, *heeded)


def answer_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Call this at each signal that asks for the end."""
    for number in signals_to_end():
        signal.signal(number, handler)


@contextmanager
def interruptible(notice: str, exit_code: int) -> Iterator[None]:
    """Turn the first of these signals into KeyboardInterrupt, an orderly end; the second ends the process at once.

    A preempted machine sends SIGTERM: the same orderly end as Ctrl-C.

    Args:
        notice: printed at the first signal.
        exit_code: of an end at once.
    """
    interrupts = _Interrupts(notice, exit_code)
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, interrupts) for number in signals_to_end()}
    try:
        yield
    finally:
        interrupts.end()
        for number, previous in before.items():
            signal.signal(number, previous)


class _Interrupts:
    def __init__(self, notice: str, exit_code: int) -> None:
        self._notice = notice
        self._exit_code = exit_code
        self._num_seen = 0
        self._timer: threading.Timer | None = None
        self._is_again = False
        self._has_ended = False
        self._signum = 0
        self._report_lost, sys.unraisablehook = sys.unraisablehook, self._look_at_lost

    def end(self) -> None:
        """Forget the signals: the command has ended."""
        self._has_ended = True
        sys.unraisablehook = self._report_lost
        if self._timer is not None:
            self._timer.cancel()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self._is_again:
            self._is_again = False
            self._interrupt(frame)
            return
        self._num_seen += 1
        self._signum = signum
        if self._num_seen > 1:
            os._exit(self._exit_code)
        print(self._notice, file=sys.stderr, flush=True)
        # If the orderly end itself hangs, a preempted machine must not.
        self._timer = threading.Timer(LONGEST_STOP_S, os._exit, (self._exit_code,))
        self._timer.daemon = True
        self._timer.start()
        self._interrupt(frame)

    def _interrupt(self, frame: FrameType | None) -> None:
        """Raise the exception, but not where logging holds its locks, which would stay held."""
        if frame is not None and frame.f_code.co_filename == logging.__file__:
            self._try_again()
        else:
            raise KeyboardInterrupt

    def _look_at_lost(self, lost: Any) -> None:
        """Interrupt again where Python swallowed the exception: at a fork, in a `__del__`."""
        if self._num_seen and issubclass(lost.exc_type, KeyboardInterrupt):
            self._try_again()
        else:
            self._report_lost(lost)

    def _try_again(self) -> None:
        def send() -> None:
            if not self._has_ended:
                self._is_again = True
                signal.pthread_kill(threading.main_thread().ident or 0, self._signum)

        timer = threading.Timer(_AGAIN_S, send)
        timer.daemon = True
        timer.start()
