"""A real cluster with a job server, on this machine: a synthesis is sent, left, stopped, resumed, verified, scraped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import yaml

from pipeline.output.commit_log import CommitLog
from pipeline.output.verify import verify_output
from pipeline.storage import open_storage
from tests.runs import make_config, simple_rows, write_shard

ROOT = Path(__file__).parent.parent.parent
# Ends with its input, and takes everything it started along.
HEAD = """
import sys, ray
head = ray.init(num_cpus=4, include_dashboard=True, dashboard_port=0, _temp_dir=sys.argv[1], log_to_driver=False)
print("head", head.dashboard_url, ray.nodes()[0]["MetricsExportPort"], flush=True)
sys.stdin.read()
ray.shutdown()
"""
LONGEST_S = 900.0
# So many that the run still goes on when its state has been asked for and its metrics have been scraped.
NUM_ROWS, UNIT_SIZE = 400, 4
NUM_UNITS = NUM_ROWS // UNIT_SIZE


@contextmanager
def running_head(folder):
    """Yield the job server's address and the address of the metrics."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["RAY_metrics_report_interval_ms"] = "1000"
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", HEAD, str(folder)]
    with open(folder / "head.log", "w") as log:
        head = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment)
    try:
        for line in head.stdout:
            if line.startswith(b"head "):
                _, dashboard, port = line.decode().split()
                yield f"http://{dashboard}", f"http://127.0.0.1:{port}/metrics"
                return
        raise AssertionError((folder / "head.log").read_text()[-2_000:])
    finally:
        head.communicate()


class Submitter:
    """Runs `jobs.submit`."""

    def __init__(self, address):
        self.base = [sys.executable, "-m", "jobs.submit", "--address", address]

    def start(self, *arguments):
        """Start it, with its output in pipes."""
        secret = {"AWS_SECRET_ACCESS_KEY": "never-to-travel"}
        return subprocess.Popen(
            [*self.base, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **secret},
        )  # fmt: skip

    def run(self, *arguments):
        """Run it to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=LONGEST_S)
        return process.returncode, out, err


def wait_until(predicate, what):
    deadline = time.monotonic() + LONGEST_S
    while not predicate():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def scrape(url):
    """Return the pipeline's samples: {(name, own labels): value}, and the types by name."""
    from prometheus_client.parser import text_string_to_metric_families

    samples, types = {}, {}
    for family in text_string_to_metric_families(urllib.request.urlopen(url).read().decode()):
        for sample in family.samples:
            if sample.name.startswith("ray_spark_tts_batch_"):
                own = tuple(
                    sample.labels[label] for label in ("status", "code", "stage", "state") if label in sample.labels
                )
                key = (sample.name.removeprefix("ray_spark_tts_batch_"), own)
                samples[key] = samples.get(key, 0.0) + sample.value
                types[key[0]] = family.type
    return samples, types


def check_cluster(folder, weights):
    """Do all of it once; takes a minute or two on an idle machine."""
    write_shard(folder / "manifest" / "a.parquet", simple_rows(0, NUM_ROWS))
    config = make_config(folder, weights, unit_size=UNIT_SIZE)
    (folder / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    log = CommitLog(open_storage(config.output))
    words = ["--", "jobs.synthesize", "--config", str(folder / "run.yaml")]
    # Paths of sockets are limited to 107 characters, so not under pytest's folder.
    temporary = Path(f"/tmp/synthesis-{os.getpid()}")
    temporary.mkdir()
    try:
        _send_and_resume(temporary, log, config, words)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # Daemons that end write on for a moment.


def _send_and_leave(submitter, words, log):
    """Return the name of a job that goes on."""
    follower = submitter.start(*words)
    try:
        wait_until(lambda: follower.poll() is not None or len(log.committed()) > 0, "no commit")
        follower.send_signal(signal.SIGTERM)
        _, printed = follower.communicate(timeout=60)
    finally:
        follower.kill()
    assert follower.returncode == 130, printed
    return re.search(r"job (\S+) goes on without you", printed)[1]


def _send_and_resume(temporary, log, config, words):
    with running_head(temporary) as (address, metrics_url):
        submitter = Submitter(address)
        name = _send_and_leave(submitter, words, log)

        code, out, _ = submitter.run("--status", name)
        assert code == 0
        assert "RUNNING" in out
        wait_until(lambda: ("replicas", ("llm", "ready")) in scrape(metrics_url)[0], "no gauges")
        code, _, printed = submitter.run("--no-follow", *words)
        assert code == 0
        assert f"job {name}: this command runs already" in printed
        code, out, _ = submitter.run("--stop")
        assert code == 0
        assert "STOPPED" in out
        num_before = len(log.committed())
        assert 0 < num_before < NUM_UNITS
        assert not list(Path(config.output).rglob(".tmp-*"))
        assert not open_storage(config.output).exists("lease.json")

        code, out, printed = submitter.run(*words)
        assert code == 0, printed
        assert name not in printed
        assert f"{NUM_ROWS} of {NUM_ROWS} utterances synthesized" in out
        assert "never-to-travel" not in out
        assert len(log.committed()) == NUM_UNITS
        assert verify_output(open_storage(config.output)).is_intact
        wait_until(lambda: scrape(metrics_url)[0].get(("units_total", ())) == NUM_UNITS, "units of both drivers")
        samples, types = scrape(metrics_url)
        assert samples["utterances_total", ("ok",)] == NUM_ROWS
        assert samples["audio_seconds_total", ()] > 0
        assert samples["llm_slot_steps_total", ("used",)] > 0
        assert all(kind == ("counter" if metric.endswith("_total") else "gauge") for metric, kind in types.items())
    print(
        f"cluster: sent, left, stopped after {num_before} of {NUM_UNITS} units, resumed, verified, scraped", flush=True
    )
