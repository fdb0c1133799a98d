"""The speakers of a config become voices of its output, ahead of its run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipeline.cluster.ray_cluster import ray_cluster
from pipeline.config.run import Config
from pipeline.errors import ConfigError
from pipeline.run.changed_manifest import adopt_manifest
from pipeline.run.open_output import open_output
from pipeline.run.plan import plan_run
from pipeline.run.sample import follow_sample
from pipeline.synthesis.speakers import SpeakerRegistry


@dataclass(frozen=True)
class Enrollment:
    """What the speakers of a config came to."""

    speakers: SpeakerRegistry
    """Every voice of the output."""
    rejected: tuple[str, ...]
    """Why a speaker has no voice, for each that has none; only with `speakers.on_error: reject`."""


def enroll_speakers(config: Config, replaced: Collection[str] = ()) -> Enrollment:
    """Enroll the speakers of a config ahead of its run.

    Args:
        config: of the run.
        replaced: ids of speakers to enroll anew, as their definition or recording has changed. The next start
            synthesizes their rows again.

    Raises:
        ConfigError, ManifestError, WeightsError, SpeakerError: something is wrong; the message says what to do.
    """
    plan = plan_run(config)
    undefined = sorted({*replaced} - {definition.speaker_id for definition in plan.definitions})
    if undefined:
        raise ConfigError(
            f"--replace {undefined[0]}: not defined in {config.speakers.path}, or removed from {config.output}; check "
            "the spelling, or take a new speaker_id"
        )
    with open_output(plan, replaced) as output:
        if replaced:
            # Which voices rows were planned with must be on record before they go.
            adopt_manifest(follow_sample(plan, output.record.read_table()), output)
            output.log.clear_success()
        if not output.speakers.missing:
            return Enrollment(output.speakers.registry, ())
        with ray_cluster():
            failures = output.speakers.enroll(config)
        return Enrollment(output.speakers.registry, tuple(failures))
