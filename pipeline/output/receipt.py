"""What one commit added to a run; knows nothing of who wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class UnitReceipt:
    """What one commit added to the run."""

    unit_id: str
    num_ok: int
    rejected: Mapping[str, int]
    audio_s: float
    num_retakes: int
    committed: bool
    """False if another driver had committed the unit already."""
    examples: Sequence[tuple[str, str, str]] = field(default_factory=tuple)
    """(utterance_id, code, message) of the first few rejections."""
