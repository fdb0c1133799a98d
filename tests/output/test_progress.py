from dataclasses import replace

from pipeline.output.progress import Progress, format_duration
from pipeline.output.row_counts import UnitReceipt


def make_receipt(num_ok, rejected, audio_s):
    return UnitReceipt("s/0-9", num_ok, rejected, audio_s, 0, True, [("a", "no_speech", "none")] * 4)


def test_line_shows_rows_audio_speed_rejects_and_time_left():
    now = [0.0]
    progress = Progress(100, 20, 10.0, clock=lambda: now[0])
    progress.begin()
    now[0] = 10.0
    progress.add(make_receipt(48, {"no_speech": 2}, 300.0))
    assert progress.line() == (
        "70/120 utterances (58%), 50 of them by this start · 5 min 00 s of audio · 30.00 x real time · 2 rejected · "
        "about 10.0 s left"
    )
    assert (progress.num_done, progress.x_real_time) == (50, 30.0)


def test_the_time_left_does_not_grow_while_nothing_is_committed():
    now = [0.0]
    progress = Progress(100, 0, 10.0, clock=lambda: now[0])
    progress.begin()
    assert "left" not in progress.line()
    now[0] = 10.0
    progress.add(make_receipt(50, {}, 300.0))
    lines = []
    for now[0] in (10.0, 14.0, 25.0):
        lines.append(progress.line().rpartition(" · ")[2])
    assert lines == ["about 10.0 s left", "about 6.0 s left", "0 rejected"]


def test_rows_that_are_kept_shorten_the_time_left():
    """A manifest of which one row in a hundred had changed was said to take a hundred times as long as it did."""
    now = [0.0]
    progress = Progress(1_000, 0, 10.0, clock=lambda: now[0])
    progress.begin()
    now[0] = 10.0
    progress.add(replace(make_receipt(5, {}, 30.0), num_kept=495))
    assert progress.line().endswith(" · about 10.0 s left")


def test_a_repair_knows_no_whole():
    """Its rows show as it works; a share of the manifest went beyond 100 %."""
    now = [0.0]
    progress = Progress(None, 0, 10.0, clock=lambda: now[0])
    progress.begin()
    now[0] = 10.0
    progress.add(make_receipt(48, {"no_speech": 2}, 300.0))
    assert progress.line() == "50 utterances · 5 min 00 s of audio · 30.00 x real time · 2 rejected"


def test_lines_come_no_more_often_than_asked(caplog):
    caplog.set_level("INFO")
    now = [0.0]
    progress = Progress(100, 0, 10.0, clock=lambda: now[0])
    now[0] = 100.0
    progress.report_if_due()  # still loading
    progress.begin()
    for second in range(100, 135):
        now[0] = float(second)
        progress.report_if_due()
    assert len(caplog.records) == 3


def test_only_a_few_examples_are_kept():
    progress = Progress(100, 0, 10.0)
    for _ in range(10):
        progress.add(make_receipt(1, {}, 1.0))
    assert len(progress.examples) == 5


def test_durations_read_as_a_person_says_them():
    assert [format_duration(s) for s in (0, 42, 200, 25_500)] == ["0.0 s", "42.0 s", "3 min 20 s", "7 h 05 min"]


def test_what_is_not_done_is_no_hundred_percent():
    progress = Progress(1_000, 0, 10.0)
    progress.begin()
    progress.add(make_receipt(999, {}, 300.0))
    assert progress.line().startswith("999/1,000 utterances (99%)")
