"""Jobs on a running Ray cluster: what travels with them, and how they are sent, followed and stopped.

A job is one of our own commands, run on the cluster's head by Ray's Job API. It carries the project's folder and named
settings, and never credentials: whatever travels can be read by anybody who reaches the cluster's dashboard. Progress
is in the output's commits, not here, so that a command that is sent again goes on where the last job stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import os
import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.dataset import load_night_config
from pipeline.config.extras import need_extra
from pipeline.config.run import load_config
from pipeline.config.secrets import has_credentials, looks_secret
from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError, RunStopped, SynthesisError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

logger = logging.getLogger(__name__)

EXCLUDES = (
    ".git", ".venv", "venv", "node_modules", "__pycache__", "*.pyc", ".*_cache", ".hypothesis", "*.egg-info", "build",
    "dist", "/tests", "/docs", ".env", ".env.*", "*.pem", "*.key", ".netrc", ".aws", ".ssh", ".kube", ".ray",
)  # fmt: skip
"""Never sent: what the nodes have or make themselves, and files in which credentials are usually kept."""
_STOP_WAIT_S = 30
"""How long Ray waits for a stopped job before it kills it; our commands end within 20 s."""
_KEY = "spark_tts_batch"
"""Marks our jobs in Ray's metadata; the value tells commands apart."""
_RUNS = ("jobs.synthesize", "jobs.enroll", "jobs.audiobooks")
"""Commands whose config is a `Config` and nothing more."""
_MAX_LOST_CONTACTS = 8
_GIVE_SECRETS = (
    "credentials do not travel with a job; give them to the nodes: an IAM role, a mounted secret, or the environment "
    "in which `ray start` runs (docs/cluster.md)"
)


@dataclass(frozen=True)
class Command:
    """One of our commands, as it is sent.

    Args:
        words: `jobs.NAME` and its arguments.
        python: the interpreter's name or path on the head node.
        sha256: of the words and the config file's content; equal commands are the same work.
    """

    words: tuple[str, ...]
    python: str
    sha256: str

    @property
    def entrypoint(self) -> str:
        """The shell command."""
        return shlex.join([self.python, "-m", *self.words])


def read_command(words: Sequence[str], working_dir: Path, python: str = "python") -> Command:
    """Check a command as far as that is possible from here.

    Args:
        words: `jobs.NAME ARGUMENTS` or `python -m jobs.NAME ARGUMENTS`.
        working_dir: the folder that travels; a relative `--config` is read in it.
        python: the interpreter's name or path on the head node.

    Raises:
        ConfigError: it is none of our commands, it holds credentials, or its config cannot work on a cluster.
    """
    if "-m" in words[:2]:
        words = words[words.index("-m") + 1 :]
    name = words[0] if words else ""
    if not name.startswith("jobs.") or name == "jobs.submit":
        raise ConfigError(f"{' '.join(words) or 'no command'}: expected `-- jobs.NAME ...`, such as jobs.synthesize")
    if not (working_dir / "jobs" / f"{name[5:]}.py").is_file():
        raise ConfigError(f"{working_dir}: no {name} in it; run from the project's folder or pass --working-dir")
    for number, word in enumerate(words):
        # What follows `--set`, alone or as `--set=NAME=VALUE`; other words are all value.
        setting, equals, value = word.removeprefix("--set=").partition("=")
        if not equals:
            setting, value = f"argument {number}", word
        if has_credentials(value) or looks_secret(setting, value):
            raise ConfigError(f"{name}: {setting:.40} holds a credential; {_GIVE_SECRETS}")
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--config")
    options.add_argument("--set", action="append", default=[])
    known, _ = options.parse_known_args(list(words[1:]))
    digest = hashlib.sha256("\0".join(words).encode())
    if known.config is not None:
        digest.update(_check_config(working_dir, known.config, known.set, name))
    return Command(tuple(words), python, digest.hexdigest())


