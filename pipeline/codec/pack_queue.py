"""The one thread that decodes packs, for any number of callers: a graph's buffers can serve only one at a time.

Items of all callers go into the same packs, so that the last pack of one call is filled by the next.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

from torch import Tensor

from pipeline.codec.pack_decoder import DecodedItem, PackDecoder, RunningPack

logger = logging.getLogger(__name__)
_END_S = 10.0


@dataclass(eq=False)
class _Call:
    """One caller's wish."""

    answers: SimpleQueue[DecodedItem | Exception] = field(default_factory=SimpleQueue)
    is_open: bool = True
    """Whether anybody still waits for answers."""


@dataclass(frozen=True, eq=False)
class _Item:
    call: _Call
    index: int
    semantic_tokens: Tensor
    global_tokens: Tensor


_Inbox = SimpleQueue[list[_Item] | None]


class PackQueue:
    """Tokens to waveforms, for any number of threads at a time.

    Args:
        make_decoder: called in the thread that owns what it returns.
    """

    def __init__(self, make_decoder: Callable[[], PackDecoder]) -> None:
        self._inbox: _Inbox = SimpleQueue()
        made: Future[PackDecoder] = Future()
        # The thread holds on to the decoder and not to this object, whose end is the thread's.
        owner = threading.Thread(target=_own, args=(make_decoder, made, self._inbox), name="codec-packs", daemon=True)
        owner.start()
        weakref.finalize(self, _end, self._inbox, owner)
        self.decoder = made.result()

    def decode(self, semantic_tokens: Sequence[Tensor], global_tokens: Tensor) -> Iterator[DecodedItem]:
        """Yield each item's waveform once, pack by pack; a caller that stops early gives up the rest.

        Args:
            semantic_tokens: (num_frames,) int64 each, one frame or more, on the CPU.
            global_tokens: (items, num_global_tokens) int64 on the CPU.

        Raises:
            Exception: whatever went wrong in the device's thread, for every call that was under way.
        """
        call = _Call()
        order = sorted(range(len(semantic_tokens)), key=lambda index: (-semantic_tokens[index].numel(), index))
        self._inbox.put([_Item(call, index, semantic_tokens[index], global_tokens[index]) for index in order])
        try:
            for _ in semantic_tokens:
                answer = call.answers.get()
                if isinstance(answer, Exception):
                    raise answer
                yield answer
        finally:
            call.is_open = False


def _end(inbox: _Inbox, owner: threading.Thread) -> None:
    """Let the thread free what it owns; waited for, as it must not do so while the interpreter is taken down."""
    inbox.put(None)
    owner.join(_END_S)


def _own(make_decoder: Callable[[], PackDecoder], made: Future[PackDecoder], inbox: _Inbox) -> None:
    try:
        decoder = make_decoder()
    except BaseException as error:
        made.set_exception(error)
        return
    made.set_result(decoder)
    del made
    _Server(decoder, inbox).serve()


class _Server:
    """What the thread does: take in items, start a pack, hand out the items of the one before."""

    def __init__(self, decoder: PackDecoder, inbox: _Inbox) -> None:
        self._decoder = decoder
        self._inbox = inbox
        self._waiting: list[_Item] = []
        """The oldest call's items first, each call's longest first."""
        self._running: tuple[RunningPack, list[_Item]] | None = None

    def serve(self) -> None:
        """Work until no caller is left."""
        while self._take_in():
            try:
                self._step()
            except Exception as error:
                # What the device holds is unknown now, and so is whose fault it was: all callers are answered.
                logger.exception("the codec failed")
                items = self._waiting + (self._running[1] if self._running is not None else [])
                self._waiting, self._running = [], None
                for call in {id(item.call): item.call for item in items}.values():
                    call.answers.put(error)

    def _take_in(self) -> bool:
        """Add what has come to what waits; with nothing else to do, wait for it. False at the end."""
        while not self._inbox.empty() or (not self._waiting and self._running is None):
            items = self._inbox.get()
            if items is None:
                return False
            self._waiting += items
        return True

    def _step(self) -> None:
        self._waiting = [item for item in self._waiting if item.call.is_open]
        before = self._running
        if not self._waiting:
            self._hand_out(before)
            return
        pack = self._decoder.fill([item.semantic_tokens.numel() for item in self._waiting])
        if before is not None and len(pack.places) == len(self._waiting):
            # Nothing is left for another pack, and the device has one to work on: others may still fill this one.
            self._hand_out(before)
            return
        items = [self._waiting[place.item] for place in pack.places]
        running = self._decoder.start(
            pack, [item.semantic_tokens for item in self._waiting], [item.global_tokens for item in self._waiting]
        )
        # The device works on this pack while the one before is taken apart and its takers judge it.
        self._hand_out(before)
        self._running = running, items
        chosen = {id(item) for item in items}
        self._waiting = [item for item in self._waiting if id(item) not in chosen]

    def _hand_out(self, started: tuple[RunningPack, list[_Item]] | None) -> None:
        self._running = None
        if started is None:
            return
        running, items = started
        for item, decoded in zip(items, self._decoder.finish(running), strict=True):
            item.call.answers.put(DecodedItem(item.index, decoded.waveform))
