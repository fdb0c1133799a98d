"""A training that may be killed: time spent, schedule, checkpoint, log; the same for every network."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.storage import write_bytes

_SAVE_SECONDS = 90.0
_LOG_STEPS = 20
_WARMUP_STEPS = 100


class Training:
    """Runs steps until a budget of time is spent; what was spent before a kill counts.

    Args:
        folder: holds `NAME.pt` (all states, replaced as a whole) and `NAME.jsonl` (the log).
        name: of the network.
        minutes: of training in all, over all calls.
        states: objects with state_dict and load_state_dict.
    """

    def __init__(self, folder: Path, name: str, minutes: float, states: Mapping[str, Any]) -> None:
        self._path, self._log_path = folder / f"{name}.pt", folder / f"{name}.jsonl"
        self._states = dict(states)
        self._seconds = minutes * 60
        self._spent = 0.0
        self.step = 0
        if self._path.exists():
            saved = torch.load(self._path, map_location="cpu", weights_only=True)
            self.step, self._spent = saved.pop("step"), saved.pop("spent")
            for key, state in saved.items():
                self._states[key].load_state_dict(state)

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        return min(self._spent / self._seconds, 1.0) if self._seconds else 1.0

    def rate(self, peak: float) -> float:
        """Learning rate: a short warm-up, then half a cosine down to a twentieth."""
        return peak * min(1.0, (self.step + 1) / _WARMUP_STEPS) * (0.525 + 0.475 * math.cos(math.pi * self.progress))

    def set_rate(self, optimizer: torch.optim.Optimizer, peak: float) -> None:
        """Give an optimizer the learning rate of now."""
        for group in optimizer.param_groups:
            group["lr"] = self.rate(peak)

    def steps(self) -> Iterator[int]:
        """Yield step numbers until the time is spent; saves now and then, and at the end."""
        saved_at = last = time.monotonic()
        while self.progress < 1:
            yield self.step
            now = time.monotonic()
            self._spent += now - last
            last = now
            self.step += 1
            if now - saved_at > _SAVE_SECONDS:
                self.save()
                saved_at = last = time.monotonic()
        self.save()

    def log(self, **values: float) -> None:
        """Write losses every few steps."""
        if self.step % _LOG_STEPS == 0:
            record = {"step": self.step, "minutes": round(self._spent / 60, 2)}
            record |= {name: round(float(value), 5) for name, value in values.items()}
            with open(self._log_path, "a") as file:
                file.write(json.dumps(record) + "\n")

    def save(self) -> None:
        """Replace the checkpoint."""
        sink = io.BytesIO()
        states = {name: state.state_dict() for name, state in self._states.items()}
        torch.save({**states, "step": self.step, "spent": self._spent}, sink)
        write_bytes(str(self._path), sink.getvalue())
