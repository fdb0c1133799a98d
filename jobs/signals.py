"""How a command ends when a signal asks for it: in order, and after a while at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

LONGEST_STOP_S = 20.0
"""For the orderly end; then the process ends hard."""


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

    def end(self) -> None:
        """Forget the signals: the command has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self._num_seen += 1
        if self._num_seen > 1:
            os._exit(self._exit_code)
        print(self._notice, file=sys.stderr, flush=True)
        # If the orderly end itself hangs, a preempted machine must not.
        self._timer = threading.Timer(LONGEST_STOP_S, os._exit, (self._exit_code,))
        self._timer.daemon = True
        self._timer.start()
        raise KeyboardInterrupt