def _check_config(working_dir: Path, path: str, overrides: list[str], command: str) -> bytes:
    """Return the config's content, or nothing if it lies on the cluster."""
    if Path(path).is_absolute():
        if Path(path).is_relative_to(working_dir.resolve()):
            raise ConfigError(f"--config {path}: the folder has another place on the cluster; name it relative to it")
        return b""
    try:
        content = (working_dir / path).read_bytes()
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror} in {working_dir}, the folder that travels") from error
    raw = read_yaml(content, path)
    _refuse_secrets(raw, path)
    written: dict[str, Any] = {}
    if command == "jobs.dataset":
        night = load_night_config(working_dir / path, overrides)
        written |= {"output": night.corpus, "dataset.publish.to": night.dataset.publish.to}
    elif command in _RUNS:
        config = load_config(working_dir / path, overrides)
        written["output"] = config.output
        if command == "jobs.audiobooks" and config.audiobook is not None:
            written |= {"manifest": config.manifest, "audiobook.chapters": config.audiobook.chapters}
    else:
        given = raw.get("output") if isinstance(raw, dict) else None
        written["output"] = next((text[7:] for text in reversed(overrides) if text.startswith("output=")), given)
    for name, place in written.items():
        if isinstance(place, str) and "://" not in place and not place.startswith("/"):
            raise ConfigError(
                f"{path}: {name}: {place} is relative, so it would be lost with the job's temporary folder; name "
                "object storage (s3://...) or the absolute path of a file system that all nodes share"
            )
    return content


def _refuse_secrets(value: Any, place: str) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_secrets(item, f"{place}: {name}")
    elif isinstance(value, list):
        for item in value:
            _refuse_secrets(item, place)
    elif isinstance(value, str) and (has_credentials(value) or looks_secret("", value)):
        raise ConfigError(f"{place}: holds a credential; {_GIVE_SECRETS}")


def build_runtime_env(working_dir: Path, settings: Sequence[str]) -> dict[str, Any]:
    """Return what travels: the project's folder without what it should not have, and environment variables.

    Args:
        working_dir: the folder; runs' outputs in it stay behind, and so does what its .gitignore names.
        settings: `NAME=VALUE`.

    Raises:
        ConfigError: no such pair, or a credential.
    """
    env_vars = {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_WAIT_S)}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError("--env: expected NAME=VALUE, such as AWS_REGION=eu-west-1")
        if looks_secret(name, value) or has_credentials(value):
            raise ConfigError(f"--env {name}: looks like a credential; {_GIVE_SECRETS}")
        env_vars[name] = value
    outputs = [f"/{path.parent.relative_to(working_dir).as_posix()}" for path in _find_outputs(working_dir)]
    return {"working_dir": str(working_dir), "excludes": [*EXCLUDES, *sorted(outputs)], "env_vars": env_vars}


def _find_outputs(working_dir: Path) -> Iterator[Path]:
    """Yield the run.json of outputs up to three folders deep."""
    for pattern in ("*/run.json", "*/*/run.json", "*/*/*/run.json"):
        for path in working_dir.glob(pattern):
            if not path.relative_to(working_dir).parts[0].startswith("."):
                yield path


def connect(address: str) -> JobSubmissionClient:
    """Return a client of the cluster's job server.

    Args:
        address: `http://HOST:8265`.

    Raises:
        ConfigError: Ray's client is not installed, or nobody answers.
    """
    if not address.startswith(("http://", "https://")) or has_credentials(address):
        raise ConfigError(f"--address {address.rpartition('@')[2]}: expected the job server, as in http://HOST:8265")
    if find_spec("aiohttp") is None:
        raise ConfigError(need_extra("jobs.submit", "ray[default]", "cluster"))
    # Ray lets these variables override the address that it is given.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    token = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    if os.environ.get("RAY_AUTH_TOKEN") or Path(token).exists():
        # Clusters ask for the token by default, but a client shows it only when told to; read when Ray is imported.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    from ray.job_submission import JobSubmissionClient

    for chatty in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env"):
        logging.getLogger(f"ray.{chatty}").setLevel(logging.ERROR)
    with _told(address):
        return JobSubmissionClient(address)


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Turn the job client's errors, which are of many classes, into ours."""
    try:
        yield
    except SynthesisError:
        raise
    except ConnectionError as error:
        raise ConfigError(
            f"{place}: no Ray job server answers; is the cluster up, does it have ray[default], and is its dashboard "
            "port reachable from here (ssh -L 8265:localhost:8265 HOST, kubectl port-forward svc/NAME-head-svc 8265)?"
        ) from error
    except Exception as error:  # RuntimeError, ValueError, AuthenticationError, and those of two HTTP libraries.
        lines = str(error).splitlines() or [""]
        raise ConfigError(f"{place}: {type(error).__name__}: {lines[0][:500]}") from error


