"""One file from a web server that the config allows by name; reached through `read_bytes` only.

An address in a speakers file comes from whoever wrote that file, and is asked from inside of the network. So nothing is
asked of a host that is not listed, nor of this machine or the services beside it, whatever name or redirect leads
there.
"""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Collection
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, urljoin, urlsplit

from pipeline.config.run import StorageConfig
from pipeline.config.secrets import redact, without_signature
from pipeline.errors import ConfigError, StorageError, StoreRefused
from pipeline.storage.base import describe_cause

_TIMEOUT_S = 60.0
_MAX_REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})


def read_web(uri: str, settings: StorageConfig) -> bytes:
    """Read a file by `http://` or `https://`.

    Nothing is unpacked, whatever the file's name or the server says of it.

    Raises:
        ConfigError: its host is not in `storage.allow_http`, or leads elsewhere, or the file is too large.
        FileNotFoundError: there is none.
        StorageError: the server does not answer, or refuses.
    """
    shown = without_signature(uri)
    place = _split(uri, shown)
    first = place
    for _ in range(_MAX_REDIRECTS + 1):
        if place.hostname != first.hostname or (first.scheme == "https" and place.scheme == "http"):
            moved = f"{place.scheme}://{place.hostname}"
            raise ConfigError(f"{shown}: redirects to another host, {moved}; give the address that it leads to")
        _check_listed(place, shown, settings.allow_http)
        answer = _ask(place, shown, settings)
        if isinstance(answer, bytes):
            return answer
        place = _split(urljoin(place.geturl(), answer), shown)
    raise StoreRefused(f"{shown}: redirects more than {_MAX_REDIRECTS} times; give the address that it leads to")


def _split(uri: str, shown: str) -> SplitResult:
    try:
        place = urlsplit(uri)
        _ = place.port
    except ValueError as error:
        raise ConfigError(f"{shown}: not an address: {error}; correct it") from None
    if place.scheme not in ("http", "https") or not place.hostname or not uri.isascii() or not uri.isprintable():
        raise ConfigError(f"{shown}: not an address; expected https://HOST/PATH, with %XX for what is not ASCII")
    if place.username or place.password:
        raise ConfigError(f"{redact(shown)}: credentials in an address; take them out")
    return place


def _check_listed(place: SplitResult, shown: str, allowed: Collection[str]) -> None:
    host = (place.hostname or "").lower()
    if host not in {name.lower() for name in allowed}:
        raise ConfigError(
            f"{shown}: http addresses are read only from hosts that are listed; download the file and give its path, "
            f"or set storage.allow_http: [{host}]"
        )


def _ask(place: SplitResult, shown: str, settings: StorageConfig) -> bytes | str:
    """Return the file, or where it has moved to."""
    connect = HTTPSConnection if place.scheme == "https" else HTTPConnection
    connection = connect(place.hostname or "", place.port, timeout=_TIMEOUT_S)
    try:
        connection.connect()
        # Of the connection, not of the name: a name may stand for one address when asked first, then for another.
        _check_peer(connection.sock.getpeername()[0], shown, settings.allow_http)
        path = (place.path or "/") + (f"?{place.query}" if place.query else "")
        connection.request("GET", path, headers={"Accept-Encoding": "identity", "User-Agent": "spark-tts-batch"})
        return _read(connection.getresponse(), shown, settings.limits.max_file_mb)
    except (OSError, HTTPException) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise StorageError(f"{shown}: {describe_cause(error)}; download the file first") from error
    finally:
        connection.close()


def _check_peer(address: str, shown: str, allowed: Collection[str]) -> None:
    peer = ipaddress.ip_address(address.partition("%")[0])
    peer = getattr(peer, "ipv4_mapped", None) or peer
    is_near = peer.is_loopback or peer.is_link_local or peer.is_unspecified or peer.is_multicast
    if is_near and str(peer) not in allowed:
        raise ConfigError(
            f"{shown}: its host is {peer}, which is this machine or a service beside it; download the file and give "
            f"its path, or list that address, too, in storage.allow_http"
        )


def _read(answer: HTTPResponse, shown: str, max_file_mb: float) -> bytes | str:
    if answer.status in _MOVED and (moved := answer.getheader("Location")):
        return moved
    if answer.status in (404, 410):
        raise FileNotFoundError(errno.ENOENT, "no such file", shown)
    if answer.status != 200:
        raise StorageError(f"{shown}: the server answers {answer.status} {answer.reason[:60]}; download the file first")
    if (packing := answer.getheader("Content-Encoding", "identity").lower()) != "identity":
        raise StoreRefused(f"{shown}: the server sends it packed ({packing[:20]}), unasked; download the file first")
    limit = int(max_file_mb * 1_000_000)
    data = answer.read(limit + 1)
    if len(data) > limit:
        raise ConfigError(
            f"{shown}: larger than storage.limits.max_file_mb ({max_file_mb:g} MB); give a smaller file, or raise it"
        )
    if answer.length:  # What was promised and never came.
        raise StorageError(f"{shown}: cut off after {len(data):,} bytes; run the same command again")
    return data
