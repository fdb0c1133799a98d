"""Sees what the interpreter does beside what it was asked for: files, processes, connections."""

from __future__ import annotations

import os
import socket
import sys


class Watch:
    """What the interpreter is seen to do while a watch is on: files written outside `allowed`, processes, connections.

    Native code (Arrow, libsndfile) is not seen; it is only ever given bytes, or paths that Python found.
    """

    _current: Watch | None = None
    _is_hooked = False

    def __init__(self, *allowed):
        self._allowed = tuple(os.path.realpath(folder) for folder in allowed)
        self.offences = []
        self.opened = []

    def __enter__(self):
        if not Watch._is_hooked:  # A hook stays for the life of the process.
            sys.addaudithook(Watch._see)
            Watch._is_hooked = True
        Watch._current = self
        return self

    def __exit__(self, *error):
        Watch._current = None

    @staticmethod
    def _see(event, arguments):
        watch = Watch._current
        if watch is None:
            return
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, _, flags = arguments
            watch.opened.append(os.fspath(path))
            # A folder is "written" for a nameless temporary file, which is gone when it is closed.
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not (isinstance(path, str) and os.path.isdir(path)):
                watch._note_write(event, path)
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.chmod"):
            watch._note_write(event, arguments[0], dir_fd=arguments[-1])
        elif event == "os.truncate":
            watch._note_write(event, arguments[0])
        elif event in ("os.rename", "os.link"):
            watch._note_write(event, arguments[1], dir_fd=arguments[-1])
        elif event == "os.symlink":
            watch._note_write(event, arguments[1], dir_fd=arguments[2])
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn"):
            watch.offences.append((event, str(arguments[:2])))
        elif event == "socket.getaddrinfo" and arguments[0] not in ("localhost", "127.0.0.1", "::1", None):
            watch._refuse_connection(event, arguments[0])
        elif event == "socket.connect" and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
            if not str(arguments[1][0]).startswith("127.") and arguments[1][0] != "::1":
                watch._refuse_connection(event, arguments[1])

    def _refuse_connection(self, event, address):
        self.offences.append((event, str(address)))
        raise PermissionError(f"no connection to {address} in a test")

    def _note_write(self, event, path, dir_fd=-1):
        if isinstance(path, int):
            return
        base = os.getcwd() if dir_fd == -1 else os.readlink(f"/proc/self/fd/{dir_fd}")
        path = os.path.join(base, os.fsdecode(path))
        # These act on a link itself, the others on what it names.
        is_entry = event in ("os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink")
        place = (
            os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            if is_entry
            else os.path.realpath(path)
        )
        if place != os.devnull and not any(
            place == folder or place.startswith(folder + "/") for folder in self._allowed
        ):
            self.offences.append((event, place))
