"""Items side by side: the number of threads changes nothing, and no other threads are touched."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import torch

from pipeline.codec import BiCodec


def make_items(codec, lengths):
    generator = torch.Generator().manual_seed(0)
    semantic = [torch.randint(codec.semantic_codebook_size, (n,), generator=generator) for n in lengths]
    return semantic, torch.randint(
        codec.global_codebook_size, (len(lengths), codec.num_global_tokens), generator=generator
    )


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_number_of_threads_changes_no_bit(reference, threads):
    results = []
    for number in (1, 2, 3):
        threads(number)
        codec = BiCodec.load(reference / "tiny")
        results.append(codec.decode(*make_items(codec, (40, 3, 1, 25))))
        assert torch.get_num_threads() == number
        with ThreadPoolExecutor(1) as another:
            assert another.submit(torch.get_num_threads).result() == number
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


def test_each_item_is_one_threads(reference, threads, monkeypatch):
    threads(2)
    codec = BiCodec.load(reference / "tiny")
    seen = []
    generate = codec._decoder._generate

    def watch(features):
        seen.append(torch.get_num_threads())
        return generate(features)

    monkeypatch.setattr(codec._decoder, "_generate", watch)
    codec.decode(*make_items(codec, (5, 5, 5, 5)))
    assert seen == [1, 1, 1, 1]


def test_what_goes_wrong_in_a_thread_is_raised_here(reference, monkeypatch):
    codec = BiCodec.load(reference / "tiny")

    def fail(features):
        raise MemoryError(f"no room for {len(features)} frames")

    monkeypatch.setattr(codec._decoder, "_generate", fail)
    with pytest.raises(MemoryError, match="no room for 5 frames"):
        codec.decode(*make_items(codec, (5,)))


def test_whoever_stops_early_leaves_nothing_waiting(reference, threads, monkeypatch):
    threads(1)
    codec = BiCodec.load(reference / "tiny")
    started, may_go_on = [], Event()
    generate = codec._decoder._generate

    def wait(features):
        started.append(len(features))
        assert len(started) == 1 or may_go_on.wait(60)
        return generate(features)

    monkeypatch.setattr(codec._decoder, "_generate", wait)
    items = codec.decode_each(*make_items(codec, (5,) * 20))
    next(items)
    items.close()
    may_go_on.set()
    codec._decoder._pool.submit(int).result()  # Behind all that was waiting.
    assert len(started) <= 2


def test_the_longest_item_comes_first(reference, threads, monkeypatch):
    threads(1)
    codec = BiCodec.load(reference / "tiny")
    started = []
    generate = codec._decoder._generate
    monkeypatch.setattr(codec._decoder, "_generate", lambda x: started.append(len(x)) or generate(x))
    codec.decode(*make_items(codec, (2, 9, 4, 1)))
    assert started == [9, 4, 2, 1]


def test_in_bfloat16_speech_stays_within_50_db(reference):
    """Takes of the demo's four voices, as its language model made them."""
    takes = json.loads((reference.parent / "speech" / "demo_takes.json").read_text())
    demo = Path(__file__).parents[2] / "pipeline" / "demo_voice"
    tokens = [torch.tensor(take["semantic_tokens"]) for take in takes]
    voices = torch.tensor([take["global_tokens"] for take in takes])
    exact, rounded = (
        BiCodec.load(demo, dtype=dtype).decode(tokens, voices) for dtype in (torch.float32, torch.bfloat16)
    )
    for its, expected in zip(rounded, exact, strict=True):
        assert its.dtype == torch.float32
        error_db = 10 * torch.log10((its - expected).square().mean() / expected.square().mean())
        assert -80 < error_db < -50
