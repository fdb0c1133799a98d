"""printable.py: what others wrote steers no terminal and forges no line."""

import ast
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobs.status
from pipeline.config.printable import in_script, one_line, printable, without_controls
from pipeline.config.secrets import RedactingFormatter
from pipeline.storage import open_storage
from tests.outputs import begin_run, make_shard

ROOT = Path(__file__).parents[2]
TITLE = "\x1b]0;owned\x07\x9b2J"
FORGED = "a\n12:00:00 everything is fine\r\u2028\u202eesrever"


@pytest.mark.parametrize(
    ("text", "shown", "line"),
    [
        ("plain tëxt 你好 👩‍👧", "plain tëxt 你好 👩‍👧", "plain tëxt 你好 👩‍👧"),
        (TITLE, "\\x1b]0;owned\\x07\\x9b2J", "\\x1b]0;owned\\x07\\x9b2J"),
        ("a\nb\tc\r", "a\nb\tc\\r", "a\\nb\\tc\\r"),
        ("\ud800", "\\ud800", "\\ud800"),
    ],
)
def test_what_steers_is_written_as_an_escape(text, shown, line):
    assert (printable(text), one_line(text)) == (shown, line)


@given(st.text(st.characters()))
def test_nothing_unfit_is_left_of_any_text(text):
    unfit = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029", "\u202e", "\u2066"}
    assert not set(one_line(text)) & unfit
    assert not set(printable(text)) & (unfit - {"\n", "\t"})
    assert not set(without_controls(text)) & unfit
    printable(text).encode()


@given(st.text(st.characters()))
def test_json_with_escapes_means_the_same_in_lines(text):
    written = in_script(json.dumps({text: text}, ensure_ascii=False))
    assert json.loads(written) == {text: text}
    assert written.splitlines() == [written]  # At U+0085 and U+2028 there were two.


# Hashed, or held within the program.
NOT_WRITTEN = {"pipeline/config/settings.py", "pipeline/manifest/intake.py", "pipeline/dataset/statistics.py"}


def test_no_json_is_written_with_raw_controls():
    for path in [*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("jobs/*.py")]:
        name = str(path.relative_to(ROOT))
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        raw = {id(node) for node in calls if "ensure_ascii" in [keyword.arg for keyword in node.keywords]}
        safe = {id(node.args[0]) for node in calls if getattr(node.func, "id", "") == "in_script"}
        assert name in NOT_WRITTEN | {"pipeline/output/report/page.py"} or raw <= safe, name


def test_logs_hold_no_sequences():
    record = logging.LogRecord("x", logging.INFO, "x", 1, "title %s", (TITLE,), None)
    assert RedactingFormatter("%(message)s").format(record) == "title \\x1b]0;owned\\x07\\x9b2J"


def test_a_command_shows_an_odd_place_as_one_line(tmp_path, capsys):
    folder = tmp_path / TITLE.replace("/", "")
    begin_run(open_storage(str(folder)), [make_shard()])
    assert jobs.status.main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\\x1b]0;owned" in out
