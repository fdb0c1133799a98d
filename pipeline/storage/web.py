"""One file from a web server that the config allows by name; reached through `read_bytes` only.

An address in a speakers file comes from whoever wrote that file, and is asked from inside of the network. So nothing is
asked of a host that is not listed, nor of this machine or the services beside it, whatever name or redirect leads
there.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
import smart_open
import urllib3
from requests.adapters import HTTPAdapter

from pipeline.config.run import StorageConfig
from pipeline.config.secrets import has_credentials, redact, without_signature
from pipeline.errors import ConfigError, StorageError, StoreRefused
from pipeline.storage.base import describe_cause

_TIMEOUT_S = 60.0
"""Until an answer begins, and between two pieces of it."""
_LONGEST_S = 120.0
"""For all of a file: a server that sends a byte now and then is never silent, and never ends."""
_MAX_REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_FAILURES = (OSError, urllib3.exceptions.HTTPError)
"""What requests, and what reads the body below it, raise."""


def read_web(uri: str, settings: StorageConfig) -> bytes:
    """Read a file by `http://` or `https://`.

    Nothing is unpacked, whatever the file's name or the server says of it.

    Raises:
        ConfigError: its host is not in `storage.allow_http`, or leads elsewhere, or the file is too large.
        FileNotFoundError: there is none.
        StorageError: the server does not answer, or refuses.
    """
    shown = without_signature(uri)
    limit = int(settings.limits.max_file_mb * 1_000_000)
    session = _GuardedSession(shown, settings.allow_http)
    try:
        with (
            session.ended_in(_LONGEST_S),
            session,
            smart_open.open(
                _split(uri, shown).geturl(),
                "rb",
                compression="disable",
                transport_params={"session": session, "timeout": _TIMEOUT_S},
            ) as file,
        ):
            data: bytes = file.read(limit + 1)
            session.check_time()  # What is cut off may look like an end.
    except FileNotFoundError:
        raise
    except _FAILURES as error:
        session.check_time()
        # What is beneath says it in fewer words.
        cause = getattr(error.args[0], "reason", error) if error.args else error
        raise StorageError(f"{shown}: {describe_cause(cause)}; download the file first") from error
    if len(data) > limit:
        raise ConfigError(
            f"{shown}: larger than storage.limits.max_file_mb ({settings.limits.max_file_mb:g} MB); give a smaller "
            "file, or raise it"
        )
    return data


class _GuardedSession(requests.Session):
    """What smart_open asks with: only listed hosts, each connection checked before anything is sent."""

    def __init__(self, shown: str, allowed: Collection[str]) -> None:
        super().__init__()
        self.trust_env = False  # A proxy would be asked in the host's place, and could be asked for any.
        self._shown, self._allowed = shown, allowed
        self._sockets: list[socket.socket] = []
        self._is_late = False
        for scheme in ("http://", "https://"):
            self.mount(scheme, _GuardedAdapter(shown, allowed, self._sockets))

    @contextmanager
    def ended_in(self, seconds: float) -> Iterator[None]:
        """Cut off what is still under way then, whatever it waits for."""

        def end() -> None:
            self._is_late = True
            for connected in self._sockets:
                with suppress(OSError):
                    connected.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def check_time(self) -> None:
        """Raise `StorageError` if something was cut off."""
        if self._is_late:
            raise StorageError(f"{self._shown}: not all there after {_LONGEST_S:g} s; download the file first")

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return none: `requests` would read all of the body of an answer that leads elsewhere."""

    def get(self, url: str | bytes, **options: Any) -> requests.Response:
        """Ask for a file; redirects are followed on its own host."""
        place = first = _split(str(url), self._shown)
        for _ in range(_MAX_REDIRECTS + 1):
            if place.hostname != first.hostname or (first.scheme == "https" and place.scheme == "http"):
                moved = f"{place.scheme}://{place.hostname}"
                raise ConfigError(f"{self._shown}: redirects to another host, {moved}; give the address it leads to")
            _check_listed(place, self._shown, self._allowed)
            answer = super().get(place.geturl(), allow_redirects=False, **options)
            target = answer.headers.get("Location")
            if answer.status_code not in _MOVED or not target:
                self._check(answer)
                return answer
            answer.close()
            place = _split(urljoin(place.geturl(), target), self._shown)
        raise StoreRefused(f"{self._shown}: redirects more than {_MAX_REDIRECTS} times; give the address it leads to")

    def _check(self, answer: requests.Response) -> None:
        if answer.status_code in (404, 410):
            raise FileNotFoundError(errno.ENOENT, "no such file", self._shown)
        if not answer.ok:
            said = f"{answer.status_code} {answer.reason[:60]}"
            raise StorageError(f"{self._shown}: the server answers {said}; download the file first")
        if (packing := answer.headers.get("Content-Encoding", "identity").lower()) != "identity":
            raise StoreRefused(
                f"{self._shown}: the server sends it packed ({packing[:20]}), unasked; download the file first"
            )


class _GuardedAdapter(HTTPAdapter):
    """Looks at the address that a connection leads to: a name may stand for one when asked first, then for another."""

    def __init__(self, shown: str, allowed: Collection[str], sockets: list[socket.socket]) -> None:
        self._shown, self._allowed, self._sockets = shown, allowed, sockets
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools, whose connections are checked."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {
            scheme: type("_Pool", (pool,), {"ConnectionCls": self._guard(pool.ConnectionCls)})
            for scheme, pool in self.poolmanager.pool_classes_by_scheme.items()
        }

    def _guard(self, connection: Any) -> type:
        def connect(this: Any) -> None:
            connection.connect(this)
            _check_peer(this.sock.getpeername()[0], self._shown, self._allowed)
            self._sockets.append(this.sock)

        return type("_Connection", (connection,), {"connect": connect})


def _split(uri: str, shown: str) -> SplitResult:
    if has_credentials(uri):
        raise ConfigError(f"{redact(shown)}: credentials in an address; take them out")
    try:
        place = urlsplit(uri)
        _ = place.port
    except ValueError as error:
        raise ConfigError(f"{shown}: not an address: {error}; correct it") from None
    if place.scheme not in ("http", "https") or not place.hostname or not uri.isascii() or not uri.isprintable():
        raise ConfigError(f"{shown}: not an address; expected https://HOST/PATH, with %XX for what is not ASCII")
    return place


def _check_listed(place: SplitResult, shown: str, allowed: Collection[str]) -> None:
    host = (place.hostname or "").lower()
    if host not in {name.lower() for name in allowed}:
        raise ConfigError(
            f"{shown}: http addresses are read only from hosts that are listed; download the file and give its path, "
            f"or set storage.allow_http to [{host}]"
        )


def _check_peer(address: str, shown: str, allowed: Collection[str]) -> None:
    peer = ipaddress.ip_address(address.partition("%")[0])
    peer = getattr(peer, "ipv4_mapped", None) or peer
    is_near = peer.is_loopback or peer.is_link_local or peer.is_unspecified or peer.is_multicast
    if is_near and str(peer) not in allowed:
        raise ConfigError(
            f"{shown}: its host is {peer}, which is this machine or a service beside it; download the file and give "
            f"its path, or list that address, too, in storage.allow_http"
        )
