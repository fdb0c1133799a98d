"""Runs the parts of the GPU's benchmark, each in a process of its own, and judges what they found.

A part that fails, hangs or takes its card's context down ends its own process: the others' numbers stay, and are in the
JSON file already.
"""

from __future__ import annotations

import json
import logging
import operator
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_LAST_LINES = 12
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


@dataclass(frozen=True)
class Limit:
    """What a number must reach.

    Args:
        name: of the number.
        value: what was found.
        comparison: `>=`, `<=` or `==`.
        bound: what it is compared with.
    """

    name: str
    value: float
    comparison: str
    bound: float

    @property
    def is_met(self) -> bool:
        """Whether the number reaches the bound."""
        return _COMPARISONS[self.comparison](self.value, self.bound)

    def __str__(self) -> str:
        verdict = "PASS" if self.is_met else "FAIL"
        return f"{verdict}  {self.name}: {self.value:.4g} (limit {self.comparison} {self.bound:.4g})"


@dataclass
class PartResult:
    """What one part found.

    Args:
        numbers: to be read by people.
        limits: to be judged.
        failure: why it ended before its end, if it did.
        seconds: that it took, its process's start included.
    """

    numbers: dict[str, Any] = field(default_factory=dict)
    limits: list[Limit] = field(default_factory=list)
    failure: str | None = None
    seconds: float = 0.0

    @property
    def has_passed(self) -> bool:
        """Whether it came to its end and met every limit."""
        return self.failure is None and all(limit.is_met for limit in self.limits)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {**asdict(self), "passed": self.has_passed}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> PartResult:
        """Read what `to_json` made."""
        limits = [Limit(**limit) for limit in raw["limits"]]
        return cls(raw["numbers"], limits, raw["failure"], raw["seconds"])


def run_parts(
    names: Sequence[str],
    command: Callable[[str, Path], list[str]],
    timeout_s: Callable[[str], float],
    on_part: Callable[[str, PartResult], None],
) -> dict[str, PartResult]:
    """Run parts one after another, each in its process.

    Args:
        names: of the parts, in order.
        command: for a part and the file that it writes its result to.
        timeout_s: asked before each part: after which its process is ended; it is not begun with 0 or less.
        on_part: called with each part as soon as it has ended.
    """
    results = {}
    for name in names:
        results[name] = _run_part(command, name, timeout_s(name))
        on_part(name, results[name])
    return results


def _run_part(command: Callable[[str, Path], list[str]], name: str, timeout_s: float) -> PartResult:
    if timeout_s <= 0.0:
        return PartResult(failure="not begun: the whole command's time was up")
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        try:
            ended = subprocess.run(command(name, file), capture_output=True, text=True, timeout=timeout_s)
            failure = None if ended.returncode == 0 else f"exit code {ended.returncode}\n{_tail(ended.stderr)}"
        except subprocess.TimeoutExpired as error:
            failure = f"not done after {timeout_s:.0f} s\n{_tail(error.stderr)}"
        if failure is None and not file.is_file():
            failure = "it wrote no result"
        result = PartResult.from_json(json.loads(file.read_text(encoding="utf-8"))) if failure is None else PartResult()
    result.failure = failure or result.failure
    result.seconds = time.perf_counter() - begin
    return result


def _tail(text: str | bytes | None) -> str:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text or ""
    return "\n".join(words.strip().splitlines()[-_LAST_LINES:])


def describe(name: str, result: PartResult) -> str:
    """Return a part's numbers and verdicts as lines."""
    lines = [f"{name} ({result.seconds:.0f} s)"]
    lines += [f"      {key}: {value:.4g}" if isinstance(value, float) else f"      {key}: {value}"
              for key, value in result.numbers.items()]  # fmt: skip
    lines += [f"      {limit}" for limit in result.limits]
    if result.failure is not None:
        lines += [
            "      FAIL  it did not come to its end:",
            *(f"        {line}" for line in result.failure.splitlines()),
        ]
    return "\n".join(lines)


def describe_verdict(results: dict[str, PartResult]) -> str:
    """Return the verdict over all parts, one line."""
    failed = [name for name, result in results.items() if not result.has_passed]
    if failed:
        return f"FAIL: {', '.join(failed)}"
    return f"PASS: {len(results)} parts, {sum(len(result.limits) for result in results.values())} limits"


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module in this Python."""
    return [sys.executable, "-m", module, *arguments]
