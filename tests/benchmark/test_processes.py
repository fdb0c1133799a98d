"""What the processes of a run use is read from the system."""

from __future__ import annotations

import os
import subprocess
import sys

from pipeline.benchmark import processes


def test_usage_of_this_process_is_read() -> None:
    with processes.ProcessWatch(interval_s=0.01) as watch:
        sum(range(3_000_000))
    usage = watch.samples[-1][1][os.getpid()]
    assert usage.rss_mib > 10 and usage.num_threads >= 1 and usage.num_files >= 3
    assert watch.cpu_s > 0
    assert processes.read_usage(2**22 + 1) is None


def test_actors_are_watched_by_their_title_and_others_are_not():
    command = ["ray::WriterActor.write", "-c", "import sys; print(flush=True); sys.stdin.read()"]
    others = ["python", *command[1:]]
    started = [
        subprocess.Popen(line, executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for line in (command, others)
    ]
    try:
        for process in started:
            process.stdout.readline()
        with processes.ProcessWatch(interval_s=3600) as watch:
            pass
    finally:
        for process in started:
            process.communicate()
    usages = watch.samples[-1][1]
    assert started[0].pid in usages and started[1].pid not in usages
