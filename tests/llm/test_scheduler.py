from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.scheduler import SlotScheduler

ACTIONS = st.lists(st.sampled_from(["add", "allocate", "finish", "remove_waiting", "remove_active"]), max_size=80)


@given(num_slots=st.integers(1, 5), actions=ACTIONS, data=st.data())
def test_never_over_allocates_and_serves_in_order(num_slots: int, actions: list[str], data: st.DataObject) -> None:
    scheduler: SlotScheduler[int] = SlotScheduler(num_slots)
    waiting: deque[int] = deque()
    active: dict[int, int] = {}
    next_key = 0
    for action in actions:
        if action == "add":
            scheduler.add(next_key, next_key)
            waiting.append(next_key)
            next_key += 1
        elif action == "allocate":
            for slot, sequence in scheduler.allocate():
                assert slot not in active and 0 <= slot < num_slots
                assert sequence == waiting.popleft(), "first in, first out"
                active[slot] = sequence
            assert not waiting or len(active) == num_slots, "a free slot beside a waiting sequence"
        elif action == "finish" and active:
            slot = data.draw(st.sampled_from(sorted(active)))
            assert scheduler.deallocate(slot) == active.pop(slot)
        elif action == "remove_waiting" and waiting:
            key = data.draw(st.sampled_from(list(waiting)))
            waiting.remove(key)
            assert scheduler.remove(key) is None
        elif action == "remove_active" and active:
            slot = data.draw(st.sampled_from(sorted(active)))
            assert scheduler.remove(active.pop(slot)) == slot
        assert scheduler.num_active == len(active) and scheduler.num_waiting == len(waiting)
        assert all(scheduler[slot] == sequence for slot, sequence in active.items())
        assert all(key in scheduler for key in [*waiting, *active.values()])


@given(num_slots=st.integers(1, 4), num_sequences=st.integers(0, 30))
def test_nobody_starves(num_slots: int, num_sequences: int) -> None:
    scheduler: SlotScheduler[int] = SlotScheduler(num_slots)
    for key in range(num_sequences):
        scheduler.add(key, key)
    served: list[int] = []
    active: deque[int] = deque()
    while scheduler.num_waiting or scheduler.num_active:
        for slot, sequence in scheduler.allocate():
            served.append(sequence)
            active.append(slot)
        scheduler.deallocate(active.popleft())
    assert served == list(range(num_sequences))


def test_an_id_in_use_is_refused_until_it_is_free() -> None:
    scheduler: SlotScheduler[str] = SlotScheduler(1)
    scheduler.add("a", "first")
    with pytest.raises(ValueError, match="'a' is already under way"):
        scheduler.add("a", "second")
    ((slot, _),) = scheduler.allocate()
    with pytest.raises(ValueError, match="already under way"):
        scheduler.add("a", "second")
    scheduler.deallocate(slot)
    scheduler.add("a", "second")
    with pytest.raises(KeyError):
        scheduler.remove("b")


def test_no_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="num_slots is 0"):
        SlotScheduler(0)


def test_the_last_sequence_moves_into_the_first_gap() -> None:
    scheduler: SlotScheduler[str] = SlotScheduler(6)
    for name in "abcdef":
        scheduler.add(name, name.upper())
    list(scheduler.allocate())
    for slot in (1, 4, 2):
        scheduler.deallocate(slot)
    assert scheduler.num_used == 6
    assert scheduler.move_last() == (5, 1) and scheduler[1] == "F" and scheduler.num_used == 4
    assert scheduler.remove("f") == 1
    assert scheduler.move_last() == (3, 1) and scheduler.num_used == 2
    scheduler.add("g", "G")
    assert list(scheduler.allocate()) == [(2, "G")]
    assert scheduler.remove("d") == 1 and scheduler.remove("a") == 0 and scheduler.remove("g") == 2
    assert scheduler.num_used == 0
