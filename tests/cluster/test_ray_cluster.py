"""Ray is started or joined: without a home folder, and with a message where it does not answer, or no longer does."""

import gc
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray._private.node import Node

from pipeline import synthesize_manifest
from pipeline.cluster import ray_api, ray_cluster
from pipeline.cluster.ray_cluster import ray_cluster as open_cluster
from pipeline.errors import RunStopped
from tests.inline_ray import InlineRay, inline_ray
from tests.runs import make_config, simple_rows, write_shard


@pytest.mark.parametrize("home", ["none", "a file", "writable", "with a token"])
def test_a_ray_of_our_own_needs_no_home_folder(tmp_path, monkeypatch, home):
    """Ray keeps a token in `~/.ray` and does not start where it cannot."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    if home == "a file":
        (tmp_path / "home").write_text("")
    elif home != "none":
        (tmp_path / "home" / ".ray").mkdir(parents=True)
        if home == "with a token":
            (tmp_path / "home" / ".ray" / "auth_token").write_text("token")
    tokens = []
    ray = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda *_, **__: tokens.append(os.environ.get("RAY_AUTH_TOKEN")),
        shutdown=lambda: None,
    )
    monkeypatch.setattr("pipeline.cluster.ray_api.ray", ray)
    with open_cluster():
        assert (tokens[0] is not None) == (home in ("none", "a file"))
    os.environ.pop("RAY_AUTH_TOKEN", None)  # Not by monkeypatch, which would put back what this run set.


@pytest.mark.parametrize(
    ("address", "said"),
    [("10.0.0.1:1", r"RAY_ADDRESS=10\.0\.0\.1:1: no Ray answers"), ("", "not start here, tried twice")],
)
def test_a_ray_that_does_not_start_is_reported(monkeypatch, address, said):
    def fail(*_, **__):
        raise Exception("the node timed out\n during startup")

    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv("TMPDIR", "/scratch")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr("pipeline.cluster.ray_api.ray", SimpleNamespace(is_initialized=lambda: False, init=fail))
    with pytest.raises(RunStopped, match=rf"{said}.*the node timed out during startup") as stop, open_cluster():
        pass
    assert address or "/scratch have room" in str(stop.value)


class HalfStarted(Node):
    """A node that is not there in time."""

    def __init__(self, ended):
        self._ended = ended
        raise Exception("the node timed out")

    def kill_all_processes(self, check_alive=True, allow_graceful=False, wait=False):
        self._ended.append(self)


@pytest.mark.parametrize("address", ["10.0.0.1:1", ""])
def test_a_sigterm_while_ray_starts_is_the_commands(monkeypatch, address):
    """Ray answers it by an exit whose code is the signal's number."""
    heard = []

    def handle(number, frame):
        heard.append(number)
        raise KeyboardInterrupt

    def init(*_, **__):
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr("pipeline.cluster.ray_api.ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    before = signal.signal(signal.SIGTERM, handle)
    try:
        with pytest.raises(KeyboardInterrupt), open_cluster():
            pass
        assert heard == [signal.SIGTERM] and signal.getsignal(signal.SIGTERM) is handle
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_ray_of_our_own_is_started_once_more(monkeypatch, caplog):
    """It gives itself 30 s; runs on a machine that was busy at their start ended there."""
    tries, ended = [], []

    def init(*_, **__):
        tries.append(len(ended))
        if len(tries) == 1:
            HalfStarted(ended)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    fake = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: None)
    monkeypatch.setattr("pipeline.cluster.ray_api.ray", fake)
    with open_cluster():
        assert tries == [0, 1], "the first one's processes are ended before the second start"
    assert "Ray did not start (Exception: the node timed out); trying once more" in caplog.text


class DyingRay(InlineRay):
    """Loses its node when the first actor is asked for."""

    def remote(self, **options):
        self.is_alive = False
        return super().remote(**options)


@pytest.mark.parametrize("dies", ["before it plans", "while it works"])
def test_a_driver_whose_node_ray_has_marked_dead_stops(tmp_path, random_weights, monkeypatch, dies):
    """It waited for ever: nothing it had asked for was answered, and it said how long was left."""
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 40))
    monkeypatch.setattr(ray_cluster, "_LOOK_S", 0.0)
    fake = DyingRay()
    fake.is_alive = dies == "while it works"
    with inline_ray(fake), pytest.raises(RunStopped, match=r"marked the node of this process dead \(.*, node own\)"):
        synthesize_manifest(make_config(tmp_path, random_weights))
    assert not (tmp_path / "output" / "_SUCCESS").exists()


def test_a_look_is_taken_every_few_seconds_only(monkeypatch):
    looks = []
    monkeypatch.setattr(ray_cluster.ray_api, "is_own_node_alive", lambda: looks.append(1) or True)
    watch = ray_cluster.NodeWatch()
    for _ in range(100):
        watch.check_if_due()
    assert not looks
    watch._next_look = 0.0
    for _ in range(100):
        watch.check_if_due()
    assert len(looks) == 1


def test_drivers_writers_and_commands_load_no_torch():
    """It takes seconds and memory; the replicas of the networks load it when they start."""
    commands = [f"jobs.{path.stem}" for path in Path("jobs").glob("[a-z]*.py") if path.stem != "benchmark"]
    modules = [
        "pipeline.cluster.writer_actor",
        "pipeline.benchmark.instant",
        "pipeline.cluster.stage_order",
        "pipeline.run.synthesize",
        *commands,
    ]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_who_is_ended_is_not_let_go_before_ray_is_left(monkeypatch):
    """Ray would let it end in order, and print what Python thinks of that."""
    calls = []
    ray = SimpleNamespace(
        kill=lambda actor, no_restart: calls.append("kill"), shutdown=lambda: calls.append(is_there())
    )
    monkeypatch.setattr(ray_api, "ray", ray)
    actor = InlineRay()
    handle = weakref.ref(actor)

    def is_there():
        gc.collect()
        return handle() is not None

    ray_api.kill(actor)
    del actor
    ray_api.shutdown()
    assert calls == ["kill", True] and not is_there()
