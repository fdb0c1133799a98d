"""jobs/guard.py: an exit code is a command's own word, or 3."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.cli import COMMANDS
from jobs.signals import _Interrupts

ROOT = Path(__file__).parents[1]
HEAD = "import ctypes, os, signal, sys, threading, time\nfrom jobs.guard import run_guarded\n"


ENDS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]


def heed():
    """Ignore none of the signals that end a command, as tests do that run in the background."""
    for number in ENDS:
        signal.signal(number, signal.SIG_DFL)


def start(body, preexec_fn=heed, **options):
    code = f"{HEAD}def main():\n{body}\nsys.exit(run_guarded(main))"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=preexec_fn, **options,
    )  # fmt: skip


def run(body):
    process = start(body)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_what_a_command_returns_is_its_exit_code(code):
    assert run(f"    print('done')\n    return {code}") == (code, "done\n", "")


def test_an_interrupt_while_a_command_is_imported_is_no_error():
    assert run("    raise KeyboardInterrupt") == (130, "", "interrupted before any work was begun\n")


SLEEP = """import time
print('importing', flush=True)
try:
    time.sleep(600)
except BaseException as error:
    raise ImportError from error
"""
"""Does what native code does with an interrupt."""


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("name", ["jobs.status", "jobs.cli status"])
def test_a_signal_while_packages_are_imported_is_an_interrupt(name, number, tmp_path):
    """In the parent, and in the child."""
    (tmp_path / "pyarrow.py").write_text(SLEEP)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    process = subprocess.Popen(
        [sys.executable, "-m", *name.split(), "output"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed,
    )  # fmt: skip
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (130, "interrupted before any work was begun\n")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_was_ignored_at_the_start_stays_so(number):
    """A command under nohup outlives its terminal; it ends by the signals that nobody ignored."""
    body = """    from jobs.console import run_command
    def work():
        print("begun", flush=True)
        time.sleep(3_600)
    return run_command(work)"""
    process = start(body, lambda: (heed(), signal.signal(number, signal.SIG_IGN)), start_new_session=True)
    try:
        assert process.stdout.readline() == "begun\n"
        os.kill(process.pid, number)
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert int(status.partition("SigIgn:")[2].split()[0], 16) >> number - 1 & 1
        os.kill(process.pid, next(other for other in ENDS if other not in (number, signal.SIGTERM)))
        _, err = process.communicate(timeout=300)
        assert process.returncode == 130 and err.endswith("interrupted\n")
    finally:
        process.kill()


SWALLOWS = """    from jobs.console import run_command
    class Held:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            sum(range(1_000))
    def work():
        {}
        for _ in range(1_000):
            time.sleep(0.01)
        return 0
    return run_command(work)"""


@pytest.mark.parametrize("place", ["Held()", "os.register_at_fork(before=Held().__del__); os.fork() or os._exit(0)"])
def test_an_interrupt_that_python_swallows_comes_again(place):
    """A run that was interrupted as it forked went on, and was ended hard 20 s later."""
    code, _, err = run(SWALLOWS.format(place))
    assert (code, err) == (130, "stopping (again to stop at once)\ninterrupted\n")


def test_no_interrupt_is_raised_where_logging_holds_its_locks(monkeypatch):
    sent = []
    monkeypatch.setattr("jobs.signals.signal.pthread_kill", lambda thread, number: sent.append(number))
    monkeypatch.setattr("jobs.signals._AGAIN_S", 0)
    hook = sys.unraisablehook
    interrupts = _Interrupts("", 130)
    interrupts._signum = signal.SIGHUP
    interrupts._interrupt(SimpleNamespace(f_code=SimpleNamespace(co_filename=logging.__file__)))
    while not sent:
        time.sleep(0.001)
    assert sent == [signal.SIGHUP]
    with pytest.raises(KeyboardInterrupt):
        interrupts(signal.SIGHUP, None)
    interrupts.end()
    assert sys.unraisablehook is hook


def test_a_place_without_permission_is_no_error_of_ours():
    code, _, err = run(WORK.format("raise PermissionError(13, 'Permission denied', 'x')", True))
    assert (code, err) == (
        3,
        "stopped: [Errno 13] Permission denied: 'x'; fix the permissions or choose another place\n",
    )


def test_a_signal_after_the_end_changes_no_code():
    """Python lets go of its handlers before it ends: the exit code was the signal's."""
    look = f"[signal.getsignal(number) is signal.SIG_IGN for number in {[*map(int, ENDS)]}]"
    end = "sys.exit(code)\ndef main():\n    return 3"
    assert run(f"    return 0\ncode = run_guarded(main)\nprint({look})\n{end}") == (0, f"{[True] * 4}\n", "")


