"""`jobs.synthesize` that kills itself, or its writer, once at each of the points that SPARK_TTS_KILL_AT names.

It notes each unit that it begins in the file that SPARK_TTS_BEGUN names. As long as the file that SPARK_TTS_SLOW names
exists, writers wait before each unit; how many units wait for a writer is told in that file.

Points in the driver: planning, resume, enrollment, finishing, first_commit. In a writer: before_commit, during_commit,
after_commit. Others are left to the harness. SPARK_TTS_KILLED and the point's name make the path of a file that is made
by the kill, so that it happens once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

import jobs.synthesize
from pipeline.cluster import run_units
from pipeline.cluster.coordinator import Coordinator
from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.cluster.stage_order import list_stages
from pipeline.cluster.work_items import Stage
from pipeline.cluster.writer_actor import WriterActor
from pipeline.output.commit_log import CommitLog
from pipeline.run import synthesize

BEGUN = os.environ.get("SPARK_TTS_BEGUN", os.devnull)
SLOW = os.environ.get("SPARK_TTS_SLOW", "")
SLOW_S = 3.0
POINTS = os.environ.get("SPARK_TTS_KILL_AT", "").split(",")
MARK = os.environ.get("SPARK_TTS_KILLED", "")
WRITER_POINTS = ("before_commit", "during_commit", "after_commit")


class RecordedCoordinator(Coordinator):
    """Notes each unit that it begins, and how many may be in flight."""

    def _send(self, call, replica):
        if call.stage == Stage.LLM and call.round.wanted is None:
            with open(BEGUN, "a") as file:
                file.write(f"{self._max_units} {call.state.unit.unit_id}\n")
        super()._send(call, replica)

    def _dispatch(self):
        super()._dispatch()
        with suppress(FileNotFoundError), open(SLOW, "r+") as file:
            file.write(f"{len(self._pools[Stage.WRITER].queue):5}")


def die_once(mark, point):
    try:
        os.close(os.open(f"{mark}.{point}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(point, owner, name):
    if point not in POINTS:
        return
    original = getattr(owner, name)

    def call(*arguments, **options):
        result = original(*arguments, **options)
        die_once(MARK, point)
        return result

    setattr(owner, name, call)


class KilledWriter(WriterActor):
    """A writer that dies at a point of its first commit."""

    points, mark = POINTS, MARK

    def start(self):
        info = super().start()
        commit = self._log.commit

        def deadly_commit(unit, table):
            if "before_commit" in self.points:
                die_once(self.mark, "before_commit")
            if "during_commit" in self.points:
                delay_s = 0.002 * (unit.first_row % 5)
                threading.Thread(target=lambda: (time.sleep(delay_s), die_once(self.mark, "during_commit"))).start()
            done = commit(unit, table)
            if "after_commit" in self.points:
                die_once(self.mark, "after_commit")
            return done

        self._log.commit = deadly_commit
        return info


class SlowWriter(WriterActor):
    """A writer that does not keep up, as long as that is asked for."""

    slow, slow_s = SLOW, SLOW_S

    def write(self, *arguments):
        if os.path.exists(self.slow):
            time.sleep(self.slow_s)
        return super().write(*arguments)


def write_with(actor):
    run_units.list_stages = lambda config: tuple(
        replace(spec, actor=actor) if spec.stage == Stage.WRITER else spec for spec in list_stages(config)
    )


def main():
    run_units.Coordinator = RecordedCoordinator
    if not set(POINTS).isdisjoint(WRITER_POINTS):
        write_with(KilledWriter)
    elif SLOW:
        write_with(SlowWriter)
    die_after("planning", synthesize, "plan_run")
    die_after("resume", CommitLog, "committed")
    die_after("enrollment", OutputSpeakers, "enroll")
    die_after("first_commit", synthesize.Progress, "add")
    die_after("finishing", CommitLog, "summarize")
    return jobs.synthesize.main()


if __name__ == "__main__":
    sys.exit(main())
