"""A proxy in front of an S3 server that does what networks and stores do on bad days."""

from __future__ import annotations

import http.client
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("error_500", "slow_down", "reset", "lost_answer", "truncated", "cut_short", "slow_body")
_HOP = {"connection", "transfer-encoding", "keep-alive"}


class FaultyProxy:
    """Forwards to an S3 server, and fails a share of the requests.

    Args:
        upstream: the server's URL.
        rate: share of the requests that fail, 0 to 1.
        seed: of the choice of faults.
        faults: kinds to inject; `expired` answers that the credentials are no longer good, `silence` sends half of the
            body and then nothing for as long as the client waits.
        calm: requests that are answered before the first fault.
        expired_key: an access key whose requests are all answered with `expired`.
        unlisted: what listings do not show of keys, as if they lagged.
    """

    def __init__(
        self,
        upstream: str,
        *,
        rate: float,
        seed: int = 0,
        faults: tuple[str, ...] = FAULTS,
        calm: int = 0,
        expired_key: str = "",
        unlisted: str = "",
    ) -> None:
        self.rate = rate
        self.faults = faults
        self.calm = calm
        self.expired_key, self.unlisted = expired_key, unlisted
        self.counts: Counter[str] = Counter()
        self.num_bytes_read = 0
        """Of the bodies that the server answered with."""
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler_for(self, upstream))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def num_faults(self) -> int:
        return self.counts.total() - self.counts["none"]

    def choose(self, authorization: str) -> str:
        with self._lock:
            if self.expired_key and f"Credential={self.expired_key}/" in authorization:
                self.counts["expired"] += 1
                return "expired"
            is_calm = self.counts.total() < self.calm or self._random.random() >= self.rate
            fault = "none" if is_calm else self._random.choice(self.faults)
            self.counts[fault] += 1
            return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # Broken connections are what we are here for.


def _handler_for(proxy: FaultyProxy, upstream: str) -> type[BaseHTTPRequestHandler]:
    host = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def _handle(self):
            if "100-continue" in self.headers.get("Expect", "").lower():
                pass  # The base class has answered.
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy.choose(self.headers.get("Authorization", ""))
            if fault == "error_500":
                return self._refuse(500, "InternalError")
            if fault == "slow_down":
                return self._refuse(503, "SlowDown")
            if fault == "expired":
                return self._refuse(403, "ExpiredToken")
            if fault == "reset":
                return self._cut()
            connection = http.client.HTTPConnection(host, timeout=60)
            # All headers as they are: the signature covers the host.
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in (*_HOP, "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            proxy.num_bytes_read += len(data)
            if proxy.unlisted and "list-type=2" in self.path:
                hidden = rb"<Contents>(?:(?!</Contents>).)*?<Key>[^<]*" + proxy.unlisted.encode() + rb".*?</Contents>"
                data = re.sub(hidden, b"", data, flags=re.DOTALL)
            if fault == "lost_answer":
                return self._cut()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in (*_HOP, "content-length", "date", "server"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            half = len(data) // 2
            if fault in ("truncated", "cut_short", "slow_body") and not half:
                proxy.counts.update({fault: -1, "none": 1})  # There was nothing to harm.
            if fault == "truncated" and half:
                self.wfile.write(data[:half])
                return self._cut()
            if fault == "cut_short" and half:
                self.wfile.write(data[:half])
                self.close_connection = True  # A polite end, where more was promised.
                return None
            if fault == "silence":
                self.wfile.write(data[:half])
                self.wfile.flush()
                self.connection.recv(1)  # Until the client gives up.
                self.close_connection = True
                return None
            if fault == "slow_body" and half:
                self.wfile.write(data[:half])
                self.wfile.flush()
                time.sleep(0.2)
                data = data[half:]
            self.wfile.write(data)
            return None

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

        def _refuse(self, status, code):
            data = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _cut(self):
            # A reset rather than a polite end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

    return Handler
