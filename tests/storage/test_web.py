"""web.py, against a server of the test's own: only hosts that are listed, nothing large, nothing unpacked."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from pipeline.config.run import LimitsConfig, StorageConfig
from pipeline.errors import ConfigError, StorageError
from pipeline.storage import read_bytes
from pipeline.storage import web as web_storage

KEY = "PLANTED-wJalrXUtnFEMI"


class Handler(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.asked.append(self.path)
        name = self.path.partition("?")[0].lstrip("/")
        status, headers, body = 200, {}, b"content"
        if name == "missing":
            status = 404
        elif name == "broken":
            status = 500
        elif name.startswith("to/"):
            status, headers = 302, {"Location": name.removeprefix("to/")}
        elif name == "packed":
            headers, body = {"Content-Encoding": "gzip"}, gzip.compress(b"content")
        elif name == "a.yaml.gz":
            body = gzip.compress(b"content")
        elif name == "large":
            body = bytes(20_000)
        elif name == "endless":
            headers, body = {"Content-Length": str(1 << 50)}, bytes(20_000)
        elif name == "cut":
            headers, body = {"Content-Length": "100"}, b"half"
        elif name == "drip":
            return self.drip()
        elif name == "away":
            status, headers, body = 302, {"Location": "/a", "Content-Length": str(1 << 50)}, bytes(20_000)
        self.send_response(status)
        for field, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(field, value)
        self.end_headers()
        self.wfile.write(body)
        if name == "away":
            self.rest_sent.wait(60)

    rest_sent = threading.Event()

    def drip(self):
        """Never silent, never done; without a length, so that a cut looks like the end."""
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b"x")
                time.sleep(0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://localhost:{served.server_port}"
        served.shutdown()


def read(uri: str, *hosts: str) -> bytes:
    limits = LimitsConfig(max_file_mb=0.01)
    return read_bytes(uri, StorageConfig(allow_http=hosts, limits=limits))


def test_a_listed_host_is_read(server):
    assert read(f"{server}/a%20b?c=d", "LocalHost", "127.0.0.1") == b"content"
    assert Handler.asked[-1] == "/a%20b?c=d"


@pytest.mark.parametrize("uri", ["http://example.org/a.wav", "https://example.org/a.wav", "HTTP://Example.org/a.wav"])
def test_nothing_is_asked_of_a_host_that_is_not_listed(uri, monkeypatch):
    monkeypatch.setattr("socket.create_connection", lambda *_: pytest.fail("connected"))
    with pytest.raises(ConfigError, match=r"only from hosts that are listed.*storage\.allow_http to \[example\.org\]"):
        read_bytes(uri)
    with pytest.raises(ConfigError, match=r"storage\.allow_http"):
        read(uri, "example.com", "org", "notexample.org")


def test_a_listed_name_does_not_open_this_machine(server):
    """A name may lead anywhere, to the service with the cloud's credentials, too."""
    asked = len(Handler.asked)
    with pytest.raises(ConfigError, match=r"its host is 127\.0\.0\.1, which is this machine or a service beside it"):
        read(f"{server}/a", "localhost")
    assert len(Handler.asked) == asked


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "::1", "fe80::1%eth0", "0.0.0.0", "::ffff:127.0.0.1", "224.0.0.1"]
)
def test_addresses_of_the_machine_and_its_link_are_known(address):
    with pytest.raises(ConfigError, match="this machine or a service beside it"):
        web_storage._check_peer(address, "http://name/a", ("name",))


@pytest.mark.parametrize("address", ["10.0.0.7", "192.168.1.5", "93.184.215.14", "2606:2800:21f::1"])
def test_other_addresses_of_a_listed_name_are_free(address):
    web_storage._check_peer(address, "http://name/a", ("name",))


def test_a_redirect_stays_on_its_host(server):
    port = server.rpartition(":")[2]
    assert read(f"{server}/to//moved", "localhost", "127.0.0.1") == b"content"
    for target in ("http://example.org/a", f"http://127.0.0.1:{port}/a", "//example.org/a"):
        with pytest.raises(ConfigError, match="redirects to another host, http://"):
            read(f"{server}/to/{target}", "localhost", "127.0.0.1", "example.org")
    with pytest.raises(ConfigError, match="not an address"):
        read(f"{server}/to/file:///etc/passwd", "localhost", "127.0.0.1")


def test_redirects_end(server):
    with pytest.raises(StorageError, match="redirects more than 5 times"):
        read(f"{server}/to//to//to//to//to//to//to//x", "localhost", "127.0.0.1")


def test_the_body_of_a_redirect_is_not_read(server, monkeypatch):
    """It may have no end; `requests` would hold all of it in memory."""
    monkeypatch.setattr(web_storage, "_LONGEST_S", 30.0)
    assert read(f"{server}/away", "localhost", "127.0.0.1") == b"content"
    Handler.rest_sent.set()


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(server, monkeypatch):
    monkeypatch.setattr(web_storage, "_LONGEST_S", 0.5)
    with pytest.raises(StorageError, match=r"/drip: not all there after 0\.5 s; download the file first"):
        read(f"{server}/drip", "localhost", "127.0.0.1")


@pytest.mark.parametrize("name", ["large", "endless"])
def test_what_is_too_large_is_refused_by_name(server, name):
    with pytest.raises(ConfigError, match=rf"/{name}: larger than storage\.limits\.max_file_mb \(0\.01 MB\)"):
        read(f"{server}/{name}", "localhost", "127.0.0.1")


def test_nothing_is_unpacked(server):
    """300 kB became 300 MB."""
    assert gzip.decompress(read(f"{server}/a.yaml.gz", "localhost", "127.0.0.1")) == b"content"
    with pytest.raises(StorageError, match=r"/packed: the server sends it packed \(gzip\)"):
        read(f"{server}/packed", "localhost", "127.0.0.1")


def test_other_answers_are_reported_without_what_signs_the_address(server):
    signed = f"X-Amz-Signature={KEY}&X-Amz-Date=1"
    with pytest.raises(FileNotFoundError) as caught:
        read(f"{server}/missing?{signed}", "localhost", "127.0.0.1")
    assert KEY not in str(caught.value)
    for name, said in (("broken", "the server answers 500"), ("cut", r"IncompleteRead\(4 bytes read, 96 more")):
        with pytest.raises(StorageError, match=said) as refused:
            read(f"{server}/{name}?{signed}", "localhost", "127.0.0.1")
        assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "uri", ["http:///a", "http://host:99999/a", "http://[::1/a", "http://host/ü", "http://host/a\nb"]
)
def test_what_is_no_address_is_refused(uri):
    with pytest.raises(ConfigError, match="not an address"):
        read(uri, "host")


def test_a_server_that_is_away_is_named():
    with pytest.raises(
        StorageError, match=r"http://127\.0\.0\.1:9/a: NewConnectionError.*refused.*download the file first"
    ):
        read("http://127.0.0.1:9/a", "127.0.0.1")


def test_a_large_file_of_a_store_is_refused_by_name(tmp_path):
    (tmp_path / "a.wav").write_bytes(bytes(20_000))
    with pytest.raises(ConfigError, match=r"a\.wav: 0\.02 MB, more than storage\.limits\.max_file_mb \(0\.01\)"):
        read(str(tmp_path / "a.wav"))
