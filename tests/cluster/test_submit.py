"""Jobs for a cluster, against a stand-in for Ray's client; `python -m tests.soak --parts cluster` uses a real one."""

import fnmatch
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import jobs.submit
from pipeline.cluster import submit as submission
from pipeline.cluster.submit import JobServer, build_runtime_env, connect, exit_code_of, read_command
from pipeline.errors import ConfigError, RunStopped

ROOT = Path(__file__).parents[2]


class Status(str):
    def is_terminal(self):
        return self in {"SUCCEEDED", "FAILED", "STOPPED"}


class FakeClient:
    """A cluster's job server: jobs end when their log has been read to its end."""

    def __init__(self, ending=("SUCCEEDED", 0), breaks=()):
        self.jobs, self.ending, self.breaks = {}, ending, list(breaks)

    def submit_job(self, *, entrypoint, submission_id, runtime_env, metadata):
        job = SimpleNamespace(submission_id=submission_id, entrypoint=entrypoint, metadata=metadata)
        job.status, job.driver_exit_code, job.start_time, job.runtime_env = Status("RUNNING"), None, 1_000, runtime_env
        self.jobs[submission_id] = job
        return submission_id

    def list_jobs(self):
        stranger = SimpleNamespace(submission_id="theirs", metadata=None, status=Status("RUNNING"), start_time=1)
        return [*self.jobs.values(), stranger]

    def get_job_info(self, name):
        return self.jobs[name]

    def stop_job(self, name):
        self.jobs[name].status = Status("STOPPED")
        return True

    async def tail_job_logs(self, name):
        for number, piece in enumerate(("one\n", "two\n", "three\n")):
            if self.breaks and self.breaks[0] == number:
                self.breaks.pop(0)
                raise ConnectionResetError("gone")
            yield piece
        self.jobs[name].status, self.jobs[name].driver_exit_code = Status(self.ending[0]), self.ending[1]


@pytest.fixture
def project(tmp_path):
    """A folder with the code and a config that can work on a cluster."""
    (tmp_path / "jobs").mkdir()
    for name in ("audiobooks", "dataset", "synthesize", "verify", "submit"):
        (tmp_path / "jobs" / f"{name}.py").write_text("")
    raw = yaml.safe_load((ROOT / "configs" / "cluster_s3.yaml").read_text())
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw))
    (tmp_path / "night.yaml").write_text((ROOT / "configs" / "nightly_dataset.yaml").read_text())
    return tmp_path


COMMAND = ["jobs.synthesize", "--config", "run.yaml"]
NIGHT = ["jobs.dataset", "--config", "night.yaml", "--night", "2026-11-29"]
BOOKS = ["jobs.audiobooks", "--config", "run.yaml", "--set", "audiobook.catalogue=books"]


def submit(client, project, words=COMMAND):
    server = JobServer(client, "http://here:8265")
    return server, *server.submit(read_command(words, project), build_runtime_env(project, []))