WORK = """    from jobs.console import run_command
    def work():
        {}
    return run_command(work, commits={})"""


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "raise KeyError", "raise KeyboardInterrupt"])
def test_only_commands_that_commit_work_speak_of_it(end):
    for commits in (True, False):
        _, _, err = run(WORK.format(end, commits))
        assert ("committed work is safe" in err.lower()) == commits, err


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("    os._exit(1)", "with status 1"),
        ("    os._exit(0)", "with status 0"),
        ("    ctypes.CDLL(None).exit(1)", "with status 1"),  # As Ray ends a driver whose raylet died.
        ("    os.kill(os.getpid(), signal.SIGKILL)", "by signal SIGKILL"),
        ("    raise KeyError('x')", "nobody foresaw"),
        ("    sys.exit('a message')", "a message"),
    ],
)
def test_an_end_without_a_word_is_a_stop(body, said):
    code, _, err = run(body)
    assert code == 3
    assert said in err


def test_a_wrong_option_keeps_its_code():
    done = subprocess.run(
        [sys.executable, "-m", "jobs.status", "--nonsense"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2 and "usage" in done.stderr


def test_a_working_folder_that_is_gone_is_named(tmp_path):
    """PyTorch ended the process, and said that it lacked a library."""
    (tmp_path / "gone").mkdir()
    code = f"import os, sys\nsys.path.insert(0, {str(ROOT)!r})\nos.chdir('gone')\nos.rmdir('../gone')\n"
    code += "from jobs.guard import run_guarded\nsys.exit(run_guarded(lambda: 0))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the working folder cannot be used (No such file or directory); go to one")


@pytest.mark.parametrize("name", ["synthesize", "benchmark", "train_demo_voice"])
def test_a_command_that_cannot_be_imported_is_a_stop(name, tmp_path):
    """Python's own exit code is 1, which means that a run finished."""
    (tmp_path / "argparse.py").write_text("raise ImportError('half installed')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", f"jobs.{name}"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "half installed" in done.stderr and "stopped: this command cannot start" in done.stderr


def test_every_command_is_guarded():
    for name in [*COMMANDS, "cli"]:
        text = (ROOT / "jobs" / f"{name}.py").read_text()
        assert "run_guarded(" in text, name


WAITS = """    def end(signum, frame):
        print("seen", signum, flush=True)
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, end)
    try:
        print(os.getpid(), flush=True)
        time.sleep(3_600)
    except KeyboardInterrupt:
        time.sleep(0.5)
        return 130"""


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_is_passed_on_once(number):
    process = start(WAITS, start_new_session=True)
    process.stdout.readline()
    os.killpg(process.pid, number)  # As a terminal's Ctrl-C: everybody in the group.
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 130
    assert out == f"seen {int(number)}\n"


def test_nothing_goes_on_once_the_parent_is_killed():
    process = start(WAITS)
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 300
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{child}").exists()


LONG = "    for n in range(20_000):\n        print('line', n, flush=True)\n"
BAD = "    print('it is so', file=sys.stderr)\n    return 2"


@pytest.mark.parametrize(
    ("body", "redirections", "code", "said"),
    [
        (LONG + "    return 1", "| true", 1, ""),  # Not 0: what it found does not depend on who reads it.
        (LONG + "    return 0", ">/dev/full", 3, "standard output cannot be written (No space left on device)"),
        ("    assert os.open('/dev/null', 0) > 2\n    return 0", "<&- >&- 2>&-", 0, ""),
        ("    return len(sys.stdin.read())", "<&-", 0, ""),
        (BAD, "2>&-", 2, ""),
        (BAD, "2>/dev/full", 2, ""),
        ("    os._exit(1)", ">&- 2>/dev/full", 3, ""),
        ("    print('\\u4e2d')\n    return 0", ">/dev/null", 0, ""),
    ],
)
def test_streams_that_cannot_be_written_do_not_change_what_a_code_says(body, redirections, code, said, tmp_path):
    (tmp_path / "command.py").write_text(f"{HEAD}def main():\n{body}\nsys.exit(run_guarded(main))")
    line = f'set -o pipefail; "{sys.executable}" "{tmp_path}/command.py" {redirections}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", line], env=environment, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr
