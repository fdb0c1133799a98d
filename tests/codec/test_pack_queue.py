"""One thread owns the graph: what callers get at the same time is what each would get in isolation."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

pytest.importorskip("triton", reason="graphs are emulated beside Triton's interpreter; pip install triton")

from pipeline.codec import BiCodec
from pipeline.codec.pack_decoder import PackDecoder
from tests.codec.decoding import AUDIO_ATOL, largest_difference, make_tokens, use_packs
from tests.recorded_graph import RecordedGraph

PACK_FRAMES = 128


@pytest.fixture
def graphs():
    return []


@pytest.fixture
def queued_codec(reference, graphs):
    """A codec whose packs are decoded by a graph with fixed buffers, as on a card."""

    def record(run, device):
        graphs.append(RecordedGraph(run, device))
        return graphs[-1]

    codec = use_packs(BiCodec.load(reference / "tiny"), PACK_FRAMES, record)
    codec._decoder.decoder.packs_items = True  # Whatever this processor's rounding says.
    return codec


def test_a_replayed_pack_is_the_pack_as_computed(reference, queued_codec):
    plain = use_packs(BiCodec.load(reference / "tiny"), PACK_FRAMES)
    plain._decoder.decoder.packs_items = True
    semantic, voices = make_tokens(plain, (100, 20, 90, 128, 64, 60))
    for _ in range(2):  # The second time with other packs' remains in the buffers.
        found, expected = queued_codec.decode(semantic, voices), plain.decode(semantic, voices)
        assert all(map(torch.equal, found, expected))


def test_two_threads_get_their_own_audio(queued_codec, graphs):
    units = [make_tokens(queued_codec, [100] * 12, seed) for seed in (1, 2)]
    expected = [queued_codec.decode(*unit) for unit in units]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda unit: queued_codec.decode(*unit), units))
    for ours, theirs in zip(found, expected, strict=True):
        assert all(map(torch.equal, ours, theirs))
    # Replays by two threads would mix what lies in the buffers, at some moments only.
    (graph,) = graphs
    assert len(graph.threads) == 1 and threading.get_ident() not in graph.threads


def test_items_of_other_calls_fill_a_pack(queued_codec, monkeypatch):
    """While the first pack is decoded, two more calls come: their items share the next one."""
    packs, is_started, may_go_on = [], threading.Event(), threading.Event()
    start = PackDecoder.start

    def slow_start(self, pack, *arguments):
        packs.append([place.num_frames for place in pack.places])
        is_started.set()
        may_go_on.wait()
        return start(self, pack, *arguments)

    monkeypatch.setattr(PackDecoder, "start", slow_start)
    units = [make_tokens(queued_codec, lengths, seed) for seed, lengths in enumerate([(120,), (70, 20), (25,)])]
    inbox = queued_codec._decoder._inbox
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(queued_codec.decode, *units[0])]
        is_started.wait()
        for number, unit in enumerate(units[1:], start=1):
            calls.append(pool.submit(queued_codec.decode, *unit))
            while inbox.qsize() < number:
                pass
        may_go_on.set()
        found = [call.result() for call in calls]
    assert packs == [[120], [70, 20, 25]]
    for ours, unit in zip(found, units, strict=True):
        assert largest_difference(ours, queued_codec.decode(*unit)) <= AUDIO_ATOL


def test_a_failure_reaches_every_caller_and_ends_nothing(queued_codec, monkeypatch):
    semantic, voices = make_tokens(queued_codec, (100, 100))
    expected = queued_codec.decode(semantic, voices)
    with monkeypatch.context() as patch:
        patch.setattr(PackDecoder, "start", lambda *arguments: (_ for _ in ()).throw(RuntimeError("CUDA error: boom")))
        with pytest.raises(RuntimeError, match="boom"):
            queued_codec.decode(semantic, voices)
    assert all(map(torch.equal, queued_codec.decode(semantic, voices), expected))


def test_who_stops_listening_gives_up_the_rest(queued_codec, monkeypatch):
    started = []
    start = PackDecoder.start
    monkeypatch.setattr(PackDecoder, "start", lambda *arguments: started.append(1) or start(*arguments))
    answers = queued_codec.decode_each(*make_tokens(queued_codec, [100] * 50))
    next(answers)
    answers.close()
    queued_codec.decode(*make_tokens(queued_codec, [100]))
    assert len(started) < 51


def test_a_broken_decoder_is_refused_where_it_is_made(reference, monkeypatch):
    monkeypatch.setattr(PackDecoder, "_prove_places", lambda self: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        use_packs(BiCodec.load(reference / "tiny"), PACK_FRAMES)


def test_the_thread_ends_with_its_codec(queued_codec, graphs):
    (graph,) = graphs
    queued_codec.decode(*make_tokens(queued_codec, [10]))
    (owner,) = (thread for thread in threading.enumerate() if thread.ident in graph.threads)
    queue = queued_codec.__dict__.pop("_decoder")
    del queue
    gc.collect()
    assert not owner.is_alive()
