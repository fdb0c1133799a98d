"""The voices of an output (speakers.parquet), brought up to date with the definitions: enrolled, kept, replaced."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.cluster.enrollment_actor import enroll_remotely
from pipeline.config.run import Config
from pipeline.errors import ConfigError, SpeakerError
from pipeline.output.voices import SPEAKERS_PATH
from pipeline.storage import Storage
from pipeline.synthesis.speaker_definitions import SpeakerDefinition
from pipeline.synthesis.speakers import NOT_ENROLLED, Speaker, SpeakerRegistry, report_doubts

logger = logging.getLogger(__name__)
_KEEP_S = 30.0
"""Between puts of the voices while speakers are enrolled: what a killed driver may lose."""


@dataclass
class OutputSpeakers:
    """The enrolled speakers of an output, and what the definitions want of them."""

    storage: Storage
    definitions: Sequence[SpeakerDefinition]
    registry: SpeakerRegistry
    missing: list[SpeakerDefinition]
    """Not enrolled yet, or to be enrolled anew."""
    etag: str | None
    """None where the output has no voices yet."""
    failed: set[str] = field(default_factory=set)
    """Ids that could not be enrolled."""

    @classmethod
    def read(
        cls, storage: Storage, definitions: Sequence[SpeakerDefinition], replaced: Collection[str] = ()
    ) -> OutputSpeakers:
        """Read what is enrolled.

        Args:
            storage: the output.
            definitions: of the speakers file.
            replaced: ids of speakers to enroll anew, whose definition may have changed.

        Raises:
            SpeakerError: a definition differs from the one that was enrolled.
        """
        try:
            data, etag = storage.get_with_etag(SPEAKERS_PATH)
        except FileNotFoundError:
            return cls(storage, definitions, SpeakerRegistry(), list(definitions), None)
        registry = SpeakerRegistry.from_parquet(data)
        again = [d for d in definitions if d.speaker_id in replaced and d.speaker_id in registry]
        return cls(storage, definitions, registry, [*registry.missing(definitions, replaced), *again], etag)

    @property
    def generations(self) -> dict[str, int]:
        """Who may speak, and in which voice; see `SpeakerRegistry.generations`."""
        return self.registry.generations(self.definitions, self.failed)

    @property
    def enrolled(self) -> dict[str, int]:
        """The voice of everybody who is enrolled, as `generations`."""
        return {name: speaker.generation for name, speaker in self.registry.items()}

    @property
    def voices(self) -> dict[str, str]:
        """The voice of everybody who may speak and is enrolled, see `SpeakerRegistry.hash_voices`."""
        return self.registry.only(self.generations).hash_voices()

    def check_voices(self, spoken: Mapping[str, str], replaced: Collection[str] = ()) -> None:
        """Compare the voices with those that rows were spoken with.

        Args:
            spoken: of the output's record.
            replaced: ids of speakers to enroll anew.

        Raises:
            ConfigError: a speaker has another voice, although none was asked for.
        """
        for name, voice in self.registry.hash_voices().items():
            before = spoken.get(name, voice)
            is_same_generation = before.partition("-")[0] == voice.partition("-")[0]
            if before != voice and is_same_generation and name not in replaced:
                raise ConfigError(
                    f"{self.storage.uri_of(SPEAKERS_PATH)}: holds another voice of speaker {name!r} than the one that "
                    "this output's rows were spoken with: somebody replaced the file. Put it back as it was, or run "
                    f"jobs.enroll --replace {name}, which synthesizes this speaker's rows again"
                )

    def note_failures(self, planned: Mapping[str, int]) -> None:
        """Take over who could not be enrolled when the output's rows were planned last, see `generations`."""
        missing = {definition.speaker_id for definition in self.missing}
        self.failed = {name for name, generation in planned.items() if generation == NOT_ENROLLED} & missing

    def update_notes(self) -> None:
        """Write the license, consent and notes of enrolled speakers where they have changed."""
        self._put(self.registry.with_notes(self.definitions))

    def check_missing(self, config: Config, weights_dir: Path) -> None:
        """Look for what enrollment would find wrong: in given tokens, and in recordings, which are read.

        Speakers who cannot be enrolled count as failed, or stop as they would stop a run.

        Raises:
            SpeakerError: there are some, and `speakers.on_error` is `stop`.
            WeightsError: the weights' configuration cannot be read.
        """
        if not self.missing:
            return
        from pipeline.synthesis.enrollment import find_fault  # Loads torch.

        faults = {d.speaker_id: find_fault(d, weights_dir, config) for d in self.missing}
        failures = {name: fault for name, fault in faults.items() if fault is not None}
        _report(config, list(failures.values()))
        self.failed |= {*failures}

    def enroll(self, config: Config) -> list[str]:
        """Enroll who is missing. What was enrolled is kept, whatever becomes of the rest.

        Returns:
            why a speaker could not be enrolled, for each of them.

        Raises:
            SpeakerError: a speaker cannot be enrolled, and `speakers.on_error` is `stop`.
            SynthesisError: as `enroll_remotely`.
        """
        if not self.missing:
            return []
        self.failed = set()
        logger.info("enrolling %d speaker(s)", len(self.missing))
        made: list[Speaker] = []
        failures: list[str] = []
        kept_at = time.monotonic()
        try:
            for definition, result in enroll_remotely(config, self.missing):
                if isinstance(result, str):
                    failures.append(result)
                    self.failed.add(definition.speaker_id)
                else:
                    made.append(result)
                    report_doubts(result.speaker_id, result.doubts)
                if time.monotonic() - kept_at > _KEEP_S:
                    self._keep(made)
                    kept_at = time.monotonic()
        finally:
            # Also where a later one stops the run: each took its time.
            self._keep(made)
        self.missing = []
        _report(config, failures)
        return failures

    def _keep(self, made: list[Speaker]) -> None:
        generations = {name: speaker.generation + 1 for name, speaker in self.registry.items()}
        speakers = [replace(speaker, generation=generations.get(speaker.speaker_id, 0)) for speaker in made]
        self._put(self.registry.add(speakers).with_notes(self.definitions))
        made.clear()

    def _put(self, registry: SpeakerRegistry) -> None:
        if {**registry} == {**self.registry}:
            return
        self.etag = self.storage.put(
            SPEAKERS_PATH, registry.to_parquet(), if_absent=self.etag is None, if_match=self.etag
        )
        self.registry = registry


def _report(config: Config, failures: Sequence[str]) -> None:
    if failures and config.speakers.on_error == "stop":
        listed = "\n".join(f"  {message}" for message in failures[:20])
        raise SpeakerError(
            f"{config.speakers.path}: {len(failures)} speaker(s) cannot be enrolled:\n{listed}\n"
            "fix them, or set speakers.on_error to reject, which rejects their rows"
        )
    for message in failures:
        logger.warning("not enrolled, its rows will be rejected: %s", message)
