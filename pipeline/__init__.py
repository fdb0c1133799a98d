"""Voice manifests of text with Spark-TTS as a batch job on Ray.

The public names; each is imported when it is first used, so that `jobs.status` needs neither torch nor Ray.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.audio.clips import Audio
    from pipeline.books.audiobooks import AudiobooksSummary, make_audiobooks
    from pipeline.codec import BiCodec, SpeechTokens
    from pipeline.config.run import Config, load_config
    from pipeline.errors import SynthesisError
    from pipeline.llm import LLMEngine
    from pipeline.manifest.rows import Manifest, Utterance
    from pipeline.output.commit_log import CommitLog
    from pipeline.output.progress import RunSummary
    from pipeline.output.reader import read_output
    from pipeline.output.status import read_status
    from pipeline.output.verify import verify_output
    from pipeline.run.dry_run import forecast_run
    from pipeline.run.enroll import enroll_speakers
    from pipeline.run.plan import plan_run
    from pipeline.run.repair import redo_rows, repair_output, sweep_output
    from pipeline.run.replay import replay_rows
    from pipeline.run.synthesize import synthesize_manifest
    from pipeline.synthesis.speakers import SpeakerRegistry
    from pipeline.synthesis.synthesizer import Synthesizer

_HOMES = {
    "Audio": "audio.clips",
    "AudiobooksSummary": "books.audiobooks",
    "BiCodec": "codec",
    "CommitLog": "output.commit_log",
    "Config": "config.run",
    "LLMEngine": "llm",
    "Manifest": "manifest.rows",
    "RunSummary": "output.progress",
    "SpeakerRegistry": "synthesis.speakers",
    "SpeechTokens": "codec",
    "Synthesizer": "synthesis.synthesizer",
    "Utterance": "manifest.rows",
    "SynthesisError": "errors",
    "enroll_speakers": "run.enroll",
    "forecast_run": "run.dry_run",
    "load_config": "config.run",
    "make_audiobooks": "books.audiobooks",
    "plan_run": "run.plan",
    "read_output": "output.reader",
    "read_status": "output.status",
    "redo_rows": "run.repair",
    "repair_output": "run.repair",
    "synthesize_manifest": "run.synthesize",
    "sweep_output": "run.repair",
    "verify_output": "output.verify",
    "replay_rows": "run.replay",
}

__all__ = [
    "Audio",
    "AudiobooksSummary",
    "BiCodec",
    "CommitLog",
    "Config",
    "LLMEngine",
    "Manifest",
    "RunSummary",
    "SpeakerRegistry",
    "SpeechTokens",
    "SynthesisError",
    "Synthesizer",
    "Utterance",
    "enroll_speakers",
    "forecast_run",
    "load_config",
    "make_audiobooks",
    "plan_run",
    "read_output",
    "read_status",
    "redo_rows",
    "repair_output",
    "replay_rows",
    "sweep_output",
    "synthesize_manifest",
    "verify_output",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
