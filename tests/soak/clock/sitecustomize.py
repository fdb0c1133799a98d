"""For each Python process under libfaketime: its `clock_nanosleep` refuses the clock that Python sleeps by."""

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep
