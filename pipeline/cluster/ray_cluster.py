"""The Ray that a command works on: one that is there, one that RAY_ADDRESS names, or one of its own."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.cluster import ray_api
from pipeline.errors import RunStopped

logger = logging.getLogger(__name__)
_LOOK_S = 5.0
_GRACE_S = 30.0
_STUCK_CODE = 3
"""Of a process that is ended where it is stuck; as of any run that was stopped."""


class NodeWatch:
    """Looks every few seconds whether Ray still counts this process's node among the living.

    Without its node a driver waits for ever: no call is ever answered, and no place is ever found.
    """

    def __init__(self) -> None:
        self._next_look = time.monotonic() + _LOOK_S

    def check_if_due(self) -> None:
        """Raise `RunStopped` if this process's node is dead."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        check_own_node()


def check_own_node() -> None:
    """Raise `RunStopped` if this process's node is dead."""
    if not ray_api.is_own_node_alive():
        raise RunStopped(_describe_dead_node())


def _describe_dead_node() -> str:
    return (
        f"Ray has marked the node of this process dead ({socket.gethostname()}, node {ray_api.own_node_id()}): its "
        "raylet stood still, or was cut off, for longer than Ray waits, and Ray takes no node back. See that this "
        "machine has memory and processor to spare and is not suspended"
    )


@contextmanager
def _shutting_down() -> Iterator[None]:
    """Leave Ray after the block. End this process if it is stuck in the block on a dead node, or in leaving.

    A raylet that stands still holds up whoever asks it for anything, inside Ray's C++, where nothing can be raised.
    """
    leaving, left = threading.Event(), threading.Event()

    def watch() -> None:
        while not leaving.wait(_LOOK_S):  # A question after the end would start another Ray.
            if not ray_api.is_own_node_alive():
                problem = _describe_dead_node()
                break
        else:
            problem = "Ray does not let go of this process"
        if not left.wait(_GRACE_S):
            logger.error("stopped: %s", problem)
            logging.shutdown()
            os._exit(_STUCK_CODE)

    threading.Thread(target=watch, name="node-watch", daemon=True).start()
    try:
        yield
    finally:
        leaving.set()
        ray_api.shutdown()
        left.set()


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Use the Ray that is initialized or that RAY_ADDRESS names; else start one. Leave it at the end.

    Raises:
        RunStopped: it does not answer, or none can be started here.
    """
    # A failed call fails twice, with its report and with its payload; nobody asks for the second.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    if ray_api.is_initialized():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    # It explains its defaults to everybody before it can be asked not to.
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            ray_api.connect(logging_level=logging.ERROR)
        else:
            _spare_the_home_folder()
            _start_own()
    except SystemExit:  # How Ray answers SIGTERM from here on, with a code that is none of ours.
        if callable(handler):
            handler(signal.SIGTERM, None)
        raise
    except Exception as error:  # Ray has no narrower type for a start that fails.
        problem = _describe(error)
        if address:
            raise RunStopped(f"RAY_ADDRESS={address}: no Ray answers there ({problem}); correct or unset it") from None
        raise RunStopped(
            f"Ray does not start here, tried twice ({problem}); see that memory, processor and {_ray_folder()} have "
            "room (RAY_TMPDIR or TMPDIR names another folder), then try again"
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray put its own in, which ends the process without a word.
    with _shutting_down():
        yield


def _start_own() -> None:
    """Start a Ray of our own, not one that somebody else started here: it may end before this run does.

    Ray gives itself 30 s, which a crowded machine may need for something else.
    """
    try:
        ray_api.start(logging_level=logging.ERROR)
    except Exception as error:
        logger.warning("Ray did not start (%s); trying once more", _describe(error))
        ray_api.start(logging_level=logging.ERROR)


def _ray_folder() -> str:
    """Return where Ray keeps its files, by its own rule."""
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _spare_the_home_folder() -> None:
    """Give a Ray of our own its token by the environment where it cannot keep one in `~/.ray`."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    try:
        folder = Path.home() / ".ray"
        folder.mkdir(exist_ok=True)
        is_usable = os.access(folder, os.W_OK) or (folder / "auth_token").is_file()
    except (OSError, RuntimeError):  # Missing, read-only, or nobody knows where it is.
        is_usable = False
    if not is_usable:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
