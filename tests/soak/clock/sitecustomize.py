"""A clock that jumps, for each Python process of one run: it is off by the seconds that the file SOAK_CLOCK holds.

Ray's own programs and the file system keep the true time, and so does what a process waits by. `datetime` does, too:
native code breaks where that is another class.
"""

import os
import time

_true_time, _true_time_ns = time.time, time.time_ns


def _offset_s() -> int:
    with open(os.environ["SOAK_CLOCK"]) as file:
        return int(file.read() or 0)


time.time = lambda: _true_time() + _offset_s()
time.time_ns = lambda: _true_time_ns() + _offset_s() * 10**9