def test_a_command_is_one_of_ours_and_quoted(project):
    words = ["jobs.synthesize", "--config", "run.yaml", "--set", "limit=2", "--set", "seed=$(rm -rf x)"]
    with pytest.raises(ConfigError, match="seed"):  # The config is checked before anything is sent.
        read_command(words, project)
    command = read_command([".venv/bin/python", "-m", "jobs.verify", "s3://b/it's here"], project, "/opt/bin/python")
    assert command.entrypoint == """/opt/bin/python -m jobs.verify 's3://b/it'"'"'s here'"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no command"),
        (["rm", "-rf", "/"], "expected `-- jobs.NAME"),
        (["jobs.submit"], "expected `-- jobs.NAME"),
        (["jobs.nothing"], "no jobs.nothing in it"),
        (["jobs.synthesize", "--config", "none.yaml"], "none.yaml: No such file"),
        ([*COMMAND, "--set", "output=out"], "output: out is relative"),
        ([*BOOKS, "--set", "manifest=s3://b/m", "--set", "audiobook.chapters=c"], "audiobook.chapters: c is relative"),
        ([*BOOKS, "--set", "manifest=m", "--set", "audiobook.chapters=s3://b/c"], "manifest: m is"),
        (NIGHT, "output: nightly/corpus is relative"),
        ([*NIGHT, "--set", "output=s3://b/c", "--set", "dataset.publish.to=p"], "dataset.publish.to: p is relative"),
        ([*NIGHT, "--set", "output=s3://b/c", "--set", "dataset.plam=1"], "did you mean plan"),
        ([*COMMAND, "--set", "outptu=s3://b/o"], "outptu: unknown setting"),
        ([*COMMAND, "--set", "output=s3://me:key@b/o"], "holds a credential"),
        ([*COMMAND, "--set", "manifest=https://h/m?X-Amz-Signature=abcdef"], "holds a credential"),
        (["jobs.verify", "s3://me:key@b/o"], "holds a credential"),
        (["jobs.verify", "AKIAABCDEFGHIJKLMNOP"], "holds a credential"),
    ],
)
def test_commands_that_cannot_work_are_refused_at_home(project, words, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_command(words, project)
    assert "key@" not in str(caught.value)


def test_a_night_is_sent(project):
    command = read_command([*NIGHT, "--set", "output=s3://b/corpus"], project)
    assert command.entrypoint.startswith("python -m jobs.dataset --config night.yaml --night 2026-11-29")


def test_a_config_with_a_key_in_it_does_not_travel(project):
    raw = yaml.safe_load((project / "run.yaml").read_text())
    (project / "run.yaml").write_text(yaml.safe_dump({**raw, "weights": "s3://AKIA:hidden@bucket/w"}))
    with pytest.raises(ConfigError, match=r"run.yaml: weights: holds a credential.*IAM role") as caught:
        read_command(COMMAND, project)
    assert "hidden" not in str(caught.value)


def test_an_absolute_config_is_the_clusters_own_unless_it_travels(project):
    assert "/data/run.yaml" in read_command(["jobs.synthesize", "--config", "/data/run.yaml"], project).entrypoint
    with pytest.raises(ConfigError, match="name it relative"):
        read_command(["jobs.synthesize", "--config", str(project.resolve() / "run.yaml")], project)


@pytest.mark.parametrize(
    "setting",
    [
        "AWS_SECRET_ACCESS_KEY=abc",
        "HF_TOKEN=x",
        "MY_API_KEY=x",
        "DB_PASSWD=x",
        "STORE=s3://user:pass@host/b",
        "WHERE=https://h/o?sig=abcdefgh",
        "ID=AKIAABCDEFGHIJKLMNOP",
        "PEM=-----BEGIN PRIVATE KEY-----",
        "COPY=local-secret-value",
        "novalue",
        "A B=c",
    ],
)
def test_secrets_are_refused_as_settings(project, monkeypatch, setting):
    monkeypatch.setenv("SOME_SECRET", "local-secret-value")
    with pytest.raises(ConfigError) as caught:
        build_runtime_env(project, [setting])
    assert "docs/cluster.md" in str(caught.value) or "NAME=VALUE" in str(caught.value)
    assert setting[-8:] not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    ["AWS_REGION=eu-west-1", "TOKENIZERS_PARALLELISM=false", "AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/token", "EMPTY="],
)
def test_plain_settings_travel(project, setting):
    name, _, value = setting.partition("=")
    assert build_runtime_env(project, [setting])["env_vars"][name] == value


def test_outputs_and_what_holds_keys_stay_behind(project, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-the-cluster")
    for output in ("out", "runs/monday"):
        (project / output).mkdir(parents=True)
        (project / output / "run.json").write_text("{}")
    environment = build_runtime_env(project, [])
    assert {"/out", "/runs/monday", ".git", ".venv", ".env"} <= set(environment["excludes"])
    assert not any(fnmatch.fnmatch(name, pattern) for name in ("pipeline", "jobs", "configs", "run.yaml")
                   for pattern in environment["excludes"])  # fmt: skip
    assert "not-for-the-cluster" not in repr(environment)
    assert environment["working_dir"] == str(project)


def test_the_same_command_follows_the_job_that_runs_and_resumes_the_one_that_ended(project):
    client = FakeClient()
    server, first, is_new = submit(client, project)
    assert is_new
    assert submit(client, project)[1:] == (first, False)
    other = submit(client, project, [*COMMAND, "--set", "limit=5"])
    assert other[2]
    assert server.stop(first).status == "STOPPED"
    assert submit(client, project)[2]
    assert len(client.jobs) == 3


def test_another_config_of_the_same_name_is_another_command(project):
    client = FakeClient()
    submit(client, project)
    (project / "run.yaml").write_text((project / "run.yaml").read_text() + "seed: 5\n")
    assert submit(client, project)[2]


def test_a_log_is_written_once_though_its_line_breaks(project):
    client = FakeClient(breaks=[2, 1, 0, 2])
    server, name, _ = submit(client, project)
    written = []
    job = server.follow(name, written.append, wait_s=0.0)
    assert "".join(written) == "one\ntwo\nthree\n"
    assert exit_code_of(job) == 0


def test_contact_that_is_lost_for_good_leaves_the_job_alone(project, monkeypatch):
    monkeypatch.setattr(submission, "_MAX_LOST_CONTACTS", 2)
    client = FakeClient(breaks=[0] * 9)
    server, name, _ = submit(client, project)
    with pytest.raises(RunStopped, match=rf"lost contact .* --follow {name}"):
        server.follow(name, print, wait_s=0.0)
    assert client.jobs[name].status == "RUNNING"


@pytest.mark.parametrize(
    ("status", "code", "ours"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 1, 1),
        ("FAILED", 2, 2),
        ("FAILED", 3, 3),
        ("FAILED", 130, 130),
        ("FAILED", 127, 127),
        ("FAILED", -9, 3),
        ("FAILED", 137, 3),
        ("FAILED", None, 3),
        ("STOPPED", None, 3),
    ],
)
def test_exit_codes(status, code, ours):
    assert exit_code_of(SimpleNamespace(status=status, driver_exit_code=code)) == ours


def test_jobs_are_found_by_name_or_because_only_one_runs(project):
    client = FakeClient()
    server, name, _ = submit(client, project)
    assert server.find("").submission_id == server.find(name).submission_id == name
    with pytest.raises(ConfigError, match=f"no job theirs; name one of: {name}"):
        server.find("theirs")
    submit(client, project, ["jobs.verify", "s3://b/o"])
    with pytest.raises(ConfigError, match="2 jobs run; name one of"):
        server.find("")


def run_main(monkeypatch, client, arguments):
    monkeypatch.setattr(jobs.submit, "connect", lambda address: client)
    return jobs.submit.main(["--address", "http://here:8265", *arguments])


def test_the_command_ends_as_its_job_did(project, monkeypatch, capsys):
    arguments = ["--working-dir", str(project), "--", *COMMAND]
    assert run_main(monkeypatch, FakeClient(("FAILED", 1)), arguments) == 1
    output = capsys.readouterr()
    assert output.out == "one\ntwo\nthree\n"
    assert "FAILED (exit 1)" in output.err
    assert run_main(monkeypatch, FakeClient(("STOPPED", None)), arguments) == 3
    assert "same command again" in capsys.readouterr().err


def test_leaving_leaves_the_job_running(project, monkeypatch, capsys):
    client = FakeClient()
    monkeypatch.setattr(client, "tail_job_logs", interrupted)
    assert run_main(monkeypatch, client, ["--working-dir", str(project), "--", *COMMAND]) == 130
    (name,) = client.jobs
    printed = capsys.readouterr().err
    assert "goes on without you" in printed
    assert f"--follow {name}" in printed and f"--stop {name}" in printed
    assert client.jobs[name].status == "RUNNING"
    assert run_main(monkeypatch, client, ["--stop"]) == 0
    assert run_main(monkeypatch, client, ["--status"]) == 0
    assert f"{name}  STOPPED" in capsys.readouterr().out


async def interrupted(name):
    yield "one\n"
    raise KeyboardInterrupt


def test_nobody_at_the_address_is_a_message(monkeypatch, capsys):
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, "disabled")  # What the command sets is put back.
    assert jobs.submit.main(["--address", "http://127.0.0.1:9", "--status"]) == 2
    printed = capsys.readouterr().err
    assert "no Ray job server answers" in printed or "needs the package ray[default]" in printed


@pytest.mark.parametrize("address", ["here:8265", "ray://here:10001", "http://user:key@here:8265"])
def test_addresses_that_cannot_be(address):
    with pytest.raises(ConfigError, match="expected the job server") as caught:
        connect(address)
    assert "user:key" not in str(caught.value)
