"""`jobs.synthesize` that kills itself, or its writer, once, at the point that SPARK_TTS_KILL_AT names.

It notes each unit that it begins in the file that SPARK_TTS_BEGUN names.

Points in the driver: planning, resume, enrolment, finishing, first_commit. In a writer: before_commit, during_commit,
after_commit. SPARK_TTS_KILLED names a file that is made by the kill, so that it happens once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import ray

import jobs.synthesize
import pipeline.run as run
from pipeline.commit_log import CommitLog
from pipeline.coordinator import Coordinator
from pipeline.replicas import WriterReplica

BEGUN = os.environ["SPARK_TTS_BEGUN"]
POINT, MARK = os.environ.get("SPARK_TTS_KILL_AT", ""), os.environ.get("SPARK_TTS_KILLED", "")


class RecordedCoordinator(Coordinator):
    """Notes each unit that it begins, and how many may be in flight."""

    def _send(self, call, replica):
        if call.stage == "llm" and call.wanted is None:
            with open(BEGUN, "a") as file:
                file.write(f"{self._max_units} {call.state.unit.unit_id}\n")
        super()._send(call, replica)


def die_once(mark):
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(owner, name):
    original = getattr(owner, name)

    def call(*arguments, **options):
        result = original(*arguments, **options)
        die_once(MARK)
        return result

    setattr(owner, name, call)


class KilledWriter(WriterReplica.__ray_metadata__.modified_class):
    """A writer that dies at a point of its first commit."""

    point, mark = POINT, MARK

    def start(self):
        info = super().start()
        commit = self._log.commit

        def deadly_commit(unit, table):
            if self.point == "before_commit":
                die_once(self.mark)
            if self.point == "during_commit":
                delay_s = 0.002 * (unit.first_row % 5)
                threading.Thread(target=lambda: (time.sleep(delay_s), die_once(self.mark))).start()
            done = commit(unit, table)
            if self.point == "after_commit":
                die_once(self.mark)
            return done

        self._log.commit = deadly_commit
        return info


def main():
    run.Coordinator = RecordedCoordinator
    if POINT in ("before_commit", "during_commit", "after_commit"):
        run._ACTORS["writer"] = ray.remote(max_restarts=0)(KilledWriter)
    elif POINT == "planning":
        die_after(run, "plan_run")
    elif POINT == "resume":
        die_after(CommitLog, "committed")
    elif POINT == "enrolment":
        die_after(run, "_enroll_missing")
    elif POINT == "finishing":
        die_after(CommitLog, "summarize")
    elif POINT == "first_commit":
        die_after(run.Progress, "add")
    return jobs.synthesize.main()


if __name__ == "__main__":
    sys.exit(main())
