"""Rows replayed on the cluster: what becomes of a hang or a death. The audio itself is tested in `test_run.py`."""

import threading

import pytest
from ray.exceptions import ActorDiedError

from pipeline.cluster import pools
from pipeline.cluster import replay_actor as lone_replica
from pipeline.cluster import supervised as watched
from pipeline.cluster.replay_actor import ReplayActor, replay_remotely
from pipeline.cluster.replica import ReplicaSetup
from pipeline.errors import HangError, RunStopped
from tests.inline_ray import InlineActorClass, InlineRay
from tests.test_run import make_config


@pytest.fixture
def voice_with(tmp_path, monkeypatch):
    """Voice with a body in place of the work; it is given the actor."""
    config = make_config(tmp_path, "demo", replicas={"start_timeout_s": 0.2, "hang_timeout_s": 0.2})

    def voice_with(body):
        class Fake(ReplayActor.__ray_metadata__.modified_class):
            def voice(self, rows):
                return body(self)

        Fake.__ray_metadata__ = type("Metadata", (), {"modified_class": Fake})
        monkeypatch.setattr(lone_replica, "ReplayActor", InlineActorClass(Fake))
        return replay_remotely(ReplicaSetup(config, None, {}, "", 1), 1, [])

    for module in (watched, pools):
        monkeypatch.setattr(module, "ray", InlineRay())
    return voice_with


def test_a_hang_ends_it_and_is_named(voice_with):
    released = threading.Event()
    with pytest.raises(HangError, match=r"replaying rows made no step for 0\.2 s \(process \d+.*fewer rows"):
        voice_with(lambda actor: released.wait(60))
    released.set()


def test_steps_put_the_limit_off(voice_with):
    class Voicer:
        num_steps = 0

    def step(actor):
        actor._replayer = Voicer()
        for _ in range(5):
            actor._replayer.num_steps += 1
            threading.Event().wait(0.1)
        return ["a take"]

    assert voice_with(step) == ["a take"]


def test_a_death_ends_it_and_is_named(voice_with):
    def die(actor):
        raise ActorDiedError()

    with pytest.raises(RunStopped, match=r"replaying rows died \(process \d+.*3 times"):
        voice_with(die)
