"""Rows synthesized again one at a time, and compared with the bytes that their output holds.

Reads an output and never writes to it. Knows nothing of Ray: a replica or a test calls it in its own process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.audio.clips import Audio
from pipeline.config.manifest import OWN_COLUMNS
from pipeline.config.run import Config
from pipeline.errors import ManifestError, UtteranceError
from pipeline.manifest.rows import Manifest, read_utterance
from pipeline.manifest.units import WorkUnit, unit_of_row
from pipeline.output.commit_log import CommitLog
from pipeline.synthesis.takes import UtteranceOutcome, Wanted, next_takes, recorded_takes

if TYPE_CHECKING:
    from pipeline.synthesis.stages import AudioStage, TokenStage  # Load torch, which a driver does without.

_COMMITTED = ("utterance_id", "row", "status", "audio_sha256", "error_code", "take", "num_segments", "segments")


@dataclass(frozen=True)
class ReplayRow:
    """A manifest row to synthesize again."""

    utterance_id: str
    fields: Mapping[str, Any]
    """Its own columns."""
    committed: Mapping[str, Any] | None
    """What its commit says of it, if its unit is committed."""


@dataclass(frozen=True)
class Replay:
    """What a row came to, synthesized in isolation."""

    utterance_id: str
    clip: bytes | None
    """In the format of the run; None where it was rejected."""
    error_code: str | None
    message: str | None
    committed: Mapping[str, Any] | None

    @property
    def sha256(self) -> str | None:
        """Of the clip's bytes, in hexadecimal."""
        return None if self.clip is None else hashlib.sha256(self.clip).hexdigest()

    @property
    def is_same(self) -> bool | None:
        """Whether the commit says the same: equal bytes, or the same rejection; None where there is no commit."""
        if self.committed is None:
            return None
        return (self.sha256, self.error_code) == (self.committed["audio_sha256"], self.committed["error_code"])


def find_rows(manifest: Manifest, log: CommitLog, ids: Collection[str], unit_size: int) -> list[ReplayRow]:
    """Look rows up by id, and what is committed of them.

    Args:
        manifest: of the run.
        log: of its output.
        ids: where several rows share one, the first counts, as in a run.
        unit_size: of the run.

    Returns:
        the rows in the order of `ids`, each once.

    Raises:
        ManifestError: an id is not in the manifest.
    """
    places = manifest.find_ids(ids)
    missing = [utterance_id for utterance_id in ids if utterance_id not in places]
    if missing:
        listed = ", ".join(repr(utterance_id)[:80] for utterance_id in missing[:5])
        raise ManifestError(f"--only: no row has the utterance_id {listed}; check the spelling and the manifest")
    rows = []
    for utterance_id in dict.fromkeys(ids):
        shard, row = places[utterance_id]
        (fields,) = manifest.read_rows(WorkUnit(shard.name, row, row), OWN_COLUMNS).to_pylist()
        unit = unit_of_row(shard.name, shard.num_rows, row, unit_size, shard.revision)
        rows.append(ReplayRow(utterance_id, fields, _read_committed(log, unit, row)))
    return rows


def _read_committed(log: CommitLog, unit: WorkUnit, row: int) -> Mapping[str, Any] | None:
    try:
        table = log.read_commit(unit, _COMMITTED)
    except FileNotFoundError:
        return None
    record: Mapping[str, Any] | None = next((record for record in table.to_pylist() if record["row"] == row), None)
    return record


class Replayer:
    """Synthesizes rows one after the other, with nothing beside them.

    Args:
        config: of the run.
        tokens: with an engine that nobody else uses.
        audio: with the codec.
        use_threads: called before each stage with its name; a replica's number of torch threads may change bits.
    """

    def __init__(
        self, config: Config, tokens: TokenStage, audio: AudioStage, use_threads: Callable[[str], None] = lambda _: None
    ) -> None:
        self._config = config
        self._tokens = tokens
        self._audio = audio
        self._use_threads = use_threads
        self._num_token_steps = 0

    @property
    def num_steps(self) -> int:
        """A number that grows while work goes on: token steps and decodes."""
        return self._num_token_steps + self._audio.num_takes

    def replay(self, rows: Sequence[ReplayRow]) -> Iterator[Replay]:
        """Yield each row's take, in their order."""
        for row in rows:
            try:
                clip = self._speak(row).encode(self._config.audio.format)
            except UtteranceError as error:
                yield Replay(row.utterance_id, None, str(error.code), error.message, row.committed)
            else:
                yield Replay(row.utterance_id, clip, None, None, row.committed)

    def _speak(self, row: ReplayRow) -> Audio:
        utterance = read_utterance(row.fields)
        outcome = UtteranceOutcome()
        wanted: Wanted = {0: recorded_takes(row.committed)}
        while wanted:
            self._use_threads("llm")
            self._tokens.start(self._tokens.prepare(0, utterance, wanted[0]))
            while self._tokens.has_work:
                ended = self._tokens.step()
                self._num_token_steps += 1
            (job,) = ended
            outcome.add_takes(job.result)
            if job.result.rejection is not None:
                break
            self._use_threads("codec")
            heard = [(0, audio) for audio in self._audio.decode(job.result.takes)]
            for _, audio in heard:
                outcome.add_audio(audio)
            wanted = next_takes(heard, self._config.quality.most_takes)
        return outcome.finish(self._config.audio)
