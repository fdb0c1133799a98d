"""What a page shows beside its own text: scripts that hand data over, in the page where they are small, else beside it.

A page that was opened from a disk may not read files, but it may load scripts. Each calls
`pageData(kind, index, value)` of `report.js`. A script is named after its content, so that a page never meets the data
of another.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from pipeline.output.pages import data_folder, list_data
from pipeline.output.report.page import to_script
from pipeline.storage import Storage

_MOST_WITHIN = {"rows": 2_000_000, "clips": 6_000_000, "pictures": 1_000_000}
"""Bytes of each kind that a page itself may hold."""


class PageData:
    """The data of one page; what is large enough is put beside it as it comes, so that memory stays bounded.

    Args:
        storage: of the page's folder.
        page_name: file name of the page.
    """

    def __init__(self, storage: Storage, page_name: str) -> None:
        self._storage, self._name = storage, page_name
        self._waiting: dict[str, list[bytes]] = {kind: [] for kind in _MOST_WITHIN}
        self.index: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _MOST_WITHIN}
        """Of each kind what is said of each script; those beside the page have `src`."""
        self._put: set[str] = set()

    def add(self, kind: str, value: Any, **about: Any) -> None:
        """Add a script of a kind.

        Args:
            kind: rows, clips or pictures.
            value: what it hands over.
            about: what the page should know of it before.
        """
        scripts = self.index[kind]
        script = f"pageData({to_script(kind)},{len(scripts)},{to_script(value)});\n".encode("utf-8", "replace")
        scripts.append(about)
        waiting = self._waiting[kind]
        waiting.append(script)
        first = len(scripts) - len(waiting)
        if first or sum(map(len, waiting)) > _MOST_WITHIN[kind]:
            for index, data in enumerate(waiting, start=first):
                self._put_beside(kind, index, data)
            waiting.clear()

    def _put_beside(self, kind: str, index: int, data: bytes) -> None:
        digest = hashlib.blake2b(data, digest_size=6).hexdigest()
        path = f"{data_folder(self._name)}{kind}-{index:04d}-{digest}.js"
        self._storage.put(path, data)
        self._put.add(path)
        self.index[kind][index]["src"] = quote(path)

    def scripts_within(self) -> str:
        """Return the scripts that stay in the page."""
        return b"".join(script for scripts in self._waiting.values() for script in scripts).decode("utf-8")

    def drop_former(self) -> None:
        """Delete the data of the page that was here before; the new page is written."""
        for path in list_data(self._storage, self._name):
            if path not in self._put:
                self._storage.delete(path)
