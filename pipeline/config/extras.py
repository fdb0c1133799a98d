"""What to install where an optional package is missing: the one place that makes this sentence."""

from __future__ import annotations

import sys
from pathlib import Path


def name_extra(extra: str) -> str:
    """Return the command that installs an extra of this package, as it works for this copy of it.

    A clone installs itself, with its pinned versions; an index has the package by name.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        return f"{sys.executable} -m pip install 'spark-tts-batch[{extra}]'"
    pins = " -c constraints.txt" if (root / "constraints.txt").is_file() else ""
    return f"{sys.executable} -m pip install{pins} -e '.[{extra}]' (in {root})"


def need_extra(what: str, package: str, extra: str) -> str:
    """Return the sentence of an error where an optional package is missing.

    Args:
        what: needs it, with its place.
        package: as people know it.
        extra: of this package that brings it.
    """
    return f"{what} needs the package {package}, which is not installed; run: {name_extra(extra)}"
