"""Which item lies where, and that it sounds the same there; without a GPU."""

import json
from pathlib import Path

import pytest
import torch

from pipeline.benchmark import OFFICIAL_SIZES
from pipeline.benchmark.workload import draw_lengths
from pipeline.codec import BiCodec
from pipeline.codec.bicodec import PACK_FRAMES
from pipeline.codec.checkpoint import read_config
from pipeline.codec.pack_decoder import PackDecoder
from pipeline.codec.packs import Pack, Place, fill_pack, find_gap
from pipeline.codec.spans import Spans
from tests.codec.decoding import AUDIO_ATOL, OTHER_SIZES, decode_each, largest_difference, make_tokens, use_packs


def fill_packs(lengths, pack_frames, gap_frames, max_items):
    """Pack after pack, the longest items first; places of the items as `lengths` numbers them."""
    waiting = sorted(range(len(lengths)), key=lambda item: (-lengths[item], item))
    packs = []
    while waiting:
        pack = fill_pack([lengths[item] for item in waiting], pack_frames, gap_frames, max_items)
        places = [Place(waiting[place.item], place.start, place.num_frames) for place in pack.places]
        packs.append(Pack(pack.num_frames, tuple(places)))
        taken = {place.item for place in places}
        waiting = [item for item in waiting if item not in taken]
    return packs


@pytest.mark.parametrize(
    ("lengths", "packs"),
    [
        ([], []),
        ([100], [[Place(0, 0, 100)]]),
        ([101], [[Place(0, 0, 101)]]),
        ([40, 60], [[Place(1, 0, 60)], [Place(0, 0, 40)]]),
        ([36, 60], [[Place(1, 0, 60), Place(0, 64, 36)]]),
        ([5, 5, 90], [[Place(2, 0, 90), Place(0, 94, 5)], [Place(1, 0, 5)]]),
        ([1, 1, 1, 1], [[Place(0, 0, 1), Place(1, 5, 1), Place(2, 10, 1)], [Place(3, 0, 1)]]),
    ],
)
def test_items_go_into_the_first_pack_with_room(lengths, packs):
    found = fill_packs(lengths, pack_frames=100, gap_frames=4, max_items=3)
    assert [list(pack.places) for pack in found] == packs
    assert [pack.num_frames for pack in found] == [200 if lengths == [101] else 100 for _ in packs]


@pytest.mark.parametrize("seed", range(5))
def test_plans_hold_every_item_once_and_keep_the_gap(seed):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 700, (60,), generator=generator).tolist()
    packs = fill_packs(lengths, 512, 4, 8)
    places = sorted((place for pack in packs for place in pack.places), key=lambda place: place.item)
    assert [place.num_frames for place in places] == lengths
    for pack in packs:
        assert pack.num_frames % 512 == 0 and len(pack.places) <= 8
        assert pack.num_frames == 512 or len(pack.places) == 1
        ends = [place.start + place.num_frames for place in pack.places]
        assert all(place.start >= end + 4 for place, end in zip(pack.places[1:], ends, strict=False))
        assert ends[-1] <= pack.num_frames
    assert packs == fill_packs(lengths, 512, 4, 8)


@pytest.mark.parametrize("seed", range(3))
def test_little_of_a_pack_is_padding(seed):
    """Lengths as in the benchmark; gaps and the last pack's rest count as padding."""
    lengths = draw_lengths(256, seed, shortest_s=2.0, mean_s=6.0, longest_s=20.0)
    packs = fill_packs(lengths, PACK_FRAMES, find_gap(read_config(OFFICIAL_SIZES / "BiCodec/config.yaml")), 64)
    assert 1 - sum(lengths) / sum(pack.num_frames for pack in packs) < 0.10


def test_the_official_gap_is_what_the_widest_residual_unit_hears():
    """27 samples at eight samples a frame; the others reach less far."""
    assert find_gap(read_config(OFFICIAL_SIZES / "BiCodec/config.yaml")) == 4


def test_spans_follow_the_rate():
    item_BF = torch.tensor([[0, 0, -1, 1, -1]])
    spans = Spans.of_items(item_BF)
    assert spans.inside_B1F.tolist() == [[[1, 1, 0, 1, 0]]]
    assert spans.item_BF.tolist() == [[0, 0, 0, 1, 0]]
    assert spans.upsample(2).inside_B1F.tolist() == [[[1, 1, 1, 1, 0, 0, 1, 1, 0, 0]]]
    assert spans.upsample(2, 1).inside_B1F.tolist() == [[[1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0]]]


