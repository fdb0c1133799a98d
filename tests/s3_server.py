"""SeaweedFS: a real S3 server in one process."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

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


def start_server(binary: str, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
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


def make_bucket(bucket: str, server: subprocess.Popen[bytes], log: Path, last_try: bool) -> bool:
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
