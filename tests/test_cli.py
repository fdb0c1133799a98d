"""One command for all, and speaking a text at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from jobs import cli, redo, settings
from jobs import say as say_command
from jobs.options import PROGRAM, as_options

ROOT = Path(__file__).parent.parent
RECORDING = ROOT / "tests/fixtures/speech/rms_door.flac"


def complete(line: str, tmp_path: Path) -> list[str]:
    """Return what a shell would offer at the end of a line."""
    said = tmp_path / "said"
    variables = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(said),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
        "IFS": "\n",
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([sys.executable, "-m", "jobs.cli"], env=os.environ | variables, check=False)
    return sorted(word.strip() for word in said.read_text().split("\n"))


def test_every_command_is_listed_in_the_one_for_all(capsys):
    files = {path.stem for path in (ROOT / "jobs").glob("*.py") if "\ndef main(" in path.read_text()} - {"cli"}
    assert files == cli.COMMANDS.keys()
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in files)


def test_a_misspelled_command_is_answered_with_the_nearest(capsys):
    assert cli.main(["synthesizes"]) == 2
    assert capsys.readouterr().err.startswith(
        "error: synthesizes: there is no such command; did you mean `spark-tts-batch synthesize`? `"
    )
    assert cli.main(["xyzzy"]) == 2
    assert capsys.readouterr().err == ("error: xyzzy: there is no such command; `spark-tts-batch --help` lists all\n")


def test_what_steers_a_terminal_is_shown_as_an_escape_in_wrong_options(capsys):
    with pytest.raises(SystemExit):
        say_command.main(["Hello.", "--out", "a.wav", "--x\x1b]0;title\x07\u202e\ny"])
    assert capsys.readouterr().err.endswith("unrecognized arguments: --x\\x1b]0;title\\x07\\u202e\\ny\n")


def test_a_place_that_cannot_be_looked_at_is_a_wrong_option(capsys):
    with pytest.raises(SystemExit, match="2"):
        say_command.main(["Hello.", "--out", "x" * 300 + ".wav"])
    assert "cannot be looked at (File name too long); name another file" in capsys.readouterr().err


def test_a_misspelled_option_or_choice_is_answered_with_the_nearest(capsys):
    for arguments, said in (
        (["Hello.", "--speeker", "ada", "--out", "a.wav"], "did you mean --speaker?"),
        (["Hello.", "--xyzzy", "--out", "a.wav"], "unrecognized arguments: --xyzzy\n"),
    ):
        with pytest.raises(SystemExit):
            say_command.main(arguments)
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        redo.main(["output", "--code", "wrong_wrds"])
    assert "did you mean wrong_words?" in capsys.readouterr().err


def test_it_tells_its_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"{PROGRAM} ")


def test_shells_complete_commands_and_their_options(tmp_path):
    assert complete(f"{PROGRAM} st", tmp_path) == ["status"]
    assert complete(f"{PROGRAM} status --js", tmp_path) == ["--json"]


def test_settings_are_shown_with_default_limits_and_purpose(capsys):
    assert settings.main(["replicas.writer"]) == 0
    shown = capsys.readouterr().out
    assert 'replicas.writer.num_cpus: number or auto, default "auto"\n' in shown
    assert "    CPUs that Ray reserves for each" in shown
    assert "replicas.llm" not in shown
    assert settings.main(["unit_size"]) == 0
    assert capsys.readouterr().out.startswith(
        "unit_size: whole number (at least 1, at most 100,000), default 128, pinned"
    )


def test_a_misspelled_setting_is_answered_with_the_nearest(capsys):
    for name, near in (
        ("unit_sise", "unit_size"),
        ("qualty", "quality"),
        ("llm.slotz", "llm.slots"),
        ("asr", "quality.asr"),
        ("path", "speakers.path or texts.path"),
    ):
        assert settings.main([name]) == 2
        assert f"there is no such setting; did you mean {near}?\n" in capsys.readouterr().err


def test_all_settings_are_shown_by_the_kind_of_their_file(capsys):
    assert settings.main([]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# Every run (synthesize)\n\nweights: text, required\n")
    assert shown.index("\nunit_size") < shown.index("\n# Books (audiobooks)") < shown.index("\naudiobook.catalogue")
    assert shown.index("\naudiobook.") < shown.index("\n# Data sets (dataset)") < shown.index("\ntexts.path")


def test_a_text_is_spoken_at_once_by_a_speaker_and_by_a_clone(tmp_path, capsys):
    out = tmp_path / "a.flac"
    options = ["Good morning.", "--set", "llm.slots=2", "--seed", "1"]
    assert say_command.main([*options, "--speaker", "ross", "--out", str(out)]) == 0
    assert soundfile.info(out).format == "FLAC"
    assert 0.3 < soundfile.info(out).duration < 5
    assert f"{out}: " in capsys.readouterr().out
    clone = tmp_path / "clone.wav"
    transcript = "Please close the door when you leave."
    assert say_command.main([*options, "--clone", str(RECORDING), "--transcript", transcript, "--out", str(clone)]) == 0
    assert soundfile.info(clone).format == "WAV"


def test_what_is_to_be_set_is_said_in_options():
    assert as_options("close it, or set table.quoting to none if quotes are characters") == (
        "close it, or pass --set table.quoting=none if quotes are characters"
    )
    assert as_options("found 'My text': set columns.text to 'My text', or set default_speaker") == (
        "found 'My text': pass --set 'columns.text=My text', or set default_speaker"
    )


def test_every_voice_can_be_heard(tmp_path):
    assert say_command.main(["Good morning.", "--set", "llm.slots=2", "--voice-preview", str(tmp_path / "voices")]) == 0
    assert sorted(path.name for path in (tmp_path / "voices").iterdir()) == [
        "ada.wav",
        "angus.wav",
        "iris.wav",
        "ross.wav",
    ]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["Hello.", "--out", "{}/a.mp3"], 2, ".wav, .flac"),
        (["Hello.", "--out", "{}/a.wav", "--speaker", "nobody"], 2, "--speaker nobody"),
        (
            ["Hello.", "--out", "{}/a.wav", "--clone", "{}/none.wav"],
            2,
            "/none.wav: there is no such file; correct --clone",
        ),
        (["Hello.", "--out", "{}/a.wav", "--clone", "https://me:pass@host/a.wav"], 2, "error: --clone: https://..."),
        (
            ["Hello.", "--out", "{}/a.wav", "--clone", "https://host/a"],
            2,
            "--set 'storage.allow_http=[host]'; correct --c",
        ),
        (["Hello.", "--out", "{}/a.wav", "--clone", ""], 2, "--clone: is empty"),
        (["Hello.", "--out", "{}/a.wav", "--seed=-1"], 2, "argument --seed: '-1': expected a whole number from 0"),
        (["Hello.", "--out", "{}/a.wav", "--set", "weights=random"], 2, "use these"),
        ([" ", "--out", "{}/a.wav"], 2, "is empty; give words to say"),
        (["Hello.", "--out", "{}/a.wav", "--set", "llm.slotz=2"], 2, "did you mean slots?"),
        (["Hello.", "--out", "{}/none/a.wav"], 2, "a folder that exists"),
        (["Hello."], 2, "--voice-preview"),
        (["Hello.", "--out", "{}/a.wav", "--transcript", "Hello."], 2, "--clone"),
    ],
)
def test_what_cannot_be_said_is_refused(options, code, message, tmp_path, capsys):
    arguments = [option.replace("{}", str(tmp_path)) for option in options]
    try:
        assert say_command.main(arguments) == code
    except SystemExit as error:
        assert error.code == code
    assert message in capsys.readouterr().err