class JobServer:
    """Our jobs on one cluster.

    Args:
        client: from `connect`.
        address: named in messages.
    """

    def __init__(self, client: JobSubmissionClient, address: str) -> None:
        self._client = client
        self._address = address

    def submit(self, command: Command, runtime_env: Mapping[str, Any]) -> tuple[str, bool]:
        """Send a command, unless it is running already.

        Returns:
            the job's name, and whether it is new.

        Raises:
            ConfigError: the cluster refuses it, or the folder is too large for Ray.
        """
        for job in self.list_jobs():
            if job.metadata[_KEY] == command.sha256 and not job.status.is_terminal():
                return str(job.submission_id), False
        module = command.words[0].removeprefix("jobs.")
        name = f"{module}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        with _told(f"{self._address}: the job was not taken (its folder: {runtime_env.get('working_dir')})"):
            self._client.submit_job(
                entrypoint=command.entrypoint,
                submission_id=name,
                runtime_env=dict(runtime_env),
                metadata={_KEY: command.sha256},
            )
        return name, True

    def list_jobs(self) -> list[Any]:
        """Return our jobs that the cluster remembers, oldest first."""
        with _told(self._address):
            jobs = self._client.list_jobs()
        ours = [job for job in jobs if _KEY in (job.metadata or {}) and job.submission_id]
        return sorted(ours, key=lambda job: job.start_time or 0)

    def find(self, name: str) -> Any:
        """Return a job by its name; an empty name is the one job that runs.

        Raises:
            ConfigError: there is none, or not one.
        """
        jobs = self.list_jobs()
        found = [job for job in jobs if job.submission_id == name or (not name and not job.status.is_terminal())]
        if len(found) == 1:
            return found[0]
        names = ", ".join(job.submission_id for job in (found or jobs)[-5:]) or "none"
        what = f"no job {name}" if name else f"{len(found)} jobs run"
        raise ConfigError(f"{self._address}: {what}; name one of: {names}")

    def follow(self, name: str, write: Callable[[str], None], wait_s: float = 2.0) -> Any:
        """Write a job's log until the job ends; a connection that breaks is made anew.

        Args:
            name: of the job.
            write: takes a piece of the log, from its beginning.
            wait_s: seconds before the second try; doubled for each further one.

        Returns:
            the job as it ended.

        Raises:
            RunStopped: contact was lost for good; the job may go on.
        """
        num_written = num_lost = 0

        async def tail() -> None:
            nonlocal num_written, num_lost
            position = 0
            async for piece in self._client.tail_job_logs(name):
                num_lost = 0
                fresh = piece[max(0, num_written - position) :]
                position += len(piece)
                if fresh:
                    num_written = position
                    write(fresh)

        while True:
            try:
                asyncio.run(tail())
                job = self._client.get_job_info(name)
                if job.status.is_terminal():
                    return job
            except Exception as error:  # As in `_told`, or whatever a broken line ends in.
                num_lost += 1
                if num_lost > _MAX_LOST_CONTACTS:
                    raise RunStopped(
                        f"lost contact with {self._address} ({type(error).__name__}); job {name} may go on: look with "
                        f"--status {name}, or --follow {name}"
                    ) from error
                logger.warning("lost contact with %s; trying again", self._address)
            time.sleep(min(60.0, wait_s * 2 ** max(0, num_lost - 1)))

    def stop(self, name: str, wait_s: float = _STOP_WAIT_S + 15.0) -> Any:
        """End a job in order, as SIGTERM does: what its writers hold is committed.

        Returns:
            the job once it has ended.

        Raises:
            RunStopped: it does not end.
        """
        with _told(self._address):
            self._client.stop_job(name)
            deadline = time.monotonic() + wait_s
            while time.monotonic() < deadline:
                job = self._client.get_job_info(name)
                if job.status.is_terminal():
                    return job
                time.sleep(0.5)
        raise RunStopped(f"job {name} was told to stop, but still runs after {wait_s:.0f} s; see --status {name}")


def exit_code_of(job: Any) -> int:
    """Return our exit code of a job that ended.

    The command's own where it ended by itself; 3 where it was stopped, killed, or never came to run: whatever is
    committed is safe, and the same command goes on.
    """
    status, code = str(getattr(job.status, "value", job.status)), job.driver_exit_code
    if status == "SUCCEEDED":
        return 0
    if status == "FAILED" and code is not None and (0 < code < 128 or code == 130):
        return int(code)
    return 3


def describe_job(job: Any) -> str:
    """Return a job in one line."""
    status = str(getattr(job.status, "value", job.status))
    begun = f"{datetime.fromtimestamp(job.start_time / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC" if job.start_time else "-"
    ended = "" if job.driver_exit_code is None else f" (exit {job.driver_exit_code})"
    return f"{job.submission_id}  {status}{ended}  {begun}  {job.entrypoint}"
