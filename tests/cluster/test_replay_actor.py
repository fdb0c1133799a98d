"""Rows replayed on the cluster: what becomes of a hang or a death. The audio itself is tested in `test_run.py`."""

import threading

import pytest
from ray.exceptions import ActorDiedError

from pipeline.cluster.replay_actor import ReplayActor, replay_remotely
from pipeline.cluster.replica import ReplicaSetup
from pipeline.errors import HangError, RunStopped
from tests.inline_ray import InlineRay, inline_ray
from tests.runs import make_config


@pytest.fixture
def replay_with(tmp_path):
    """Replay with a body in place of the work; it is given the actor."""
    config = make_config(tmp_path, "demo", replicas={"start_timeout_s": 1.0, "hang_timeout_s": 1.0})

    def replay_with(body):
        class Fake(ReplayActor):
            def replay(self, rows):
                return body(self)

        with inline_ray(InlineRay({ReplayActor: Fake})):
            return replay_remotely(ReplicaSetup(config, None, {}, "", {}), [])

    return replay_with


def test_a_hang_ends_it_and_is_named(replay_with):
    released = threading.Event()
    with pytest.raises(HangError, match=r"replaying rows made no step for 1 s \(process \d+.*fewer rows"):
        replay_with(lambda actor: released.wait(60))
    released.set()


def test_steps_put_the_limit_off(replay_with):
    class FakeReplayer:
        num_steps = 0

    def step(actor):
        actor._replayer = FakeReplayer()
        for _ in range(8):
            actor._replayer.num_steps += 1
            threading.Event().wait(0.15)
        return ["a take"]

    assert replay_with(step) == ["a take"]


def test_a_death_ends_it_and_is_named(replay_with):
    def die(actor):
        raise ActorDiedError()

    with pytest.raises(RunStopped, match=r"replaying rows died \(process \d+.*3 times"):
        replay_with(die)
