"""Decoding on a GPU: items lie one after another in packs of one fixed shape, so that one CUDA graph decodes them all.

A batch of rows as long as its longest item computes mostly padding, and each of its shapes would need a graph of its
own. Knows nothing of what tokens mean or whether they are in range.

Shape suffixes: F frames of a pack, I items of a pack, Q residual quantizers, N global tokens of one quantizer, S
samples.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.codec.checkpoint import BiCodecConfig
from pipeline.codec.networks import DecodeNetwork
from pipeline.codec.packs import Pack, Place, fill_pack, find_gap
from pipeline.codec.spans import Spans
from pipeline.hardware.gpu import Record, on_device, record

logger = logging.getLogger(__name__)

_MAX_ITEMS = 64
"""Of a pack: for so many voices the conditions are computed; with the default length, items of half a second."""
_NEIGHBOR_FRAMES = 29
"""Of the proof's neighbors, or more where so many would not fit."""


@dataclass(frozen=True, eq=False)
class DecodedItem:
    """One item's audio.

    Attributes:
        item: its index in what was to be decoded.
        waveform: (num_frames * samples_per_frame,) float32 in [-1, 1], on the CPU.
    """

    item: int
    waveform: Tensor


@dataclass(frozen=True, eq=False)
class RunningPack:
    """A pack whose samples are on their way; `arrived` is None where they are there already."""

    pack: Pack
    waveform_S: Tensor
    arrived: torch.cuda.Event | None


