"""One line of text in a notebook's cell that is written over: what logs show elsewhere and nobody sees there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def open_line() -> Callable[[str], None] | None:
    """Return what shows a text in the cell that is at work, in place of the one before; None outside of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:  # In a terminal's IPython, too, there is no cell.
        return None
    display = import_module("IPython.display").display
    handles: list[Any] = []

    def show(text: str) -> None:
        data = {"text/plain": text}
        if handles:
            handles[0].update(data, raw=True)
        else:
            handles.append(display(data, raw=True, display_id=True))

    return show
