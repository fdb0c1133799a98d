"""Enrollment on the cluster: what becomes of one that hangs or dies. What it makes is tested with the speakers."""

import threading

import pytest
from ray.exceptions import ActorDiedError

from pipeline.cluster.enrollment_actor import EnrollmentActor, enroll_remotely
from pipeline.cluster.supervised import MAX_TRIES
from pipeline.errors import HangError, RunStopped, WeightsError
from pipeline.synthesis.speakers import SpeakerDefinition
from tests.inline_ray import InlineRay, inline_ray
from tests.runs import make_config

DEFINITIONS = [SpeakerDefinition(speaker_id=name, gender="female") for name in ("anna", "bea")]


@pytest.fixture
def enroll_with(tmp_path):
    """Enroll with a body in place of the work; it is given the actor and the number of the try."""
    released, tries = threading.Event(), []

    class Fake(EnrollmentActor):
        def enroll(self, definitions):
            tries.append(1)
            return body_of[0](self, len(tries))

    body_of = []
    config = make_config(tmp_path, "demo", replicas={"start_timeout_s": 0.2})

    def enroll_with(body):
        body_of.append(body)
        return enroll_remotely(config, DEFINITIONS)

    enroll_with.released, enroll_with.tries = released, tries
    with inline_ray(InlineRay({EnrollmentActor: Fake})):
        yield enroll_with
    released.set()


def test_a_hang_is_ended_and_enrollment_begun_again(enroll_with, caplog):
    def hang_once(actor, number):
        if number == 1:
            actor._num_begun = 2
            enroll_with.released.wait(60)
        return [], {"anna": "no"}

    assert enroll_with(hang_once) == ([], {"anna": "no"})
    assert "enrollment of speaker 'bea' made no step for 0.2 s (process " in caplog.text


def test_hangs_stop_the_run_and_are_named(enroll_with):
    with pytest.raises(HangError, match=r"enrollment made no step for 0\.2 s \(process \d+ on .*start_timeout_s"):
        enroll_with(lambda actor, number: enroll_with.released.wait(60))
    assert len(enroll_with.tries) == MAX_TRIES


def test_steps_put_the_limit_off(enroll_with):
    def step(actor, number):
        for _ in range(5):
            actor._num_begun += 1
            enroll_with.released.wait(0.1)
        return [], {}

    assert enroll_with(step) == ([], {})
    assert len(enroll_with.tries) == 1


def fail(error):
    raise error


def test_deaths_stop_the_run_and_are_named(enroll_with):
    with pytest.raises(RunStopped, match=rf"enrollment died \(process \d+.*{MAX_TRIES} times"):
        enroll_with(lambda actor, number: fail(ActorDiedError()))
    assert len(enroll_with.tries) == MAX_TRIES


def test_weights_that_cannot_be_used_are_reported_at_once(enroll_with):
    with pytest.raises(WeightsError, match=r"^broken$"):
        enroll_with(lambda actor, number: fail(WeightsError("broken")))
    assert len(enroll_with.tries) == 1
