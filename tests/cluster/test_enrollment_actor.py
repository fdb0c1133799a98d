"""Enrollment on the cluster: what becomes of one that hangs or dies. What it makes is tested with the speakers."""

import threading

import pytest
import yaml
from ray.exceptions import ActorDiedError, NodeDiedError, OwnerDiedError

import jobs.enroll
from pipeline import enroll_speakers
from pipeline.cluster.enrollment_actor import EnrollmentActor, enroll_remotely
from pipeline.cluster.supervised import MAX_TRIES
from pipeline.errors import HangError, RunStopped, WeightsError
from pipeline.storage import open_storage
from pipeline.synthesis.enrollment import Enroller
from pipeline.synthesis.speaker_definitions import SpeakerDefinition
from pipeline.synthesis.speakers import SpeakerRegistry
from tests.inline_ray import InlineRay, inline_ray
from tests.runs import make_config, write_shard

DEFINITIONS = [SpeakerDefinition(speaker_id=name, gender="female") for name in ("anna", "bea")]


@pytest.fixture
def enroll_with(tmp_path):
    """Enroll with a body in place of the work; it is given the actor, the number of the call, and the definition."""
    released, calls = threading.Event(), []

    class Fake(EnrollmentActor):
        def enroll(self, definition):
            calls.append(definition.speaker_id)
            self._num_begun += 1
            return body_of[0](self, len(calls), definition)

    body_of = []
    config = make_config(tmp_path, "demo", replicas={"start_timeout_s": 1.0})

    def enroll_with(body):
        body_of.append(body)
        return {definition.speaker_id: made for definition, made in enroll_remotely(config, DEFINITIONS)}

    enroll_with.released, enroll_with.calls = released, calls
    with inline_ray(InlineRay({EnrollmentActor: Fake})):
        yield enroll_with
    released.set()


def test_a_hang_is_ended_and_its_speaker_begun_again(enroll_with, caplog):
    def hang_once(actor, number, definition):
        if number == 2:
            enroll_with.released.wait(60)
        return f"voice of {definition.speaker_id}"

    assert enroll_with(hang_once) == {"anna": "voice of anna", "bea": "voice of bea"}
    assert enroll_with.calls == ["anna", "bea", "bea"]
    assert "enrollment of speaker 'bea' made no step for 1 s (process " in caplog.text


def test_hangs_stop_the_run_and_are_named(enroll_with):
    with pytest.raises(HangError, match=r"speaker 'anna' made no step for 1 s \(process \d+ on .*start_timeout_s"):
        enroll_with(lambda actor, number, definition: enroll_with.released.wait(60))
    assert len(enroll_with.calls) == MAX_TRIES


def test_steps_put_the_limit_off(enroll_with):
    def step(actor, number, definition):
        for _ in range(8):
            actor._num_begun += 1
            enroll_with.released.wait(0.15)
        return "voice"

    assert enroll_with(step) == {"anna": "voice", "bea": "voice"}
    assert len(enroll_with.calls) == 2


def fail(error):
    raise error


def test_deaths_stop_the_run_and_are_named(enroll_with):
    with pytest.raises(RunStopped, match=rf"speaker 'anna' died \(process \d+.*{MAX_TRIES} times"):
        enroll_with(lambda *_: fail(ActorDiedError()))
    assert len(enroll_with.calls) == MAX_TRIES


@pytest.mark.parametrize("loss", [NodeDiedError("gone"), OwnerDiedError("0" * 56, None, "")])
def test_losses_with_a_node_count_for_nothing(enroll_with, loss):
    num_lost = 2 * MAX_TRIES
    assert enroll_with(lambda actor, number, definition: fail(loss) if number <= num_lost else "voice")
    assert enroll_with.calls == ["anna"] * (num_lost + 1) + ["bea"]


def test_weights_that_cannot_be_used_are_reported_at_once(enroll_with):
    with pytest.raises(WeightsError, match=r"^broken$"):
        enroll_with(lambda *_: fail(WeightsError("broken")))
    assert len(enroll_with.calls) == 1


def test_what_was_enrolled_is_kept_whatever_becomes_of_the_rest(tmp_path, random_weights, monkeypatch):
    """38 of 40 voices were made and none was stored when the 39th failed."""
    names = [f"s{number}" for number in range(4)]
    write_shard(tmp_path / "manifest" / "a.parquet", [{"utterance_id": "a", "text": "Hello.", "speaker_id": "s0"}])
    speakers = [{"speaker_id": name, "gender": "female"} for name in names]
    config = make_config(tmp_path, random_weights)
    (tmp_path / "speakers.yaml").write_text(yaml.safe_dump(speakers))
    create, made = Enroller.create_voice, []

    def create_two(self, *arguments):
        if len(made) == 2:
            raise RuntimeError("nobody foresaw this")
        made.append(1)
        return create(self, *arguments)

    monkeypatch.setattr(Enroller, "create_voice", create_two)
    with inline_ray():
        with pytest.raises(RunStopped, match="enrollment of speaker 's2' failed: RuntimeError: nobody foresaw this"):
            enroll_speakers(config)
        kept = SpeakerRegistry.from_parquet(open_storage(config.output).get("speakers.parquet"))
        assert sorted(kept) == names[:2]
        made.clear()
        assert sorted(enroll_speakers(config).speakers) == names
    assert len(made) == 2


def test_the_command_says_that_speakers_were_rejected(tmp_path, random_weights, capsys, caplog):
    """It was exit 0 with a voice missing; a second time it finds the same."""
    config = make_config(tmp_path, random_weights, speakers={"path": str(tmp_path / "s.yaml"), "on_error": "reject"})
    write_shard(tmp_path / "manifest" / "a.parquet", [{"utterance_id": "a", "text": "Hello.", "speaker_id": "s0"}])
    (tmp_path / "s.yaml").write_text("- {speaker_id: s0, gender: male}\n- {speaker_id: s1, reference_audio: no.wav}\n")
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    with inline_ray():
        for _ in range(2):
            assert jobs.enroll.main(["--config", str(path)]) == 1
            assert "1 speaker(s) rejected" in capsys.readouterr().out
            assert "'s1': no.wav: there is no such file" in caplog.text
    (tmp_path / "s.yaml").write_text("- {speaker_id: s0, gender: male}\n")
    assert jobs.enroll.main(["--config", str(path)]) == 0  # Nothing to do needs no Ray.
