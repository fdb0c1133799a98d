"""Who reads which text: voices of a split take turns, so that each has the same hours, or rows, of a night."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Collection, Iterable

from pipeline.config.dataset import SPLITS, PlanConfig, Split, SplitConfig
from pipeline.errors import ConfigError
from pipeline.synthesis.speaker_definitions import SpeakerDefinition


def divide_speakers(definitions: Iterable[SpeakerDefinition], settings: SplitConfig) -> dict[Split, tuple[str, ...]]:
    """Return who reads the texts of each split, sorted.

    A speaker of one split reads no other. Splits that nobody is named for share the speakers who are left, but for
    test texts once there are test speakers.

    Raises:
        ConfigError: a test speaker is not defined, or is defined for another split, or nobody is left to train with.
    """
    wanted: dict[str, Split | None] = {definition.speaker_id: definition.split for definition in definitions}
    for name in settings.test_speakers:
        if name not in wanted:
            raise ConfigError(
                f"dataset.split.test_speakers: {name}: not defined in the speakers file, or removed; correct the name"
            )
        if wanted[name] not in (None, "test"):
            raise ConfigError(
                f"dataset.split.test_speakers: {name}: the speakers file has `split: {wanted[name]}`; keep one of both"
            )
        wanted[name] = "test"
    named = {split: tuple(sorted(name for name, own in wanted.items() if own == split)) for split in SPLITS}
    free = tuple(sorted(name for name, own in wanted.items() if own is None))
    named["train"] = tuple(sorted((*named["train"], *free)))
    if named["test"] and not settings.test:
        raise ConfigError("dataset.split.test: 0, though there are test speakers; give it a share, or take them out")
    if not named["train"]:
        raise ConfigError("speakers: every voice is kept for one split, and nobody reads texts to train with; add some")
    return {split: named[split] or named["train"] for split in SPLITS}


def find_without_terms(definitions: Iterable[SpeakerDefinition], names: Collection[str]) -> dict[str, list[str]]:
    """Return who among some speakers has no `license`, and who no `consent`: a voice made from labels is nobody's.

    Args:
        definitions: of the speakers file.
        names: of the speakers.
    """
    found: dict[str, list[str]] = {"license": [], "consent": []}
    for definition in sorted(definitions, key=lambda definition: definition.speaker_id):
        if definition.speaker_id in names:
            if definition.license is None:
                found["license"].append(definition.speaker_id)
            if definition.consent is None and definition.kind != "created":
                found["consent"].append(definition.speaker_id)
    return {term: speakers for term, speakers in found.items() if speakers}


class Turns:
    """Chooses voices, those with the least so far first.

    Args:
        speakers: who reads the texts of each split.
        settings: how many read a text, and what is balanced.
        night: decides between voices that have the same.
    """

    def __init__(self, speakers: dict[Split, tuple[str, ...]], settings: PlanConfig, night: str) -> None:
        self._settings = settings
        names = {name for group in speakers.values() for name in group}
        ranks = {name: hashlib.blake2b(f"{night}\0{name}".encode(), digest_size=8).hexdigest() for name in names}
        # One heap for each group of voices: groups have nobody in common.
        heaps = {group: [(0.0, ranks[name], name) for name in group] for group in set(speakers.values())}
        for heap in heaps.values():
            heapq.heapify(heap)
        self._heaps = {split: heaps[group] for split, group in speakers.items()}

    def take(self, split: Split, expected_s: float, kept: Collection[str] = ()) -> list[str]:
        """Return who reads a text; at most as many as there are.

        Args:
            split: of the text.
            expected_s: how long it takes to say.
            kept: who read an earlier version of it: they read it again, as far as they may.
        """
        heap, cost = self._heaps[split], expected_s if self._settings.balance == "hours" else 1.0
        chosen = [entry for entry in heap if entry[2] in kept]
        if chosen:
            heap[:] = [entry for entry in heap if entry[2] not in kept]
            heapq.heapify(heap)
        else:
            chosen = [heapq.heappop(heap) for _ in range(min(self._settings.voices_per_text, len(heap)))]
        for load, rank, name in chosen:
            heapq.heappush(heap, (load + cost, rank, name))
        return [name for _, _, name in chosen]
