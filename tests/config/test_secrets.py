"""A planted key shows up nowhere."""

import logging
import subprocess
import sys

import pytest
import yaml

from pipeline.config.run import StorageConfig
from pipeline.config.secrets import RedactingFormatter, has_credentials, redact, redact_all, without_signature
from pipeline.errors import ConfigError, SpeakerError
from pipeline.run.open_output import describe_start
from pipeline.storage import describe_cause, open_storage, read_bytes
from pipeline.synthesis.speaker_definitions import make_definition
from tests.runs import make_config, simple_rows, write_shard

KEY = "PLANTED-wJalrXUtnFEMI"


ODD_PASSWORDS = [
    f"https://user:p{between}{KEY}@host/a.wav"
    for between in ("@", "/", "'", '"', " ", "\n", "?", "#", "%40", ":", "\\")
] + [f"https:/user:{KEY}@host/a.wav", f"https://user:{KEY}%40host/a.wav", f"HTTPS://user:{KEY}\uff20host/a.wav"]
"""What people paste who do not know that an address takes no such character."""


@pytest.mark.parametrize(
    "text",
    [
        f"s3://user:{KEY}@bucket/x failed",
        f"GET https://host/a.wav?X-Amz-Signature={KEY}&b=1 gave 403",
        f"{{'aws_secret_access_key': '{KEY}'}}",
        f"password={KEY}",
        f"https://{KEY}@host/",
        f"//user:{KEY}@host/x: no such folder",
        f"https://host/x;sig={KEY} is no store",
        f"s3://bucket/x?apikey={KEY}",
        f"Authorization: Bearer {KEY}",
        *(f"{uri}: cannot be read" for uri in ODD_PASSWORDS),
    ],
)
def test_redacted(text):
    assert KEY not in redact(text)
    assert KEY not in describe_cause(ValueError(text))
    record = logging.LogRecord("x", logging.INFO, "", 0, text, None, None)
    assert KEY not in RedactingFormatter().format(record)
    assert KEY not in str(redact_all({"a": [text, {"b": (text,)}]}))


def test_secrets_of_the_environment_are_known_by_value(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    assert redact(f"odd words {KEY} around it") == "odd words ... around it"


def test_innocent_text_stays():
    for text in ("s3://bucket/a@b/c.wav", "/data/what?/x", "the token count is 5", "mail me at a@b.c"):
        assert redact(text) == text
    for uri in ("http://host:9000/a@b", "http://[::1]:80/a@b", "file:///a:b@c", "s3://bucket/a:b@c", "C:/a@b", "a:b@c"):
        assert redact(f"{uri}: no such file") == f"{uri}: no such file"
        assert not has_credentials(uri)
    assert not has_credentials("s3://bucket/a@b/c.wav")
    assert not has_credentials("file:///a@b")


KEYED = [
    f"s3://user:{KEY}@bucket/x",
    f"gs://{KEY}@bucket",
    f"//user:{KEY}@host/x",
    f"file://user:{KEY}@host/x",
    f"s3://bucket/x?X-Amz-Signature={KEY}&X-Amz-Expires=600",
    f"az://container/x?sv=2020&sig={KEY}",
]


@pytest.mark.parametrize("uri", ODD_PASSWORDS)
def test_an_odd_password_is_one(uri):
    """It became part of the definition of a speaker, in `speakers.parquet`."""
    with pytest.raises(SpeakerError, match="credentials in an address") as caught:
        make_definition({"speaker_id": "x", "reference_audio": uri})
    assert KEY not in str(caught.value)
    with pytest.raises((ConfigError, FileNotFoundError)) as caught:
        read_bytes(uri, StorageConfig(allow_http=["host"]))
    assert KEY not in redact(str(caught.value))


@pytest.mark.parametrize("uri", KEYED)
def test_keys_in_addresses_are_refused_without_being_shown(uri):
    with pytest.raises(ConfigError) as caught:
        open_storage(uri)
    assert KEY not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        open_storage("s3://bucket/x", StorageConfig(endpoint_url=f"http://me:{KEY}@host"))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["s3://host", "host:9000", "https://host/x?y=1", "http://", "ftp://host", "https://a b"]
)
def test_an_endpoint_that_is_none_is_a_wrong_setting(url):
    """It was taken for a store that does not answer, and the run for one to start again."""
    with pytest.raises(ConfigError, match=r"storage\.endpoint_url: .*: expected http://HOST:PORT or https://HOST"):
        open_storage("s3://bucket/x", StorageConfig(endpoint_url=url))


def test_run_json_holds_no_secret(tmp_path, random_weights):
    config = make_config(tmp_path, random_weights, storage={"endpoint_url": f"http://me:{KEY}@host"})
    assert KEY not in str(describe_start(config))


@pytest.mark.parametrize("name", ["output", "manifest", "weights", "speakers"])
def test_no_command_prints_a_key(tmp_path, random_weights, name):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 1))
    raw = make_config(tmp_path, random_weights).model_dump(mode="json") | {name: f"s3://user:{KEY}@bucket/x"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "jobs.synthesize", "--config", str(tmp_path / "run.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert KEY not in done.stdout + done.stderr
    assert "credentials in an address" in done.stderr


AZURE = "sv=2024-08-04&se=2026-12-01T00%3A00Z&sr=b&sp=r&sig="


@pytest.mark.parametrize(
    ("signed", "again"),
    [
        (f"https://b.s3.amazonaws.com/a.wav?X-Amz-Date=1&X-Amz-Signature={KEY}", "https://b.s3.amazonaws.com/a.wav"),
        (f"https://x.blob.core.windows.net/v/a.wav?{AZURE}{KEY}", f"https://x.blob.core.windows.net/v/a.wav?{AZURE}o"),
        (
            f"https://cdn/a.wav?Expires=1&Signature={KEY}&Key-Pair-Id=K",
            "https://cdn/a.wav?Expires=2&Signature=o&Key-Pair-Id=K",
        ),
        (f"https://h/a.wav?id=5&token={KEY}", "https://h/a.wav?id=5&token=other"),
        (f"https://h/a.wav?{AZURE}{KEY}#{KEY}", "https://h/a.wav"),
        (
            f"https://h/a.wav?q-sign-time=1&q-ak=A&q-signature={KEY}",
            "https://h/a.wav?q-sign-time=2&q-ak=B&q-signature=o",
        ),
        (f"https://h/a.wav?hdnts=exp=1~hmac={KEY}", "https://h/a.wav"),
        (f"https://h/a.wav?Authorization={KEY}", "https://h/a.wav?Authorization=other"),
    ],
)
def test_an_address_that_is_signed_again_is_the_same(signed, again):
    assert without_signature(signed) == without_signature(again)
    assert KEY not in without_signature(signed)


def test_what_tells_two_files_apart_stays_and_shows_no_key():
    texts = [f"https://h/a.wav?{query}" for query in ("", "id=1", "id=2", f"k={KEY}", "sp=anna", "sp=bea")]
    assert len({without_signature(text) for text in texts}) == len(texts)
    assert not any(KEY in without_signature(text) for text in texts)
    for plain in ("/data/what?.wav", "s3://b/what?.wav", "gs://b/a b/c.wav", "clip.wav"):
        assert without_signature(plain) == plain


def test_keys_of_azure_and_signatures_behind_a_hash_are_not_shown():
    for text in (
        "AccountName=a;AccountKey=c2VjcmV0a2V5==;",
        "https://h/x#sig=c2VjcmV0a2V5==",
        "account_key: c2VjcmV0a2V5",
    ):
        assert "c2VjcmV0" not in redact(f"error at {text} here")