SIZES = {
    "tiny": {},
    "extra_samples": {"decoder": {"rates": [3, 2], "kernel_sizes": [6, 5]}},
    "extra_samples_twice": {"decoder": {"rates": [2, 3, 2], "kernel_sizes": [5, 6, 7]}},
    "wide_kernels": {"decoder": {"rates": [8, 4], "kernel_sizes": [90, 9]}},
    **{name: OTHER_SIZES[name] for name in ("five_stages", "upsampling_by_odd_ratios")},
}


@pytest.fixture
def surround():
    """Decode one item between others at the smallest distance, and give its samples."""

    def decode(codec: BiCodec, gap_frames: int, num_items: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        semantic, voices = make_tokens(codec, [20] * num_items, seed)
        places = tuple(Place(index, index * (20 + gap_frames), 20) for index in range(num_items))
        packs = codec._decoder.decoder
        isolated, together = (
            {
                item.item: item.waveform
                for item in packs.finish(packs.start(Pack(192, shown), semantic, voices.flatten(1)))
            }
            for shown in (places[1:2], places)
        )
        return isolated[1], together[1]

    return decode


@pytest.mark.parametrize("name", SIZES)
@torch.no_grad()
def test_at_the_gap_no_neighbor_is_heard(write_checkpoint, surround, name):
    codec = use_packs(BiCodec.load(write_checkpoint(SIZES[name])))
    isolated, together = surround(codec, codec._decoder.decoder.gap_frames)
    assert torch.equal(isolated, together)


@pytest.mark.parametrize(("name", "less"), [("tiny", 1), ("extra_samples", 1), ("wide_kernels", 1)])
@torch.no_grad()
def test_nearer_than_the_gap_neighbors_are_heard(write_checkpoint, surround, name, less):
    codec = use_packs(BiCodec.load(write_checkpoint(SIZES[name])))
    isolated, together = surround(codec, codec._decoder.decoder.gap_frames - less)
    assert not torch.equal(isolated, together)


@pytest.mark.parametrize("packs_items", [True, False])
def test_items_of_many_packs_and_long_ones_equal_each_alone(reference, codec, packs_items, monkeypatch):
    pack_codec = use_packs(BiCodec.load(reference / "tiny"), 128)
    pack_codec._decoder.decoder.packs_items = packs_items
    lengths = (60, 300, 128, 5, 70, 129, 2)
    semantic, voices = make_tokens(codec, lengths)
    found = pack_codec.decode(semantic, voices)
    assert largest_difference(found, decode_each(codec, semantic, voices)) <= AUDIO_ATOL
    packs = []
    start = PackDecoder.start
    monkeypatch.setattr(PackDecoder, "start", lambda *arguments: packs.append(arguments[1]) or start(*arguments))
    pack_codec.decode(semantic, voices)
    assert sorted(pack.num_frames for pack in packs) == [128] * (3 if packs_items else 5) + [256, 384]


def test_where_a_place_changes_bits_each_item_gets_a_pack_of_its_own(reference, monkeypatch, caplog):
    monkeypatch.setattr("pipeline.codec.pack_decoder.find_gap", lambda config: 3)
    codec = use_packs(BiCodec.load(reference / "tiny"))
    assert "each item gets a pack of its own" in caplog.text
    assert len(codec._decoder.decoder.fill([5, 6, 7]).places) == 1


@pytest.mark.parametrize(("dtype", "bound_db"), [(torch.bfloat16, -50.0), (torch.float32, -63.0)])
def test_on_a_gpu_speech_stays_within_50_db(reference, dtype, bound_db):
    """Takes of the demo's four voices, their products rounded as on a card: to bfloat16, where the dtype says so, or
    TF32."""
    takes = json.loads((reference.parent / "speech" / "demo_takes.json").read_text())
    demo = Path(__file__).parents[2] / "pipeline" / "demo_voice"
    tokens = [torch.tensor(take["semantic_tokens"]) for take in takes]
    voices = torch.tensor([take["global_tokens"] for take in takes])
    exact = BiCodec.load(demo).decode(tokens, voices)
    rounded = use_packs(BiCodec.load(demo, dtype=dtype), 256, is_exact=False).decode(tokens, voices)
    for its, expected in zip(rounded, exact, strict=True):
        error_db = 10 * torch.log10((its - expected).square().mean() / expected.square().mean())
        assert -80 < error_db < bound_db


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_decodes_by_its_graph_what_a_cpu_decodes(reference, codec, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    gpu_codec = BiCodec.load(reference / "tiny", device="cuda", pack_frames=256)
    assert gpu_codec._decoder.decoder.packs_items
    lengths = (60, 300, 128, 5, 70, 129, 2)
    semantic, voices = make_tokens(codec, lengths)
    found = gpu_codec.decode(semantic, voices)
    assert largest_difference(found, decode_each(codec, semantic, voices)) <= AUDIO_ATOL
    assert largest_difference(found, decode_each(gpu_codec, semantic, voices)) == 0.0
