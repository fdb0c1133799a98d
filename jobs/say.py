"""Speak a text at once, in one process, without Ray: `python -m jobs.say "Hello." --speaker ada --out hello.flac`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser, as_options, file_to_write, in_options, seed
from pipeline.audio.clips import format_of
from pipeline.config.config_file import apply_overrides
from pipeline.config.printable import one_line
from pipeline.config.run import StorageConfig
from pipeline.config.secrets import redact, without_signature
from pipeline.errors import ConfigError, SpeakerError, UtteranceError
from pipeline.storage import check_writable

if TYPE_CHECKING:
    from pipeline import Synthesizer

_PREVIEW_TEXT = "The train leaves at seven, so please be at the station a little earlier."
_FIELDS = {"reference_audio": "--clone", "reference_text": "--transcript"}
"""What the library calls that which these options give."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.say",
        description="Speak a text in one process, without Ray. Only clone voices of people who agreed to it.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("text", nargs="*", help="what to say, in quotes or not; `-` reads it from standard input")
    parser.add_argument("--out", type=file_to_write, metavar="FILE", help="where the audio goes: .wav or .flac")
    parser.add_argument("--weights", default="demo", help="a model directory, an address or `demo` (default)")
    parser.add_argument("--speakers", metavar="FILE", help="speakers file; default: those that come with the weights")
    parser.add_argument("--speaker", metavar="ID", help="who speaks; default: the first of the speakers")
    parser.add_argument("--clone", metavar="RECORDING", help="speak in the voice of this recording")
    parser.add_argument("--transcript", metavar="TEXT", help="what the recording says: the clone is nearer to it")
    parser.add_argument("--language", help="en, zh, ...; default: found out")
    parser.add_argument("--seed", type=seed, help="another one gives another take; default: it follows from the text")
    parser.add_argument("--voice-preview", type=Path, metavar="FOLDER", help="the text by every speaker, a file each")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting of a run")
    options = parser.parse_args(arguments)
    options.text = " ".join(options.text) if options.text else None
    if (options.out is None) == (options.voice_preview is None):
        parser.error("give either --out FILE, or --voice-preview FOLDER for every speaker")
    if options.transcript is not None and options.clone is None:
        parser.error("--transcript: what a recording says; give the recording with --clone")
    if options.clone and (options.speaker or options.voice_preview):
        parser.error("--clone: is the speaker itself; leave out --speaker and --voice-preview")
    if options.text is None and options.out is not None:
        parser.error("give a text to say, or - to read it from standard input")
    return run_command(in_options(lambda: _speak(options)))


def _speak(options: argparse.Namespace) -> int:
    if options.out is not None:
        try:
            format_of(options.out)  # Before the weights are loaded.
        except ValueError as error:
            raise ConfigError(f"--out {error}") from None
    text = _PREVIEW_TEXT if options.text is None else sys.stdin.read() if options.text == "-" else options.text
    if not text.strip():
        raise ConfigError("the text: is empty; give words to say, or - to read them from standard input")
    from pipeline import Synthesizer

    settings: dict[str, Any] = {}
    apply_overrides(settings, options.set)
    if "weights" in settings or "path" in settings.get("speakers", {}):
        raise ConfigError("--set: weights and speakers are named by --weights and --speakers; use these")
    synthesizer = Synthesizer.load(options.weights, speakers=options.speakers, settings=settings)
    if options.speaker and options.speaker not in synthesizer.speakers:
        known = ", ".join(synthesizer.speakers)
        raise ConfigError(f"--speaker {options.speaker}: nobody of this name; use one of: {known:.300}")
    if options.voice_preview is None:
        speaker = _add_clone(synthesizer, options) if options.clone else options.speaker or synthesizer.speakers[0]
        return _write(synthesizer, text, speaker, options.out, options)
    check_writable("--voice-preview", str(options.voice_preview), StorageConfig())
    speakers = [options.speaker] if options.speaker else synthesizer.speakers
    files = {speaker: options.voice_preview / f"{quote(speaker, safe=' ')[:100]}.wav" for speaker in speakers}
    return max(_write(synthesizer, text, speaker, file, options) for speaker, file in files.items())


def _add_clone(synthesizer: Synthesizer, options: argparse.Namespace) -> str:
    """Enroll the recording; return what its speaker is called, which names the option."""
    name = f"--clone {redact(without_signature(options.clone))}"[:200]
    try:
        synthesizer.add_speaker(name, reference_audio=options.clone, reference_text=options.transcript)
    except SpeakerError as error:
        text = str(error).removeprefix(f"speaker {name!r}: ")
        for field, option in _FIELDS.items():
            text = text.replace(f"correct {field}", f"correct {option}").replace(f"{field}: ", f"{option}: ")
        error.args = (text,)
        raise
    from pipeline.synthesis.speakers import describe_recording

    say(describe_recording(synthesizer.describe_recording(name)))
    return name


def _write(synthesizer: Synthesizer, text: str, speaker: str, file: Path, options: argparse.Namespace) -> int:
    try:
        audio = synthesizer.speak(text, speaker=speaker, seed=options.seed, language=options.language)
    except UtteranceError as error:
        say(f"{one_line(speaker)}: rejected, {error.code}: {as_options(str(error))}", error=True)
        return EXIT_REJECTIONS
    audio.write(file)
    say(f"{file}: {audio.duration_s:.1f} s, {one_line(speaker)}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run_guarded(main))
