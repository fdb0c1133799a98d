"""Which sequence sits in which slot: a first-in first-out queue before a fixed number of places.

Pure bookkeeping; knows nothing of tensors, tokens or text.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class SlotScheduler(Generic[T]):
    """Hands out slots in the order of arrival.

    Args:
        num_slots: sequences that may be active at a time.

    Raises:
        ValueError: there is no slot.
    """

    def __init__(self, num_slots: int) -> None:
        if num_slots < 1:
            raise ValueError(f"num_slots is {num_slots}; expected at least 1")
        self.num_slots = num_slots
        self._waiting: OrderedDict[Hashable, T] = OrderedDict()
        self._active: dict[int, tuple[Hashable, T]] = {}
        self._slot_of: dict[Hashable, int] = {}
        self._free = list(range(num_slots))

    @property
    def num_waiting(self) -> int:
        """Sequences in the queue."""
        return len(self._waiting)

    @property
    def num_active(self) -> int:
        """Sequences in slots."""
        return len(self._active)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._waiting or key in self._slot_of

    def __getitem__(self, slot: int) -> T:
        """Return what sits in a slot."""
        return self._active[slot][1]

    def add(self, key: Hashable, sequence: T) -> None:
        """Put a sequence at the end of the queue.

        Raises:
            ValueError: its key is in use.
        """
        if key in self:
            raise ValueError(f"request {key!r} is already under way; expected an id that no other request has")
        self._waiting[key] = sequence

    def allocate(self) -> Iterator[tuple[int, T]]:
        """Move sequences from the queue into free slots, oldest first and lowest slot first."""
        while self._free and self._waiting:
            key, sequence = self._waiting.popitem(last=False)
            slot = heapq.heappop(self._free)
            self._active[slot] = (key, sequence)
            self._slot_of[key] = slot
            yield slot, sequence

    def deallocate(self, slot: int) -> T:
        """Free a slot and return what sat in it."""
        key, sequence = self._active.pop(slot)
        del self._slot_of[key]
        heapq.heappush(self._free, slot)
        return sequence

    @property
    def num_used(self) -> int:
        """All slots from this one on are free."""
        return max(self._active, default=-1) + 1

    def move_last(self) -> tuple[int, int]:
        """Move what sits in the last used slot into the first free one.

        Returns:
            the slot that it left, and the one where it sits now; there must be a free slot before it.
        """
        source, target = max(self._active), heapq.heappop(self._free)
        assert target < source
        self._active[target] = self._active.pop(source)
        self._slot_of[self._active[target][0]] = target
        heapq.heappush(self._free, source)
        return source, target

    def remove(self, key: Hashable) -> int | None:
        """Forget a sequence, waiting or active.

        Returns:
            the slot that it leaves free; None if it was waiting.

        Raises:
            KeyError: no sequence has this key.
        """
        if key in self._waiting:
            del self._waiting[key]
            return None
        slot = self._slot_of[key]
        self.deallocate(slot)
        return slot
