"""The Ray that a command works on: one that is there, one that RAY_ADDRESS names, or one of its own."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.cluster import ray_api
from pipeline.errors import RunStopped


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
            ray_api.init(logging_level=logging.ERROR)
        else:
            _spare_the_home_folder()
            # Not one that somebody else started here: it may end before this run does.
            ray_api.init("local", num_cpus=os.cpu_count(), include_dashboard=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray has no narrower type for a start that fails.
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if address:
            raise RunStopped(f"RAY_ADDRESS={address}: no Ray answers there ({problem}); correct or unset it") from None
        raise RunStopped(
            f"Ray does not start here ({problem}); see that memory, processor and /tmp have room, then try again"
        ) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray put its own in, which ends the process without a word.
    try:
        yield
    finally:
        ray_api.shutdown()


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