class PackDecoder:
    """Tokens to waveforms by packs; for one thread, see `pack_queue`.

    It shows at its making whether an item's samples stay the same bits wherever it lies and whatever lies beside it.
    Where they do not, every item is decoded in a pack of its own, from the first frame on.

    Attributes:
        packs_items: whether a pack holds more than one item.
        gap_frames: between two of them.

    Args:
        network: on its device.
        generate: its wave generator, for the features (1, channels, frames) and spans of a pack.
        config: the network's.
        device: where the network is.
        pack_frames: length of a pack.
        record: what makes a graph of a pack's decoding.
    """

    def __init__(
        self,
        network: DecodeNetwork,
        generate: Callable[[Tensor, Spans], Tensor],
        config: BiCodecConfig,
        device: torch.device,
        pack_frames: int,
        record: Record = record,
    ) -> None:
        self._network = network
        self._generate = generate
        self._device = device
        self._pack_frames = pack_frames
        self._config = config
        self._voice_shape = (config.speaker_encoder.fsq_num_quantizers, config.speaker_encoder.token_num)
        self.gap_frames = find_gap(config)
        if device.type == "cuda":
            # Some of cuDNN's transposed convolutions add up in the order in which threads come. For the whole process
            # and for good, as every thread sees this flag: turned on for each pack, it would be off for a neighbor.
            torch.backends.cudnn.deterministic = True
        with torch.no_grad(), on_device(device):
            self._inputs = self._lay_out(Pack(pack_frames, ()), [], []).to(device)
            self._waveform_S = torch.zeros(0)
            self._decode_inputs = record(self._decode_fixed, device)
            self.packs_items = self._prove_places()
        if not self.packs_items:
            logger.warning(
                "BiCodec on %s: an item's samples are not the same bits at every place of a pack of %d frames, so that "
                "each item gets a pack of its own, which is several times as slow",
                device,
                pack_frames,
            )

    def fill(self, lengths: Sequence[int]) -> Pack:
        """Return the next pack for items of these lengths (frames); see `fill_pack`."""
        return fill_pack(lengths, self._pack_frames, self.gap_frames, _MAX_ITEMS if self.packs_items else 1)

    @torch.no_grad()
    def start(self, pack: Pack, semantic_tokens: Sequence[Tensor], global_tokens: Sequence[Tensor]) -> RunningPack:
        """Begin to decode a pack; the device works on it while the caller goes on.

        Args:
            pack: which item lies where.
            semantic_tokens: (num_frames,) int64 of each item, one frame or more, on the CPU.
            global_tokens: (num_global_tokens,) int64 of each item, on the CPU.
        """
        inputs = self._lay_out(pack, semantic_tokens, global_tokens)
        with on_device(self._device):
            if pack.num_frames == self._pack_frames:
                self._inputs.copy_(inputs, non_blocking=True)
                self._decode_inputs()
                waveform_S = self._waveform_S
            else:
                waveform_S = self._run(inputs.to(self._device, non_blocking=True), pack.num_frames)
            if self._device.type != "cuda":
                return RunningPack(pack, waveform_S.clone(), None)
            # On the same stream, so that the next pack cannot overwrite what is being copied: a pack's samples take a
            # hundredth of the time that it took to make them. Torch keeps pinned memory from being reused too early.
            arriving_S = torch.empty(waveform_S.shape, dtype=waveform_S.dtype, pin_memory=True)
            arriving_S.copy_(waveform_S, non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record()
        return RunningPack(pack, arriving_S, arrived)

    def finish(self, running: RunningPack) -> Iterator[DecodedItem]:
        """Wait for a pack and yield its items, from the first frame on."""
        if running.arrived is not None:
            running.arrived.synchronize()
        rate = self._config.samples_per_frame
        for place in running.pack.places:
            stop = (place.start + place.num_frames) * rate
            # A copy: a view would keep a whole pack in memory for as long as one of its items.
            yield DecodedItem(place.item, running.waveform_S[place.start * rate : stop].clone())

    def _lay_out(self, pack: Pack, semantic_tokens: Sequence[Tensor], global_tokens: Sequence[Tensor]) -> Tensor:
        """Return a pack's tokens as one array, so that one copy brings all: see `_run`."""
        size = 2 * pack.num_frames + _MAX_ITEMS * self._voice_shape[0] * self._voice_shape[1]
        inputs = torch.zeros(size, dtype=torch.int64, pin_memory=self._device.type == "cuda")
        semantic_F, item_F, global_IQN = self._take_apart(inputs, pack.num_frames)
        item_F.fill_(-1)
        for index, place in enumerate(pack.places):
            frames = slice(place.start, place.start + place.num_frames)
            semantic_F[frames] = semantic_tokens[place.item]
            item_F[frames] = index
            global_IQN[index] = global_tokens[place.item].view(self._voice_shape)
        return inputs

    def _take_apart(self, inputs: Tensor, num_frames: int) -> tuple[Tensor, Tensor, Tensor]:
        voices = inputs[2 * num_frames :].view(_MAX_ITEMS, *self._voice_shape)
        return inputs[:num_frames], inputs[num_frames : 2 * num_frames], voices

    def _run(self, inputs: Tensor, num_frames: int) -> Tensor:
        """Decode a pack: (samples,) float32. Its shapes follow from `num_frames` only, and it never waits for the host.

        Args:
            inputs: int64: a semantic token for each frame, then each frame's place or -1, then each place's voice.
            num_frames: of the pack.
        """
        semantic_F, item_F, global_IQN = self._take_apart(inputs, num_frames)
        features_1CF, spans = self._network.make_features(semantic_F[None], global_IQN, Spans.of_items(item_F[None]))
        assert spans is not None
        return self._generate(features_1CF, spans)

    def _decode_fixed(self) -> None:
        """Decode what lies in `_inputs` into `_waveform_S`, both of which stay where they are once this is recorded."""
        self._waveform_S = self._run(self._inputs, self._pack_frames)

    def _prove_places(self) -> bool:
        """Decode one item at several places among several neighbors; whether its samples are always the same bits."""
        num_frames = self._pack_frames // 3
        last_start = self._pack_frames - num_frames
        generator = torch.Generator().manual_seed(0)
        num_tokens, num_ids = self._config.quantizer.codebook_size, math.prod(self._config.speaker_encoder.fsq_levels)
        item = torch.randint(num_tokens, (num_frames,), generator=generator)
        voice = torch.randint(num_ids, (self._config.num_global_tokens,), generator=generator)
        expected: Tensor | None = None
        # Neither the first frame, nor a multiple of what kernels work on at once, nor the end must make a difference.
        for start in (0, self.gap_frames + 1, last_start // 2 | 1, last_start):
            places = _surround(start, num_frames, self._pack_frames, self.gap_frames)
            semantic = [item] * len(places)
            for place in places:
                if place.item != 0:
                    semantic[place.item] = torch.randint(num_tokens, (place.num_frames,), generator=generator)
            others = torch.randint(num_ids, (len(places) - 1, len(voice)), generator=generator)
            running = self.start(Pack(self._pack_frames, places), semantic, [voice, *others])
            found = next(decoded.waveform for decoded in self.finish(running) if decoded.item == 0)
            if expected is not None and not torch.equal(found, expected):
                return False
            expected = found
        return True


def _surround(start: int, num_frames: int, pack_frames: int, gap_frames: int) -> tuple[Place, ...]:
    """Put item 0 at `start` and fill the pack with others of some frames each, as near as the gap allows."""
    step = max(_NEIGHBOR_FRAMES, 2 * pack_frames // _MAX_ITEMS) + gap_frames
    stretches = (0, start - gap_frames), (start + num_frames + gap_frames, pack_frames)
    before, after = (
        [(first, min(step - gap_frames, stop - first)) for first in range(begin, stop, step)]
        for begin, stop in stretches
    )
    neighbors = [Place(item, *where) for item, where in enumerate(before + after, start=1)]
    return (*neighbors[: len(before)], Place(0, start, num_frames), *neighbors[len(before) :])
